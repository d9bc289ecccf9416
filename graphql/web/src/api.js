// The public GraphQL API, as any client uses it: queries over HTTP, subscriptions over one WebSocket.
import { createClient } from "graphql-ws";

const HEADERS = { "Content-Type": "application/json", Accept: "application/graphql-response+json" };
const LONGEST_PAUSE = 15_000;

/** The code of what no server has said. */
export const NO_ANSWER = "NO_ANSWER";

/** A refusal: what the API said, or that it did not answer. */
export class ApiError extends Error {
  constructor(message, { code = "", hint = "", detail = "", allowed = [], requestId = "" } = {}) {
    super(message);
    Object.assign(this, { code, hint, detail, allowed, requestId });
  }

  static of(error, requestId) {
    return new ApiError(error.message, { ...error.extensions, requestId: error.extensions?.requestId ?? requestId });
  }

  /** Whether the key is no good, so that nothing else will work either. */
  get isAboutKey() {
    return this.code === "UNAUTHENTICATED" || this.code === "CREDENTIAL_EXPIRED";
  }
}

export class Api {
  /** `onError` gets the errors of fields where the others were answered. */
  constructor(key, onError) {
    this.key = key;
    this.onError = onError;
    this.url = new URL("graphql", location.href);
    const socket = new URL(this.url);
    socket.protocol = socket.protocol.replace("http", "ws");
    this.client = createClient({
      url: socket.href,
      connectionParams: { Authorization: `Bearer ${key}` },
      // What was seen last changes with every attempt, so `live` makes them.
      retryAttempts: 0,
    });
  }

  /** Return the data of an answer; throws ApiError where there is none. */
  async query(document, variables = {}) {
    let response, body;
    try {
      response = await fetch(this.url, {
        method: "POST",
        headers: { ...HEADERS, Authorization: `Bearer ${this.key}` },
        body: JSON.stringify({ query: document, variables }),
        credentials: "omit",
      });
      body = await response.json();
    } catch {
      throw new ApiError("the API does not answer", { code: NO_ANSWER, hint: "Is it running?" });
    }
    const requestId = response.headers.get("X-Request-Id") ?? "";
    const errors = (body.errors ?? []).map((error) => ApiError.of(error, requestId));
    if (!body.data || (errors.length && Object.values(body.data).every((value) => value === null))) {
      throw errors[0] ?? new ApiError(`the API answered with status ${response.status}`, { requestId });
    }
    for (const error of errors) this.onError(error);
    return body.data;
  }

  /**
   * Subscribe, and again whenever the connection is lost; returns a function that ends it.
   *
   * `variables()` is asked before each attempt. `on.state` gets "live" or "waiting"; `on.refused` a refusal that will not
   * go away, after which nothing is tried.
   */
  live(document, variables, on) {
    let ended = false, stop = () => {}, timer, failures = 0;
    const attempt = () => {
      const later = () => {
        if (ended) return;
        on.state("waiting");
        failures += 1;
        timer = setTimeout(attempt, Math.min(LONGEST_PAUSE, 500 * 2 ** failures));
      };
      stop = this.client.subscribe(
        { query: document, variables: variables() },
        {
          next: ({ data, errors }) => {
            failures = 0;
            if (data) on.next(data);
            for (const error of errors ?? []) this.onError(ApiError.of(error));
          },
          error: (cause) => {
            if (ended) return;
            const refusal = refusalOf(cause);
            if (refusal) on.refused(refusal);
            else later();
          },
          complete: later,
        },
      );
    };
    // The socket is shared: one listener tells that it is up.
    const unlisten = this.client.on("connected", () => {
      failures = 0;
      on.state("live");
    });
    attempt();
    return () => {
      ended = true;
      clearTimeout(timer);
      unlisten();
      stop();
    };
  }

  close() {
    this.client.dispose();
  }
}

/** Return the refusal that a failed subscription is about; null if it may work the next time. */
function refusalOf(cause) {
  if (Array.isArray(cause)) {
    const error = ApiError.of(cause[0]);
    return ["LIVE_UNAVAILABLE", "SLOW_CONSUMER", "RATE_LIMITED", "OVERLOADED", "DATABASE_UNAVAILABLE"].includes(error.code)
      ? null
      : error;
  }
  if (cause?.code === 4403) {
    return new ApiError("the key is not accepted", { code: cause.reason.split(": ")[1] || "UNAUTHENTICATED" });
  }
  return null;
}
