// Runs the audit of GraphQL over HTTP against a server and prints each result as a line of JSON.
import { serverAudits } from "graphql-http";

const [url, key] = process.argv.slice(2);
const fetchFn = (input, init = {}) =>
  fetch(input, { ...init, headers: { ...init.headers, authorization: `Bearer ${key}` } });
for (const audit of serverAudits({ url, fetchFn })) {
  const result = await audit.fn();
  const { id, name } = audit;
  console.log(JSON.stringify({ id, name, status: result.status, reason: result.reason ?? null }));
}
