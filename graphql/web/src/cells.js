// Places of the network, as a map without tiles and as a table that can be sorted: regions, or the cells of one.
import { byId, h, s } from "./dom.js";
import { labelOf, shown, withUnit } from "./kpis.js";

const WIDTH = 460, HEIGHT = 400, EDGE = 26;
// From low to high; light and dark end differ in lightness too, so that it reads without colours.
const SCALE = [[68, 57, 131], [48, 103, 142], [33, 145, 140], [94, 186, 100], [212, 200, 60]];
const FIRST_ROWS = 100;

export class Places {
  /** `onChoose` gets the place whose button was pressed. */
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.places = [];
    this.kpis = [];
    this.windows = new Map();
    this.order = null;
    this.all = false;
  }

  /**
   * Show places: `{ id, name, note, latitude, longitude, values: {KPI: {value, unit}}, dots }`, coloured by the first KPI.
   */
  show(places, kpis, what, chosen) {
    // Another KPI is of interest from the top; an order by something else stays.
    if (!this.order || this.order.by === this.kpis[0] || !["name", "note", "live", ...kpis].includes(this.order.by)) {
      this.order = { by: kpis[0], down: this.order?.down ?? true };
    }
    Object.assign(this, { places, kpis, what, chosen });
    this.all = false;
    this.#paintMap();
    this.#paintTable();
  }

  /** Take the live windows of cells. */
  takeWindows(windows) {
    this.windows = new Map(windows.map((window) => [window.cellId, window]));
    for (const [id, cell] of this.liveCells ?? []) cell.textContent = this.#live(id);
  }

  #live(id) {
    const window = this.windows.get(id);
    return window ? `${shown(window.events)} ev.  ${shown(window.latencyMsMean)} ms` : "–";
  }

  #colouring() {
    const [kpi] = this.kpis;
    const values = this.places.map(({ values }) => values[kpi]?.value).filter((value) => typeof value === "number").sort((a, b) => a - b);
    // A single extreme cell would make all others look alike.
    const at = (share) => values[Math.round(share * (values.length - 1))];
    const low = at(0.02) ?? 0, high = at(0.98) ?? 0;
    const unit = this.places.find(({ values }) => values[kpi])?.values[kpi].unit;
    return { low, high, unit, of: (value) => colour(high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0.5) };
  }

  #paintMap() {
    const box = byId("map");
    const [kpi] = this.kpis;
    const has = (place) => typeof place.values[kpi]?.value === "number";
    // What has a value lies on top, what was chosen above all.
    const placed = this.places
      .filter(({ latitude, longitude }) => latitude !== null && longitude !== null)
      .sort((a, b) => Number(has(a)) - Number(has(b)) || Number(a.id === this.chosen) - Number(b.id === this.chosen));
    byId("map-empty").hidden = placed.length > 0;
    box.toggleAttribute("hidden", placed.length === 0);
    const { low, high, unit, of } = this.#colouring();
    byId("map-key").replaceChildren(
      h("span", {}, withUnit(low, unit)),
      h("span", { class: "ramp", "aria-hidden": "true" }),
      h("span", {}, withUnit(high, unit)),
      h("span", { class: "quiet" }, labelOf(kpi)),
    );
    if (!placed.length) return;
    const project = projection(placed.flatMap((place) => [place, ...(place.dots ?? [])]));
    const marks = placed.map((place) => {
      const [x, y] = project(place);
      const found = place.values[kpi]?.value;
      const there = has(place);
      return s(
        "circle",
        {
          cx: x.toFixed(1), cy: y.toFixed(1), r: place.dots ? 9 : !there ? 3 : placed.length > 150 ? 5 : 6,
          fill: there ? of(found) : "none",
          class: `${there ? "mark" : "mark is-empty"}${place.id === this.chosen ? " is-chosen" : ""}`,
          onclick: () => this.onChoose(place),
        },
        s("title", {}, `${place.name}: ${withUnit(found, place.values[kpi]?.unit)}`),
      );
    });
    const dots = placed.flatMap((place) =>
      (place.dots ?? []).map((dot) => {
        const [x, y] = project(dot);
        return s("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r: 1.5, class: "dot" });
      }),
    );
    // Names only where they leave each other room.
    const taken = placed.map((place) => {
      const [x, y] = project(place);
      return [x - 9, y - 9, x + 9, y + 9];
    });
    const names = placed.filter(({ dots: own }) => own).flatMap((place) => {
      const [x, y] = project(place);
      const left = x > WIDTH * 0.7;
      const width = place.name.length * 6.4;
      const area = [left ? x - 13 - width : x + 13, y - 8, left ? x - 13 : x + 13 + width, y + 8];
      if (taken.some((one) => one[0] < area[2] && one[2] > area[0] && one[1] < area[3] && one[3] > area[1])) return [];
      taken.push(area);
      return [s("text", { x: left ? x - 13 : x + 13, y: y + 4, "text-anchor": left ? "end" : "start" }, place.name)];
    });
    box.replaceChildren(
      s(
        "svg",
        { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${placed.length} ${this.what} by ${labelOf(kpi)}; the table has the same` },
        ...dots, ...marks, ...names,
      ),
    );
  }

  #paintTable() {
    const isCells = this.what === "cells";
    const columns = [
      ["name", isCells ? "Cell" : "Region"],
      ["note", isCells ? "Tech." : "Cells"],
      ...this.kpis.map((kpi) => [kpi, labelOf(kpi)]),
      ...(isCells ? [["live", "Live, 5 min"]] : []),
    ];
    const heads = columns.map(([name, title]) => {
      const sorted = this.order.by === name ? (this.order.down ? "descending" : "ascending") : "none";
      return h(
        "th",
        { scope: "col", "aria-sort": sorted },
        h("button", { type: "button", class: "sort", "data-column": name, onclick: () => this.#sortBy(name) }, title,
          h("span", { "aria-hidden": "true" }, sorted === "none" ? "" : sorted === "ascending" ? " ▲" : " ▼")),
      );
    });
    const rows = [...this.places].sort((a, b) => this.#compare(a, b));
    this.liveCells = [];
    const shownRows = this.all ? rows : rows.slice(0, FIRST_ROWS);
    byId("cells").replaceChildren(
      h("caption", { class: "unseen" }, `${this.what}, sortable by the buttons in the head`),
      h("thead", {}, h("tr", {}, heads)),
      h(
        "tbody",
        {},
        shownRows.map((place) => {
          const live = h("td", { class: "live" }, this.#live(place.id));
          if (isCells) this.liveCells.push([place.id, live]);
          return h(
            "tr",
            { class: place.id === this.chosen ? "is-chosen" : null },
            h("th", { scope: "row" }, h("button", { type: "button", class: "link", "aria-pressed": String(place.id === this.chosen), onclick: () => this.onChoose(place) }, place.name)),
            h("td", {}, String(place.note)),
            this.kpis.map((kpi) => h("td", {}, withUnit(place.values[kpi]?.value, place.values[kpi]?.unit))),
            isCells ? live : null,
          );
        }),
      ),
    );
    const more = byId("cells-more");
    more.hidden = shownRows.length === rows.length;
    more.textContent = `Show all ${rows.length}`;
    more.onclick = () => {
      this.all = true;
      this.#paintTable();
    };
  }

  #sortBy(name) {
    // Numbers are of interest from the top.
    const down = this.order.by === name ? !this.order.down : name !== "name" && name !== "note";
    this.order = { by: name, down };
    this.#paintTable();
    byId("cells").querySelector(`[data-column="${name}"]`).focus();
  }

  #compare(a, b) {
    const { by, down } = this.order;
    const value = (place) =>
      by === "live" ? this.windows.get(place.id)?.events : by === "name" || by === "note" ? place[by] : place.values[by]?.value;
    const [x, y] = [value(a), value(b)];
    const [hasX, hasY] = [x, y].map((one) => one !== null && one !== undefined);
    if (!hasX || !hasY) return Number(hasY) - Number(hasX); // what has no value comes last either way
    const order = typeof x === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
    return down ? -order : order;
  }
}

function colour(share) {
  const at = share * (SCALE.length - 1);
  const low = Math.min(SCALE.length - 2, Math.floor(at));
  const mixed = SCALE[low].map((from, channel) => Math.round(from + (SCALE[low + 1][channel] - from) * (at - low)));
  return `rgb(${mixed.join(" ")})`;
}

/** Return a projection of degrees to the picture: equal scales both ways at the middle latitude. */
function projection(points) {
  const latitudes = points.map(({ latitude }) => latitude), longitudes = points.map(({ longitude }) => longitude);
  const [south, north] = [Math.min(...latitudes), Math.max(...latitudes)];
  const [west, east] = [Math.min(...longitudes), Math.max(...longitudes)];
  const narrow = Math.cos((((south + north) / 2) * Math.PI) / 180);
  const scale = Math.min((WIDTH - 2 * EDGE) / ((east - west) * narrow || 0.01), (HEIGHT - 2 * EDGE) / (north - south || 0.01));
  return ({ latitude, longitude }) => [
    WIDTH / 2 + (longitude - (west + east) / 2) * narrow * scale,
    HEIGHT / 2 - (latitude - (south + north) / 2) * scale,
  ];
}
