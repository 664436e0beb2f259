/** The state of a gateway process: `GET /browser/resilience`. */

export interface PipelineState {
  readonly circuit: string;
  readonly bulkhead: { readonly in_use: number; readonly limit: number; readonly waiting: number };
  readonly retry_budget: { readonly tokens: number; readonly limit: number };
}

export interface UpstreamState extends PipelineState {
  readonly endpoints?: Readonly<Record<string, PipelineState>>;
}

export interface ResilienceState {
  readonly process: number;
  readonly requests: { readonly in_flight: number; readonly limit: number; readonly shed: number };
  readonly upstreams: Readonly<Record<string, UpstreamState>>;
}

export interface ResilienceRow extends PipelineState {
  readonly name: string;
  readonly service: string;
}

const CIRCUIT_WORDS: Readonly<Record<string, string>> = {
  closed: "closed: calls pass",
  half_open: "half open: one probe",
  open: "open: no calls",
};

export function circuitText(circuit: string): string {
  return CIRCUIT_WORDS[circuit] ?? circuit;
}

/** Return one row per upstream and per expensive endpoint, which has separate limits. */
export function rowsOf(state: ResilienceState): ResilienceRow[] {
  return Object.entries(state.upstreams).flatMap(([service, { endpoints = {}, ...upstream }]) => [
    { name: service, service, ...upstream },
    ...Object.entries(endpoints).map(([name, endpoint]) => ({ name: `${service} ${name}`, service, ...endpoint })),
  ]);
}

/** Return the circuits that changed since the last state of the same process. */
export function circuitChanges(before: ResilienceState | undefined, after: ResilienceState): ResilienceRow[] {
  // Each process has separate circuits, so states of different processes cannot be compared.
  if (before?.process !== after.process) return [];
  const earlier = new Map(rowsOf(before).map((row) => [row.name, row.circuit]));
  return rowsOf(after).filter(({ name, circuit }) => earlier.has(name) && earlier.get(name) !== circuit);
}
