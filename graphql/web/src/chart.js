// The chart of a KPI over time, drawn by uPlot, and the same numbers as a table.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { byId, h } from "./dom.js";
import { withUnit } from "./kpis.js";
import { clock, day, DAY, HOUR, MINUTE, stamp, zoneName } from "./time.js";

const HEIGHT = 300;
const COLOURS = 10;
// Seconds between ticks that read well.
const STEPS = [300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000];
const GRAINS = { FIVE_MINUTES: ["5 minutes", 5 * MINUTE], HOUR: ["1 hour", HOUR], DAY: ["1 day", DAY] };

const dark = matchMedia("(prefers-color-scheme: dark)");

export class Chart {
  /** `onPick` gets the time that was clicked, milliseconds. */
  constructor(onPick) {
    this.box = byId("chart");
    this.plot = null;
    this.drawn = null;
    this.box.addEventListener("click", (event) => {
      const at = this.plot?.cursor.idx;
      // A drag zooms, it picks nothing.
      if (event.target.closest(".u-over") && at !== null && at !== undefined && this.plot.select.width < 3) onPick(this.drawn.times[at] * 1000);
    });
    new ResizeObserver(() => this.plot?.setSize(this.#size())).observe(this.box);
    dark.addEventListener("change", () => this.#paint());
    byId("values").addEventListener("toggle", () => this.#fillTable());
  }

  /** Draw a SeriesSet of one KPI; `nameOf` gives what a key is called. */
  draw(set, title, nameOf) {
    this.drawn = { set, title, nameOf, times: set.times.map((at) => Date.parse(at) / 1000) };
    this.#paint();
    this.#fillTable();
  }

  #size() {
    return { width: Math.max(280, this.box.clientWidth), height: HEIGHT };
  }

  #paint() {
    if (!this.drawn) return;
    const { set, title, nameOf, times } = this.drawn;
    const css = getComputedStyle(document.documentElement);
    const colour = (name) => css.getPropertyValue(name).trim();
    const unit = set.series[0]?.columns[0].unit;
    const many = set.series.length > 1;
    const lines = set.series.map(({ key, columns: [column] }, number) => ({
      label: many ? nameOf(key) : title,
      stroke: colour(`--line-${number % COLOURS}`),
      // Colours come round again, dashes tell them apart.
      dash: number >= COLOURS ? [6, 4] : undefined,
      fill: many ? undefined : colour("--area"),
      width: 2,
      // A value between two gaps has no line to be seen by.
      points: { show: column.values.filter((value) => value !== null).length < 40, size: 5 },
      value: (_, value) => withUnit(value, unit),
    }));
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { stroke: colour("--rule"), width: 1 }, font: "12px system-ui, sans-serif" };
    this.plot?.destroy();
    this.box.replaceChildren();
    this.plot = new uPlot(
      {
        ...this.#size(),
        series: [{ label: "Time", value: (_, value) => (value === null ? "–" : stamp(value * 1000)) }, ...lines],
        axes: [
          { ...axis, incrs: STEPS, space: 64, values: (_, splits, __, ___, step) => splits.map((at, number) => tick(at, number, step)) },
          { ...axis, size: 64, values: (_, splits) => splits.map((value) => (value === null ? "" : value.toLocaleString("en-GB"))) },
        ],
        scales: { x: { time: true }, y: { range: around } },
        cursor: { y: false, points: { size: 7 } },
        legend: { live: true },
      },
      [times, ...set.series.map(({ columns }) => columns[0].values)],
      this.box,
    );
    this.box.setAttribute("data-points", times.length);
    const [grain] = GRAINS[set.grain];
    this.box.setAttribute("aria-label", `${title}, ${set.series.length} series of ${times.length} values, one per ${grain}`);
    byId("chart-note").textContent = times.length
      ? `${stamp(set.times[0])} to ${stamp(Date.parse(set.times.at(-1)) + GRAINS[set.grain][1])}, one value per ${grain}, ${zoneName()}`
      : "";
    byId("chart-empty").hidden = set.series.some(({ columns }) => columns[0].values.some((value) => value !== null));
  }

  #fillTable() {
    const details = byId("values");
    if (!details.open || !this.drawn) return;
    const { set, title, nameOf } = this.drawn;
    const heads = set.series.map(({ key }) => (set.series.length > 1 ? nameOf(key) : title));
    byId("values-table").replaceChildren(
      h("caption", { class: "unseen" }, `${title} by time`),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"), heads.map((text) => h("th", { scope: "col" }, text)))),
      h(
        "tbody",
        {},
        set.times.map((at, row) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, stamp(at)),
            set.series.map(({ columns: [{ values, unit }] }) => h("td", {}, withUnit(values[row], unit))),
          ),
        ),
      ),
    );
  }
}

function tick(at, number, step) {
  const time = clock(at * 1000);
  if (step >= 86_400) return day(at * 1000);
  return number === 0 || time === "00:00" ? `${time}\n${day(at * 1000)}` : time;
}

/** Leave some room, and begin at 0 where the values are not far from it. */
function around(_, low, high) {
  if (low === null || high === null) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  return [low >= 0 && low < high * 0.6 ? 0 : low - room, high + room];
}
