import { expect, test } from "vitest";

import { linksOf } from "./links";
import { orderSpans, TRACE_ID } from "./testing";

const LINKS = {
  traces: "http://localhost:16686/",
  logs: "http://localhost:3000/explore",
  mail: "http://localhost:8025/",
};
const SPANS = orderSpans().map((span) =>
  span.name === "SMTP send" ? { ...span, attributes: { "hopline.email.message_id": `<order-${span.span_id}@hopline.example>` } } : span,
);

test("an order has links to its trace, its log records and each of its emails", () => {
  const links = linksOf(LINKS, TRACE_ID, [...SPANS].reverse());
  expect(links.map(({ text }) => text)).toEqual(["Trace", "Log records", "Email 1", "Email 2"]);
  expect(links[0]?.address).toBe(`http://localhost:16686/trace/${TRACE_ID}`);
  expect(links[2]?.address).toBe("http://localhost:8025/search?q=message-id%3A%22order-e1%40hopline.example%22");
});

test("log records are queried by their trace id", () => {
  const address = new URL(linksOf(LINKS, TRACE_ID, [])[1]?.address ?? "");
  expect(address.origin + address.pathname).toBe("http://localhost:3000/explore");
  const panes = JSON.parse(address.searchParams.get("panes") ?? "") as Record<string, { queries: { expr: string }[] }>;
  expect(panes.logs?.queries[0]?.expr).toBe(`{service_namespace="hopline"} | trace_id=\`${TRACE_ID}\``);
});

test("the link to the trace mentions the log records if there is no log viewer", () => {
  const links = linksOf({ ...LINKS, logs: null }, TRACE_ID, []);
  expect(links.map(({ text }) => text)).toEqual(["Trace with its log records"]);
});

test("tools without a URL have no links", () => {
  expect(linksOf({ traces: null, docs: "/v2/docs" }, TRACE_ID, SPANS)).toEqual([]);
});
