// What went wrong, readable: message, hint and the id that the log of the service knows.
import { byId, h } from "./dom.js";

const entries = new Map();

/** Show a refusal; the same one again moves up instead of piling up. */
export function show(error) {
  const name = `${error.code ?? ""} ${error.message}`;
  entries.get(name)?.remove();
  const close = () => {
    entries.get(name)?.remove();
    entries.delete(name);
  };
  const entry = h(
    "div",
    { class: "problem", "data-code": error.code ?? "" },
    h(
      "div",
      {},
      h("strong", {}, error.message),
      error.code ? h("code", {}, error.code) : null,
      [error.detail, error.hint, error.allowed?.length ? `Allowed: ${error.allowed.join(", ")}.` : ""]
        .filter(Boolean)
        .map((text) => h("p", {}, text)),
      error.requestId ? h("p", { class: "quiet" }, `Request id ${error.requestId}`) : null,
    ),
    h("button", { type: "button", class: "plain", "aria-label": "Dismiss this message", onclick: close }, "×"),
  );
  entries.set(name, entry);
  byId("problems").prepend(entry);
}

/** Take back what is no longer so. */
export function dismiss(code) {
  for (const [name, entry] of entries) {
    if (entry.dataset.code !== code) continue;
    entry.remove();
    entries.delete(name);
  }
}

export function clear() {
  for (const entry of entries.values()) entry.remove();
  entries.clear();
}
