// The newest window of the whole network: live where something comes, else the last that is in Gold.
import { byId, h, s } from "./dom.js";
import { shown } from "./kpis.js";
import { stamp } from "./time.js";

const TILES = [
  { kpi: "EVENTS", field: "events", title: "Events", unit: "per 5 min" },
  { kpi: "DROPS", field: "drops", title: "Drops", unit: "per 5 min" },
  { kpi: "LATENCY_MS", field: "latencyMsMean", title: "Latency", unit: "ms" },
  { kpi: "RSRP_DBM", field: "rsrpDbmMean", title: "Signal", unit: "dBm" },
  { kpi: "THROUGHPUT_DOWN_KBPS", field: "throughputDownKbpsMean", title: "Throughput down", unit: "Mbit/s", scale: 1e-3 },
];
export const TILE_KPIS = TILES.map(({ kpi }) => kpi);

let past = {}, times = [], window = null, anomalies = "–";

/** Take the last hour of the network, for the lines and for when nothing is live. */
export function takeHistory(set) {
  times = set.times;
  past = Object.fromEntries((set.series[0]?.columns ?? []).map(({ name, values }) => [name, values]));
  paint();
}

/** Take the live window, null where there is none. */
export function takeWindow(live) {
  window = live;
  paint();
}

export function takeOpenAnomalies(text) {
  anomalies = text;
  paint();
}

function paint() {
  const last = (past.EVENTS ?? []).findLastIndex((value) => value > 0);
  byId("tiles").replaceChildren(
    ...TILES.map(({ kpi, field, title, unit, scale = 1 }) => {
      const values = past[kpi] ?? [];
      const found = window ? window[field] : (values[last] ?? null);
      return tile(kpi, title, found === null || found === undefined ? null : found * scale, unit, spark(values.slice(0, last + 1)));
    }),
    tile("ANOMALIES", "Open anomalies", anomalies, "in the network", null),
  );
  const state = byId("tiles-state");
  state.classList.toggle("is-live", Boolean(window));
  if (window) state.textContent = `Live: window of ${stamp(window.bucket)}`;
  else if (last >= 0) state.textContent = `Nothing is live. The newest window in Gold is of ${stamp(times[last])}.`;
  else state.textContent = "No network events yet.";
}

function tile(name, title, value, unit, line) {
  return h(
    "li",
    { class: "tile", "data-kpi": name },
    h("span", { class: "tile-title" }, title),
    h("span", { class: "tile-value" }, typeof value === "string" ? value : shown(value), " ", h("small", {}, unit)),
    line,
  );
}

function spark(values) {
  const there = values.filter((value) => value !== null);
  if (there.length < 2) return null;
  const low = Math.min(...there), high = Math.max(...there);
  const points = values
    .map((value, at) => [value, (at / (values.length - 1)) * 100])
    .filter(([value]) => value !== null)
    .map(([value, x]) => `${x.toFixed(1)},${(22 - ((value - low) / (high - low || 1)) * 20).toFixed(1)}`);
  return s(
    "svg",
    { viewBox: "0 0 100 24", preserveAspectRatio: "none", class: "spark", "aria-hidden": "true" },
    s("polyline", { points: points.join(" "), "vector-effect": "non-scaling-stroke" }),
  );
}
