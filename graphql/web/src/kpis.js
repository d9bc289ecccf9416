// What the KPIs of the schema are called, and what the table of cells shows beside each.
const RADIO = {
  EVENTS: "Events",
  DROPS: "Drops",
  ALARMS: "Alarms",
  DROP_RATE_PCT: "Drop rate",
  ATTACH_FAILURE_PCT: "Failed attaches",
  RRC_FAILURE_PCT: "Failed set-ups",
  HANDOVER_FAILURE_PCT: "Failed handovers",
  RSRP_DBM: "Signal (RSRP)",
  SINR_DB: "Signal to noise (SINR)",
  LATENCY_MS: "Latency",
  LATENCY_MS_P95: "Latency, 95th percentile",
  PACKET_LOSS_PCT: "Packet loss",
  THROUGHPUT_DOWN_KBPS: "Throughput down",
  THROUGHPUT_UP_KBPS: "Throughput up",
};
const VOICE = {
  ATTEMPTS: "Call attempts",
  ANSWERED: "Answered calls",
  ASR_PCT: "Answer-seizure ratio",
  ACD_S: "Average call duration",
  NER_PCT: "Network effectiveness",
  VOICE_DROP_PCT: "Dropped calls",
  ERLANGS: "Traffic",
};

/** Families by the dataset they are made of. */
export const FAMILIES = [
  { dataset: "network_event", title: "Radio network", kpis: RADIO },
  { dataset: "cdr", title: "Voice", kpis: VOICE },
];
const BESIDE = {
  network_event: ["EVENTS", "DROP_RATE_PCT", "LATENCY_MS"],
  cdr: ["ATTEMPTS", "ASR_PCT", "ERLANGS"],
};

export const isKpi = (name) => name in RADIO || name in VOICE;
export const datasetOf = (kpi) => (kpi in VOICE ? "cdr" : "network_event");
export const labelOf = (kpi) => RADIO[kpi] ?? VOICE[kpi] ?? kpi;

/** Return the columns of the table of cells: the KPI first, then what is always of interest. */
export const besides = (kpi) => [kpi, ...BESIDE[datasetOf(kpi)].filter((one) => one !== kpi)];

/** Return a value with as many digits as it deserves, "–" for none. */
export function shown(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const digits = size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2;
  return value.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Return a value with its unit; the unit of a count is 1 and not shown. */
export function withUnit(value, unit) {
  return value === null || value === undefined || !unit || unit === "1" ? shown(value) : `${shown(value)} ${unit}`;
}
