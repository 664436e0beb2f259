import { expect, test } from "vitest";

import { circuitChanges, rowsOf, type PipelineState, type ResilienceState } from "./resilience";

function pipeline(circuit: string): PipelineState {
  return { circuit, bulkhead: { in_use: 1, limit: 100, waiting: 0 }, retry_budget: { tokens: 10, limit: 10 } };
}

/** Return a state with these circuits of orders and of its expensive endpoint. */
function state(orders: string, endpoint = "closed", process = 7): ResilienceState {
  return {
    process,
    requests: { in_flight: 1, limit: 500, shed: 0 },
    upstreams: {
      users: pipeline("closed"),
      orders: { ...pipeline(orders), endpoints: { "POST /orders": pipeline(endpoint) } },
    },
  };
}

test("upstreams and their expensive endpoints are rows", () => {
  expect(rowsOf(state("open")).map(({ name, service, circuit }) => [name, service, circuit])).toEqual([
    ["users", "users", "closed"],
    ["orders", "orders", "open"],
    ["orders POST /orders", "orders", "closed"],
  ]);
});

test("circuits whose state has changed are returned", () => {
  const changes = circuitChanges(state("closed"), state("open", "half_open"));
  expect(changes.map(({ name, circuit }) => `${name} ${circuit}`)).toEqual(["orders open", "orders POST /orders half_open"]);
  expect(circuitChanges(state("open"), state("open"))).toEqual([]);
});

test("the first state and the state of another process are not changes", () => {
  expect(circuitChanges(state("closed"), state("open", "closed", 8))).toEqual([]);
  expect(circuitChanges(undefined, state("open"))).toEqual([]);
});
