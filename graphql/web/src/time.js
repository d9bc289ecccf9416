// Times in the time zone of the operator, which the API names with every series.
let zone = "UTC";
let formats = {};

export const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

/** Use a time zone from now on. */
export function useZone(name) {
  if (name === zone) return;
  zone = name;
  formats = {};
}

export const zoneName = () => zone;

function format(name, options) {
  formats[name] ??= new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", ...options });
  return formats[name];
}

export const clock = (at) => format("clock", { hour: "2-digit", minute: "2-digit" }).format(new Date(at));
export const day = (at) => format("day", { day: "numeric", month: "short" }).format(new Date(at));

/** Return `2026-03-01 09:05`. */
export function stamp(at) {
  return localInput(at).replace("T", " ");
}

/** Return a time as a field of type datetime-local has it. */
export function localInput(at) {
  const parts = Object.fromEntries(
    format("parts", { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" })
      .formatToParts(new Date(at))
      .map(({ type, value }) => [type, value]),
  );
  return `${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}`;
}

/** Return the time that a field of type datetime-local means; NaN where it means none. */
export function instant(text) {
  const asUtc = Date.parse(`${text}Z`);
  if (Number.isNaN(asUtc)) return NaN;
  const offset = (at) => Date.parse(`${localInput(at)}Z`) - Math.floor(at / MINUTE) * MINUTE;
  // The second step is right where the first lands on the other side of a change of the clocks.
  return asUtc - offset(asUtc - offset(asUtc));
}

export const iso = (at) => new Date(at).toISOString();
