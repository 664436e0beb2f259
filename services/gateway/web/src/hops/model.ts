/** The hops of an action, derived from the evidence about it. */

import { evidenceOf, type Evidence } from "./evidence";
import { attemptsOf, mainCall, type Call, type Journey } from "./journey";
import { plannedHops } from "./plans";
import { hasFailed, reasonOf, type TraceSpan } from "./trace";

export interface Hop extends Evidence {
  readonly id: string;
  readonly label: string;
  readonly service: string;
  /** Details of the state: the number of attempts, why the hop failed, or why it will not be reached. */
  readonly reason?: string;
}

const FIRST_ERROR_STATUS = 400;

/** Return the hops in their order. A hop without evidence waits. */
export function hopsOf(journey: Journey): Hop[] {
  const main = mainCall(journey);
  if (main === undefined) return [];
  const response = [browserHop(journey, main), gatewayHop(journey, main), ...upstreamHops(journey, main)];
  const planned = plannedHops(main.method, main.url);
  const isRejected = main.status !== undefined && main.status >= FIRST_ERROR_STATUS;
  const later = planned.map(({ id, label, service, ...plan }): Hop => {
    const evidence = evidenceOf({ id, label, service, ...plan }, journey, timeOf(journey, main));
    const isUnreachable = evidence.state === "waiting" && isRejected;
    return { id, label, service, ...evidence, ...(isUnreachable ? { reason: "not reached" } : {}) };
  });
  return [...response, ...later];
}

/** Whether every hop has been reached, has failed, or cannot be reached. */
export function allHopsResolved(hops: readonly Hop[]): boolean {
  return hops.length > 0 && hops.every(({ state, reason }) => state !== "waiting" || reason !== undefined);
}

function browserHop(journey: Journey, main: Call): Hop {
  const hop = { id: "browser", label: "Request of the browser", service: "browser" };
  const attempts = attemptsOf(journey);
  const repeated = attempts > 1 ? { reason: `sent ${attempts} times` } : {};
  return { ...hop, state: "reached", source: "response", at: main.startedAt - journey.startedAt, ...repeated };
}

function gatewayHop(journey: Journey, main: Call): Hop {
  const hop = { id: "gateway", label: "Gateway", service: "gateway" };
  const { status, duration = 0 } = main;
  if (status === undefined) return { ...hop, state: "waiting" };
  const at = main.startedAt + duration - journey.startedAt;
  if (status === 0) return { ...hop, state: "failed", at, reason: main.isAborted ? "aborted by the page" : "no response" };
  const total = main.serverTiming?.find(({ name }) => name === "total");
  const responded = { ...hop, source: "response", at, ...(total === undefined ? {} : { duration: total.duration }) } as const;
  if (status < FIRST_ERROR_STATUS) return { ...responded, state: "reached" };
  const problem = problemOf(journey);
  return { ...responded, state: "failed", reason: problem === undefined ? `status ${status}` : `status ${status} ${problem}` };
}

/** Return one hop for each upstream call in Server-Timing. Before the response, return one hop for all calls. */
function upstreamHops(journey: Journey, main: Call): Hop[] {
  if (main.status === undefined) return [{ id: "upstream", label: "Upstream calls", service: "gateway", state: "waiting" }];
  const at = main.startedAt + (main.duration ?? 0) - journey.startedAt;
  const entries = (main.serverTiming ?? []).filter(({ name }) => name !== "total");
  return entries.map(({ name, duration, description }, index): Hop => {
    const hop = { id: `upstream-${index}`, label: `Call of ${name}`, service: name, source: "response", at, duration } as const;
    const failure = journey.spans.filter((span) => isCall(span, name)).at(-1);
    if (failure !== undefined && hasFailed(failure)) return { ...hop, state: "failed", reason: reasonOf(failure) };
    return { ...hop, state: "reached", ...(description === "" ? {} : { reason: description }) };
  });
}

/** Return the slug of the problem. The service that rejects a request records it, and the gateway only forwards it. */
function problemOf({ spans }: Journey): string | undefined {
  const problems = spans.filter((span) => isKind(span, "server")).map(({ attributes }) => attributes["hopline.problem"]);
  const problem = problems.find((slug) => slug !== undefined);
  return problem === undefined ? undefined : String(problem);
}

function isCall(span: TraceSpan, upstream: string): boolean {
  return span.service === "gateway" && isKind(span, "client") && span.attributes["service.peer.name"] === upstream;
}

function serverSpan(journey: Journey, main: Call): TraceSpan | undefined {
  const servers = journey.spans.filter((span) => span.service === "gateway" && isKind(span, "server"));
  return servers.find((span) => span.parent_span_id === main.spanId) ?? servers[0];
}

function isKind(span: TraceSpan, kind: string): boolean {
  return span.kind.toLowerCase() === kind;
}

/**
 * Return the function that converts times of spans to milliseconds since the action began.
 *
 * The clocks of browser and server differ. The gateway's span lies within the request, and the network takes about the
 * same time in both directions, so the middles of both are the same moment.
 */
function timeOf(journey: Journey, main: Call): (microseconds: number) => number {
  const server = serverSpan(journey, main);
  const requested = main.startedAt - journey.startedAt;
  if (server === undefined || main.duration === undefined) {
    const earliest = Math.min(...journey.spans.map((span) => span.start_us));
    return (microseconds) => requested + (microseconds - earliest) / 1000;
  }
  const middle = server.start_us + server.duration_us / 2;
  return (microseconds) => requested + (main.duration ?? 0) / 2 + (microseconds - middle) / 1000;
}
