// The operations page: signs in with a key, asks the API, and hands what it says to the parts that show it.
import "./page.css";
import { Alerts } from "./alerts.js";
import { Api, NO_ANSWER } from "./api.js";
import { Places } from "./cells.js";
import * as analytics from "./analytics.js";
import { Chart } from "./chart.js";
import { byId, h } from "./dom.js";
import { currentKey, forgetKey, keepKey } from "./key.js";
import { besides, datasetOf, FAMILIES, isKpi, labelOf } from "./kpis.js";
import * as problems from "./problems.js";
import * as tiles from "./tiles.js";
import { DAY, HOUR, instant, iso, localInput, MINUTE, stamp, useZone, zoneName } from "./time.js";
import ALERTS from "./queries/alerts.graphql";
import ANALYTICS from "./queries/analytics.graphql";
import ANOMALIES from "./queries/anomalies.graphql";
import CELL_METRICS from "./queries/cell-metrics.graphql";
import CELL_PERFORMANCE from "./queries/cell-performance.graphql";
import CELLS from "./queries/cells.graphql";
import OPEN_ANOMALIES from "./queries/open-anomalies.graphql";
import PERFORMANCE from "./queries/performance.graphql";
import REALTIME from "./queries/realtime.graphql";
import START from "./queries/start.graphql";

const SPANS = { hour: HOUR, day: DAY, week: 7 * DAY };
const GRAINS = { hour: "FIVE_MINUTES", day: "FIVE_MINUTES", week: "HOUR" };
const REALTIME_EVERY = 10_000, FRESH_EVERY = 60_000;
const PAGE = 500, MOST_PAGES = 6, PART = 50;

class Board {
  constructor(key) {
    this.api = new Api(key, problems.show);
    this.chart = new Chart((at) => {
      this.hour = at;
      this.#readPlaces();
    });
    this.places = new Places((place) => this.#choose(place));
    this.alerts = new Alerts(this.api, {
      onError: (error) => this.#failed(error),
      nameOf: (id) => this.cells.find(({ cellId }) => cellId === id)?.name ?? id,
      onChange: () => this.#readOpenAnomalies(),
      onLook: (anomaly) => this.#look(anomaly),
    });
    this.newest = {};
    this.regions = [];
    this.cells = [];
    this.shownCells = [];
    this.range = null; // what the chart was asked for last
    this.cell = null;
    this.hour = null;
    this.after = null; // where the page of cells begins
    this.turns = {};
    this.endings = [() => this.api.close()];
    this.stopCells = () => {};
  }

  /** Read what everything else needs, show the board, go on by itself. Throws where the key is no good. */
  async start() {
    await this.#readStart();
    byId("sign-in").hidden = true;
    byId("board").hidden = false;
    byId("leave").hidden = false;
    this.#fillChoices();
    this.#listen();
    await Promise.all([this.#readTiles(), this.#readRealtime(), this.#readCells(), this.#readOpenAnomalies(), this.#readAnalytics()]);
    await Promise.all([this.#readChart(), this.#readPlaces()]);
    const every = (milliseconds, what) => {
      const timer = setInterval(() => document.hidden || what(), milliseconds);
      this.endings.push(() => clearInterval(timer));
    };
    every(REALTIME_EVERY, () => this.#readRealtime());
    every(FRESH_EVERY, () => this.#refresh());
  }

  end() {
    this.stopCells();
    for (const ending of this.endings) ending();
  }

  /** Run a read; what fails is shown, and what a later one of its kind has overtaken is dropped. */
  async #read(kind, work) {
    const turn = (this.turns[kind] = (this.turns[kind] ?? 0) + 1);
    try {
      const found = await work();
      problems.dismiss(NO_ANSWER);
      return this.turns[kind] === turn ? found : null;
    } catch (error) {
      this.#failed(error);
      return null;
    }
  }

  #failed(error) {
    if (error.isAboutKey) signOut(error);
    else problems.show(error);
  }

  async #readStart() {
    const { freshness, regions } = await this.api.query(START);
    for (const { dataset, newestEventAt } of freshness ?? []) {
      this.newest[dataset] = newestEventAt ? Date.parse(newestEventAt) : null;
    }
    this.regions = regions ?? [];
  }

  #fillChoices() {
    byId("kpi").replaceChildren(
      ...FAMILIES.map(({ title, kpis }) =>
        h("optgroup", { label: title }, Object.entries(kpis).map(([value, text]) => h("option", { value }, text))),
      ),
    );
    byId("kpi").value = this.newest.network_event || !this.newest.cdr ? "LATENCY_MS" : "ERLANGS";
    byId("region").replaceChildren(
      h("option", { value: "" }, "all"),
      ...this.regions.map(({ regionCode, name }) => h("option", { value: regionCode }, name)),
    );
    let dataset = datasetOf(byId("kpi").value);
    byId("kpi").onchange = () => {
      // Another dataset may end at another time.
      if (dataset !== datasetOf(byId("kpi").value)) this.hour = null;
      dataset = datasetOf(byId("kpi").value);
      this.#show();
    };
    byId("by").onchange = () => this.#readChart();
    byId("region").onchange = () => {
      this.cell = this.after = null;
      this.#show();
    };
    byId("ranges").onchange = () => {
      const custom = this.#rangeName() === "custom";
      byId("custom").hidden = !custom;
      this.hour = null;
      if (!custom) this.#show();
      else if (!byId("from").value && this.range) this.#offerRange();
    };
    byId("choice").onsubmit = (event) => {
      event.preventDefault();
      this.hour = null;
      this.#show();
    };
    byId("whole").onclick = () => this.#choose(null);
    byId("cells-next").onclick = () => {
      this.after = this.nextPage;
      this.#readPlaces();
    };
  }

  #rangeName = () => document.querySelector("#ranges input:checked").value;

  /** Fill the fields of a custom range with the one that was chosen before. */
  #offerRange() {
    byId("from").value = localInput(this.range.from);
    byId("to").value = localInput(this.range.to);
  }

  /** Return from, to and grain; the end is where the data ends, not now. Null where the fields say no range. */
  #range() {
    const name = this.#rangeName();
    if (name === "custom") {
      const from = instant(byId("from").value), to = instant(byId("to").value);
      return from < to ? { from, to, grain: null } : null;
    }
    const newest = this.newest[datasetOf(byId("kpi").value)] ?? Date.now();
    const to = (Math.floor(newest / (5 * MINUTE)) + 1) * 5 * MINUTE;
    return { from: to - SPANS[name], to, grain: GRAINS[name] };
  }

  async #show() {
    await Promise.all([this.#readChart(), this.#readPlaces()]);
  }

  async #readChart() {
    const range = this.#range();
    if (!range) {
      problems.show({ message: "the range is empty", hint: "Give a start and an end after it." });
      return;
    }
    this.range = range;
    const kpi = byId("kpi").value, region = byId("region").value;
    const set = await this.#read("chart", async () => {
      const { networkPerformance } = await this.api.query(PERFORMANCE, {
        kpis: [kpi],
        from: iso(range.from),
        to: iso(range.to),
        grain: range.grain,
        region: region || null,
        cells: this.cell ? [this.cell.id] : null,
        by: byId("by").value || null,
      });
      return networkPerformance;
    });
    if (!set) return;
    useZone(set.timeZone);
    const where = this.cell?.name ?? this.#regionName(region) ?? "";
    const unit = set.series[0]?.columns[0].unit ?? "1";
    byId("chart-title").textContent = `${[labelOf(kpi), where].filter(Boolean).join(", ")}${unit === "1" ? "" : ` (${unit})`}`;
    byId("whole").hidden = !this.cell;
    byId("whole").textContent = this.cell ? `Only ${this.cell.name} ×` : "";
    this.chart.draw(set, labelOf(kpi), (key) => this.#regionName(key) ?? key);
    this.#paintFreshness();
  }

  #regionName = (code) => this.regions.find(({ regionCode }) => regionCode === code)?.name;

  #paintFreshness() {
    const parts = FAMILIES.filter(({ dataset }) => this.newest[dataset]).map(
      ({ dataset, title }) => `${title} up to ${stamp(this.newest[dataset])}`,
    );
    byId("fresh").textContent = parts.length ? `${parts.join(" · ")} (${zoneName()})` : "No data is loaded yet.";
  }

  /** Read the cells of the network, as many as a map can show. */
  async #readCells() {
    const found = await this.#read("cells", async () => {
      const cells = [];
      let after = null;
      for (let page = 0; page < MOST_PAGES; page += 1) {
        const { cells: part } = await this.api.query(CELLS, { region: null, after });
        cells.push(...part.nodes);
        after = part.pageInfo.hasNextPage ? part.pageInfo.endCursor : null;
        if (!after) break;
      }
      return { cells, isWhole: !after };
    });
    if (found) Object.assign(this, { cells: found.cells, isWhole: found.isWhole });
  }

  /** Show the regions, or the cells of one; a small network has its cells shown at once. */
  async #readPlaces() {
    const range = this.#range();
    if (!range) return;
    const region = byId("region").value;
    const kpis = besides(byId("kpi").value);
    // Of one hour, the newest unless one was picked: a mean over a week hides what a cell does now.
    const hour = Math.floor((this.hour ?? range.to - 1) / HOUR) * HOUR;
    const variables = { kpis, from: iso(hour), to: iso(hour + HOUR) };
    const byCells = Boolean(region) || this.cells.length <= PAGE;
    const places = await this.#read("places", () => (byCells ? this.#cellPlaces(region, variables) : this.#regionPlaces(variables)));
    if (!places) return;
    byId("cells-title").textContent = byCells ? `Cells${region ? `, ${this.#regionName(region)}` : ""}` : "Regions";
    byId("cells-note").textContent =
      `Hour of ${stamp(hour)}; click in the chart for another. ` +
      (byCells ? "" : `Choose a region for its cells.${this.isWhole ? "" : ` The first ${this.cells.length} cells.`}`);
    this.places.show(places.all, kpis, byCells ? "cells" : "regions", byCells ? this.cell?.id : null);
    this.nextPage = places.next;
    byId("cells-next").hidden = !places.next && !this.after;
    byId("cells-next").textContent = places.next ? `The next ${PAGE} cells` : "The first cells again";
    this.#follow(byCells ? places.all.map(({ id }) => id) : []);
  }

  async #regionPlaces(variables) {
    const { networkPerformance: set } = await this.api.query(PERFORMANCE, { ...variables, grain: "HOUR", by: "REGION" });
    const values = valuesByKey([set]);
    const all = this.regions
      .map(({ regionCode, name }) => {
        const dots = this.cells.filter((cell) => cell.regionCode === regionCode);
        const placed = dots.filter(({ latitude, longitude }) => latitude !== null && longitude !== null);
        const mean = (field) => (placed.length ? placed.reduce((sum, cell) => sum + cell[field], 0) / placed.length : null);
        return { id: regionCode, name, note: dots.length, latitude: mean("latitude"), longitude: mean("longitude"), dots: placed, values: values.get(regionCode) ?? {} };
      })
      .filter(({ note, id }) => note || values.has(id));
    return { all, next: null };
  }

  async #cellPlaces(region, variables) {
    let cells = this.cells, next = null;
    if (region) {
      const { cells: page } = await this.api.query(CELLS, { region, after: this.after });
      cells = page.nodes;
      next = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
    }
    const sets = [];
    if (cells.length) {
      const parts = {};
      for (let part = 0; part * PART < cells.length; part += 1) {
        parts[`cells${part}`] = cells.slice(part * PART, (part + 1) * PART).map(({ cellId }) => cellId);
        if (part) parts[`has${part}`] = true;
      }
      sets.push(...Object.values(await this.api.query(CELL_PERFORMANCE, { ...variables, ...parts })));
    }
    const values = valuesByKey(sets);
    const all = cells.map(({ cellId, name, technology, latitude, longitude }) => ({
      id: cellId, name, note: technology ?? "–", latitude, longitude, values: values.get(cellId) ?? {},
    }));
    return { all, next };
  }

  /** Choose a region or a cell on the map or in the table; once more lets it go. */
  #choose(place) {
    if (place?.dots) {
      byId("region").value = place.id;
      this.cell = this.after = null;
      this.#show();
      return;
    }
    this.cell = place && place.id !== this.cell?.id ? place : null;
    this.places.show(this.places.places, this.places.kpis, this.places.what, this.cell?.id);
    this.#readChart();
  }

  /** Show the cell and the KPI of an anomaly, over the time that it is about. */
  #look({ cellId, name, kpi, from, to, startedAt }) {
    const wanted = kpi.toUpperCase();
    if (isKpi(wanted)) byId("kpi").value = wanted;
    this.cell = { id: cellId, name };
    this.hour = Date.parse(startedAt);
    document.querySelector('#ranges input[value="custom"]').checked = true;
    byId("custom").hidden = false;
    byId("from").value = localInput(from);
    byId("to").value = localInput(to);
    this.#show();
    byId("chart-title").scrollIntoView({ block: "nearest" });
  }

  /** Subscribe to the live windows of the cells in the table. */
  #follow(ids) {
    if (ids.join() === this.shownCells.join()) return;
    this.shownCells = ids;
    this.stopCells();
    this.places.takeWindows([]);
    this.stopCells = ids.length
      ? this.api.live(CELL_METRICS, () => ({ cells: ids }), {
          next: ({ cellMetrics }) => this.places.takeWindows(cellMetrics),
          state: () => {},
          refused: (error) => this.#failed(error),
        })
      : () => {};
  }

  #listen() {
    const live = byId("live");
    live.hidden = false;
    const say = (state) => {
      live.textContent = state === "live" ? "Connected" : "Connecting…";
      live.classList.toggle("is-live", state === "live");
    };
    say("waiting");
    const stop = this.api.live(ALERTS, () => ({ after: this.alerts.after }), {
      next: ({ alerts }) => this.alerts.takeAlert(alerts),
      state: (state) => {
        say(state);
        // What was raised before, or while nothing was received and no alert is known to come back to.
        if (state === "live" && !this.alerts.after) this.#readAnomalies();
      },
      refused: (error) => {
        live.hidden = true;
        this.#failed(error);
        this.#readAnomalies();
      },
    });
    this.endings.push(stop);
  }

  async #readAnomalies() {
    const found = await this.#read("anomalies", () => this.api.query(ANOMALIES));
    if (found?.anomalies) this.alerts.takeList(found.anomalies.nodes);
  }

  async #readOpenAnomalies() {
    const found = await this.#read("open", () => this.api.query(OPEN_ANOMALIES));
    const page = found?.anomalies;
    if (page) tiles.takeOpenAnomalies(`${page.nodes.length}${page.pageInfo.hasNextPage ? "+" : ""}`);
  }

  async #readAnalytics() {
    const found = await this.#read("analytics", () => this.api.query(ANALYTICS));
    if (found) analytics.take(found);
  }

  async #readTiles() {
    const newest = this.newest.network_event;
    if (!newest) return tiles.takeWindow(null);
    const to = (Math.floor(newest / (5 * MINUTE)) + 1) * 5 * MINUTE;
    const found = await this.#read("tiles", () =>
      this.api.query(PERFORMANCE, { kpis: tiles.TILE_KPIS, from: iso(to - HOUR), to: iso(to), grain: "FIVE_MINUTES" }),
    );
    if (!found?.networkPerformance) return undefined;
    useZone(found.networkPerformance.timeZone);
    return tiles.takeHistory(found.networkPerformance);
  }

  async #readRealtime() {
    const found = await this.#read("realtime", () => this.api.query(REALTIME));
    if (found?.realtimeMetrics) tiles.takeWindow(found.realtimeMetrics.network);
  }

  /** Follow the data: what is shown moves on when there is newer, a custom range stays where it is. */
  async #refresh() {
    const before = { ...this.newest };
    await this.#read("start", async () => {
      await this.#readStart();
      return true;
    });
    if (Object.entries(this.newest).every(([name, at]) => before[name] === at)) return;
    await Promise.all([this.#readTiles(), this.#readAnalytics()]);
    this.#paintFreshness();
    if (this.#rangeName() !== "custom" && !byId("board").contains(document.activeElement?.closest?.("table"))) await this.#show();
  }
}

/** Return `{KPI: {value, unit}}` by key: the newest value of each column. */
function valuesByKey(sets) {
  const found = new Map();
  for (const { series } of sets.filter(Boolean)) {
    for (const { key, columns } of series) {
      const values = {};
      for (const { name, unit, values: column } of columns) {
        const value = column.findLast((one) => one !== null);
        if (value !== undefined) values[name] = { value, unit };
      }
      found.set(key, values);
    }
  }
  return found;
}

let board = null;

function signOut(error) {
  board?.end();
  board = null;
  forgetKey();
  problems.clear();
  for (const id of ["board", "leave", "live"]) byId(id).hidden = true;
  byId("fresh").textContent = "";
  byId("sign-in").hidden = false;
  if (error) problems.show(error);
  byId("key").value = "";
  byId("key").focus();
}

async function signIn(key) {
  problems.clear();
  board = new Board(key);
  try {
    await board.start();
  } catch (error) {
    if (error.isAboutKey) {
      signOut(error);
      return;
    }
    // The key may be good: it is offered again.
    byId("sign-in").hidden = false;
    byId("key").value = key;
    problems.show(error);
  }
}

byId("key-form").onsubmit = (event) => {
  event.preventDefault();
  const key = byId("key").value.trim();
  keepKey(key);
  signIn(key);
};
byId("leave").onclick = () => signOut();
window.addEventListener("hashchange", () => {
  board?.end();
  begin();
});

function begin() {
  const key = currentKey();
  if (key) signIn(key);
  else signOut();
}

begin();
