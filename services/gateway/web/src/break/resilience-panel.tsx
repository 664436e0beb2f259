/** Circuits, bulkheads and retry budgets of the gateway process that responds, polled each second. */

import { useRef, useState } from "preact/hooks";

import { api } from "../api";
import type { EffectLog } from "./effects";
import { circuitChanges, circuitText, rowsOf, type ResilienceRow, type ResilienceState } from "./resilience";
import { usePolling } from "../components/use-polling";

const POLL_MS = 1_000;

export function ResiliencePanel({ log }: { readonly log: EffectLog }) {
  const [state, setState] = useState<ResilienceState | undefined>(undefined);
  const before = useRef<ResilienceState | undefined>(undefined);
  const poll = async (): Promise<void> => {
    const options = { background: true, authenticated: false };
    const { body } = await api.json<ResilienceState>("/browser/resilience", options);
    for (const { name, circuit } of circuitChanges(before.current, body)) {
      const severity = circuit === "closed" ? "good" : "bad";
      log.add({ severity, text: `The circuit of ${name} is ${circuitText(circuit)}` });
    }
    before.current = body;
    setState(body);
  };
  usePolling(POLL_MS, poll, []);
  return (
    <section class="panel" aria-labelledby="resilience-title">
      <h2 id="resilience-title">Gateway</h2>
      {state === undefined ? <p>Loading…</p> : <Table state={state} />}
    </section>
  );
}

function Table({ state }: { readonly state: ResilienceState }) {
  const { requests, process } = state;
  return (
    <>
      <p class="quiet">
        Process {process}: {requests.in_flight} of {requests.limit} requests in progress, {requests.shed} rejected by load
        shedding.
      </p>
      <div class="scroll" tabIndex={0} role="group" aria-label="State of the upstreams">
        <table class="resilience">
          <thead>
            <tr>
              <th scope="col">Calls to</th>
              <th scope="col">Circuit</th>
              <th scope="col">Bulkhead</th>
              <th scope="col">Retries allowed</th>
            </tr>
          </thead>
          <tbody>
            {rowsOf(state).map((row) => (
              <ResilienceRowView key={row.name} row={row} />
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function ResilienceRowView({ row }: { readonly row: ResilienceRow }) {
  const { name, service, circuit, bulkhead, retry_budget: budget } = row;
  return (
    <tr data-service={service} data-upstream={name}>
      <th scope="row" class="resilience-name">
        {name}
      </th>
      <td>
        <span class="circuit" data-circuit={circuit}>
          {circuitText(circuit)}
        </span>
      </td>
      <td>
        <meter min={0} max={bulkhead.limit} value={bulkhead.in_use} aria-label={`Bulkhead of ${name}`} />
        <span class="quiet">
          {" "}
          {bulkhead.in_use} of {bulkhead.limit}
          {bulkhead.waiting > 0 && `, ${bulkhead.waiting} wait`}
        </span>
      </td>
      <td>
        <meter min={0} max={budget.limit} value={budget.tokens} aria-label={`Retry budget of ${name}`} />
        <span class="quiet">
          {" "}
          {budget.tokens} of {budget.limit}
        </span>
      </td>
    </tr>
  );
}
