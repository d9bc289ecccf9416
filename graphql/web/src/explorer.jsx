// GraphiQL, served by the API itself: no address but this one is asked for anything.
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import "graphiql/style.css";
import { useEffect, useRef } from "react";
import { createRoot } from "react-dom/client";
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import "./explorer.css";
import example from "./example.graphql";
import { currentKey } from "./key.js";

globalThis.MonacoEnvironment = {
  getWorker(_id, label) {
    return new Worker(new URL(WORKERS[label] ?? WORKERS.editor, import.meta.url));
  },
};

const endpoint = new URL(location.pathname, location.href);
const socket = new URL(endpoint);
socket.protocol = socket.protocol.replace("http", "ws");
const send = createGraphiQLFetcher({ url: endpoint.href, subscriptionUrl: socket.href });

/** Say what to do where there is no key, instead of asking the server for a refusal. */
function fetcher(request, options) {
  // The schema is read before the editor of headers is there.
  const headers = options?.headers ?? { Authorization: `Bearer ${currentKey()}` };
  if (!credential(headers)) {
    return Promise.resolve({
      errors: [
        {
          message: "a key is needed",
          extensions: {
            hint: 'Open the tab "Headers" below the query and complete {"Authorization": "Bearer …"}. '
              + "`telestream api key create NAME --role api` makes a key.",
          },
        },
      ],
    });
  }
  return send(request, { ...options, headers });
}

function credential(headers) {
  const found = Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
  return String(found.authorization ?? "").replace(/^bearer\s*/i, "") || found["x-api-key"] || "";
}

/** Read the schema as soon as there is a key that may. */
function SchemaFollowsKey({ headers }) {
  const { introspect } = useGraphiQLActions();
  const known = useGraphiQL((state) => Boolean(state.schema));
  const tried = useRef("");
  useEffect(() => {
    const timer = setInterval(() => {
      let key = "";
      try {
        key = credential(JSON.parse(headers.current));
      } catch {
        // half-typed JSON
      }
      if (key && key !== tried.current && !known) introspect();
      tried.current = key;
    }, 1000);
    return () => clearInterval(timer);
  }, [introspect, known, headers]);
  return null;
}

function Explorer() {
  const initial = JSON.stringify({ Authorization: `Bearer ${currentKey()}` }, null, 2);
  const headers = useRef(initial);
  return (
    <GraphiQL
      fetcher={fetcher}
      defaultQuery={example}
      initialHeaders={initial}
      defaultHeaders={initial}
      defaultEditorToolsVisibility="headers"
      shouldPersistHeaders={false}
      showPersistHeadersSettings={false}
      onEditHeaders={(text) => {
        headers.current = text;
      }}
    >
      <GraphiQL.Logo>
        <a className="explorer-home" href="./">TeleStream</a>
      </GraphiQL.Logo>
      <GraphiQL.Toolbar>
        {({ merge, prettify, copy }) => (
          <>
            {prettify}
            {merge}
            {copy}
            <SchemaFollowsKey headers={headers} />
          </>
        )}
      </GraphiQL.Toolbar>
    </GraphiQL>
  );
}

createRoot(document.getElementById("explorer")).render(<Explorer />);
