// Anomalies, the newest first, and what the subscription says of them from then on.
import { byId, h } from "./dom.js";
import { shown } from "./kpis.js";
import { HOUR, stamp } from "./time.js";
import ACKNOWLEDGE from "./queries/acknowledge.graphql";

const MARKS = { CRITICAL: "▲", MAJOR: "◆", MINOR: "●" };
const MOST = 60;

export class Alerts {
  /** `onError` gets refusals, `onLook` an anomaly to look at; `nameOf` names a cell that an alert knows by its id alone. */
  constructor(api, { onError, nameOf, onChange, onLook }) {
    Object.assign(this, { api, onError, nameOf, onChange, onLook });
    this.entries = new Map(); // by anomalyId, the newest first when shown
    this.mayAcknowledge = true;
    this.after = null;
    this.seen = new Set();
    this.dialog = byId("acknowledge");
    byId("acknowledge-form").onsubmit = (event) => {
      event.preventDefault();
      this.dialog.close();
      this.#acknowledge(this.asked, byId("acknowledge-note").value.trim());
    };
    byId("acknowledge-cancel").onclick = () => this.dialog.close();
  }

  /** Take the list from the API, without forgetting what came live meanwhile. */
  takeList(nodes) {
    for (const node of nodes) {
      const known = this.entries.get(node.anomalyId);
      this.entries.set(node.anomalyId, {
        id: node.anomalyId,
        kpi: node.kpi,
        cellId: node.cellId,
        from: Date.parse(node.fromAt),
        to: Date.parse(node.toAt),
        severity: node.severity,
        name: node.cell?.name ?? node.cellId,
        technology: node.cell?.technology,
        text: node.description,
        value: node.peakValue,
        normal: node.median,
        startedAt: node.startedAt,
        endedAt: node.endedAt ?? known?.endedAt ?? null,
        by: node.acknowledgedBy,
        note: node.acknowledgeNote,
      });
    }
    this.#paint();
  }

  forget() {
    this.entries.clear();
    this.#paint();
  }

  /** Take an alert of the subscription; one that was seen changes nothing. */
  takeAlert(alert) {
    this.after = alert.alertId;
    if (this.seen.has(alert.alertId)) return;
    this.seen.add(alert.alertId);
    const text = `${alert.severity.toLowerCase()} alert ${alert.endedAt ? "ended" : ""}: ${alert.message}`;
    byId("alerts-news").textContent = text;
    // One of data quality has no cell: nothing on this page to look at, nothing to acknowledge.
    if (!alert.cellId) return;
    const known = this.entries.get(alert.anomalyId);
    this.entries.set(alert.anomalyId, {
      by: null,
      note: null,
      ...known,
      id: alert.anomalyId,
      kpi: alert.kpi,
      cellId: alert.cellId,
      // What the list says of the time to look at is about the same.
      from: known?.from ?? Date.parse(alert.startedAt) - HOUR,
      to: Math.max(known?.to ?? 0, Date.parse(alert.endedAt ?? alert.startedAt) + HOUR),
      severity: alert.severity,
      name: known?.name ?? this.nameOf(alert.cellId),
      technology: alert.technology,
      text: alert.message,
      value: alert.value,
      normal: alert.baseline,
      startedAt: alert.startedAt,
      endedAt: alert.endedAt,
      isNew: true,
    });
    this.#paint();
    this.onChange();
  }

  #paint() {
    const entries = [...this.entries.values()]
      .sort((a, b) => Date.parse(b.startedAt) - Date.parse(a.startedAt) || Number(b.id) - Number(a.id))
      .slice(0, MOST);
    byId("alerts-empty").hidden = entries.length > 0;
    byId("alerts").replaceChildren(...entries.map((entry) => this.#item(entry)));
  }

  #item(entry) {
    const taken = entry.by
      ? h("p", { class: "quiet" }, `Acknowledged by ${entry.by}${entry.note ? `: ${entry.note}` : ""}`)
      : this.mayAcknowledge
        ? h("button", { type: "button", "aria-label": `Acknowledge: ${entry.text}, ${entry.name}`, onclick: () => this.#ask(entry) }, "Acknowledge")
        : null;
    return h(
      "li",
      { class: `alert${entry.isNew ? " is-new" : ""}`, "data-severity": entry.severity, "data-anomaly": entry.id },
      h(
        "p",
        { class: "alert-head" },
        h("span", { class: "badge" }, h("span", { "aria-hidden": "true" }, MARKS[entry.severity] ?? "●"), ` ${entry.severity.toLowerCase()}`),
        h("span", { class: entry.endedAt ? "state" : "state is-open" }, entry.endedAt ? "ended" : "open"),
        entry.isNew ? h("span", { class: "state is-now" }, "live") : null,
      ),
      h("p", { class: "alert-name" }, h("button", { type: "button", class: "link", onclick: () => this.onLook(entry) }, entry.name), entry.technology ? h("small", {}, ` ${entry.technology}`) : null),
      h("p", {}, entry.text),
      h(
        "p",
        { class: "quiet" },
        `${stamp(entry.startedAt)}${entry.endedAt ? ` to ${stamp(entry.endedAt)}` : ""} · value ${shown(entry.value)}, normal ${shown(entry.normal)}`,
      ),
      taken,
    );
  }

  #ask(entry) {
    this.asked = entry;
    byId("acknowledge-what").textContent = `${entry.name}: ${entry.text}`;
    byId("acknowledge-note").value = "";
    this.dialog.showModal();
  }

  async #acknowledge(entry, note) {
    try {
      const { acknowledgeAnomaly: done } = await this.api.query(ACKNOWLEDGE, { id: entry.id, note: note || null });
      const { by, text } = done.anomaly
        ? { by: done.anomaly.acknowledgedBy, text: done.anomaly.acknowledgeNote }
        : { by: "nobody: the API does not know it", text: null };
      Object.assign(this.entries.get(entry.id) ?? entry, { by, note: text });
      byId("alerts-news").textContent = done.isFirst ? "acknowledged" : `acknowledged before, by ${by}`;
    } catch (error) {
      // Which scopes a key has is not to be asked; a refusal tells.
      if (error.code === "FORBIDDEN") this.mayAcknowledge = false;
      this.onError(error);
    }
    this.#paint();
  }
}
