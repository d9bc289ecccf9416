// Where the key lives: in this tab's session storage, never in an address that is sent or kept.
const NAME = "telestream.key";

/** Return the key of `#key=…`, which is removed from the address bar, or the one this tab has; "" if there is none. */
export function currentKey() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given !== null) {
    history.replaceState(null, "", location.pathname + location.search);
    keepKey(given.trim());
  }
  return sessionStorage.getItem(NAME) ?? "";
}

export function keepKey(key) {
  sessionStorage.setItem(NAME, key);
}

export function forgetKey() {
  sessionStorage.removeItem(NAME);
}
