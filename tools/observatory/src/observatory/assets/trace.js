// One trace: its summary, the waterfall with its time axis, and all its log records.

import { finder } from "./find.js";
import { followAddress, handleKeys } from "./navigation.js";
import { logSection } from "./log.js";
import { lostSpans } from "./lost.js";
import { overview } from "./overview.js";
import { el, read, showError } from "./page.js";
import { summary } from "./summary.js";
import { timeline } from "./timeline.js";
import { spansOf, tree } from "./tree.js";
import { backdrop, waterfall } from "./waterfall.js";
import { zoomable } from "./zoom.js";

const traceId = encodeURIComponent(location.pathname.split("/").at(-1));
const place = document.getElementById("waterfall");

async function start() {
  const [{ data: [trace] }, { lines }, { mails }] = await Promise.all([
    read(`/api/traces/${traceId}`),
    read(`/observatory/traces/${traceId}/logs`),
    read(`/observatory/traces/${traceId}/mails`),
  ]);
  lines.forEach((line, index) => Object.assign(line, { number: index + 1 }));
  const spans = spansOf(trace);
  const nodes = tree([...spans, ...lostSpans(spans)]);
  const origin = Math.min(...spans.map((span) => span.start));
  summary({ trace, nodes, lines, mails, origin, place });
  const time = timeline(spans);
  const zoom = show({ nodes, lines, mails, origin, time });
  followAddress(nodes, (span) => zoom.include(time.at(span.start), time.at(span.end)));
}

function show({ nodes, lines, mails, origin, time }) {
  const ofSpan = groupBySpan(lines);
  const linesOf = (id) => ofSpan.get(id) ?? [];
  const mailOf = (span) => mails.find((mail) => span.tags.get("hopline.email.message_id")?.includes(mail.message_id));
  const stage = el("div", { class: "waterfall" });
  const { ticks, tools, zoom } = zoomable({ stage, time, origin });
  const rows = waterfall({ nodes, time, origin, linesOf, mailOf });
  const texts = new Map(nodes.map(({ span }) => [span.id, searchableText(span, linesOf(span.id))]));
  stage.append(el("div", { class: "grid axis" }, finder({ texts, go: (id) => (location.hash = id) }), tools, ticks), backdrop(time), rows);
  place.replaceChildren(stage);
  place.prepend(overview({ nodes, time, zoom }));
  document.getElementById("log").replaceChildren(...logSection(lines, origin, (id) => texts.has(id)));
  handleKeys(rows, nodes, zoom);
  return zoom;
}

function searchableText(span, lines) {
  const records = lines.map(({ line, attributes }) => `${line} ${Object.values(attributes).join(" ")}`);
  return [span.service, span.operation, span.about, ...[...span.tags].flat(), ...records].join(" ").toLowerCase();
}

function groupBySpan(lines) {
  const groups = new Map();
  for (const line of lines) groups.set(line.span_id, [...(groups.get(line.span_id) ?? []), line]);
  return groups;
}

const GONE = "there is no such trace: it was not sampled, has not arrived yet, or was evicted";
start().catch((error) => showError(place, error.status === 404 ? new Error(GONE) : error));
