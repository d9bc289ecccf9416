// What the nightly runs have found: cells that may be full or have changed, and how each run went.
import { byId, h } from "./dom.js";
import { stamp } from "./time.js";

export function take({ analyticsTasks, driftingCells, capacityRisks }) {
  list("risks", capacityRisks ?? [], ({ cell, firstDay, likeliestDay, probabilityPct }) => [
    h("strong", {}, cell.name ?? cell.cellId),
    ` from ${firstDay} on, most likely on ${likeliestDay}: ${probabilityPct} %`,
  ]);
  list("drifts", driftingCells ?? [], ({ cell, drift }) => [
    h("strong", {}, cell.name ?? cell.cellId),
    ` in the week of ${drift.week}: ${(drift.distance / drift.byChance).toFixed(1)} times what chance would show`,
  ]);
  const names = ["task", "last run", "state", "seconds", "result"];
  byId("tasks").replaceChildren(
    h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, (analyticsTasks ?? []).map(row)),
  );
}

function list(id, items, parts) {
  byId(`${id}-empty`).hidden = items.length > 0;
  byId(id).replaceChildren(...items.map((item) => h("li", {}, parts(item))));
}

function row({ name, description, isEnabled, isOverdue, status, startedAt, seconds, result }) {
  const state = [status ?? "never ran", isOverdue && "overdue", !isEnabled && "not scheduled"].filter(Boolean).join(", ");
  return h(
    "tr",
    { "data-task": name },
    h("th", { scope: "row", title: description }, name),
    h("td", {}, startedAt ? stamp(Date.parse(startedAt)) : "–"),
    h("td", {}, state),
    h("td", {}, seconds === null ? "–" : seconds.toFixed(1)),
    h("td", {}, result ?? ""),
  );
}
