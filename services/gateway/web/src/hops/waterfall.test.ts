import { describe, expect, test } from "vitest";

import { at, orderSpans, span } from "./testing";
import { createWaterfall } from "./waterfall";

describe("rows", () => {
  test("are indented below their parents, siblings in the order of their start", () => {
    const { rows } = createWaterfall([...orderSpans()].reverse());
    const drawn = rows.map(({ depth, span: { service, name } }) => `${"  ".repeat(depth)}${service} ${name}`);
    expect(drawn.slice(0, 11)).toEqual([
      "browser place order",
      "  browser POST /v2/orders",
      "    gateway POST /v2/orders",
      "      gateway POST /orders",
      "        orders POST /orders",
      "          orders publish events:orders",
      "            notifications process events:orders",
      "              notifications send notification",
      "            workers process events:orders",
      "              workers run send_order_email",
      "                workers SMTP send",
    ]);
    expect(rows).toHaveLength(orderSpans().length);
  });

  test("whose parent has not arrived are roots and marked as orphans", () => {
    const { rows } = createWaterfall(orderSpans().filter(({ span_id }) => span_id !== "n1"));
    const orphan = rows.find((row) => row.span.span_id === "s1");
    expect(orphan).toMatchObject({ depth: 0, isOrphan: true, parent: undefined });
    expect(rows[0]).toMatchObject({ depth: 0, isOrphan: false });
  });

  test("of spans that are parents of each other are left out", () => {
    const { rows } = createWaterfall([span("a", "b", "x", "one"), span("b", "a", "x", "two"), span("c", null, "x", "root")]);
    expect(rows.map(({ span: { name } }) => name)).toEqual(["root"]);
  });

  test("of a deep trace do not exceed the stack", () => {
    const spans = Array.from({ length: 500 }, (_, index) =>
      span(String(index), index === 0 ? null : String(index - 1), "x", "deep"),
    );
    expect(createWaterfall(spans).rows.at(-1)?.depth).toBe(499);
  });
});

describe("the timeline", () => {
  test("without pauses is linear", () => {
    const { rows, folds, duration } = createWaterfall([
      span("a", null, "x", "whole", at(0, 100)),
      span("b", "a", "x", "half", at(25, 50)),
    ]);
    expect(folds).toEqual([]);
    expect(duration).toBe(100);
    expect(rows[1]).toMatchObject({ startedAt: 25, left: 0.25, width: 0.5 });
  });

  test("folds long pauses only", () => {
    const { rows, folds, duration } = createWaterfall([
      span("a", null, "x", "before", at(0, 50)),
      span("b", "a", "x", "shortly after", at(100, 50)),
      span("c", "a", "x", "much later", at(2_150, 50)),
    ]);
    expect(folds).toHaveLength(1);
    expect(folds[0]?.milliseconds).toBe(2_000);
    // The fold takes 4 % of the width. The other 200 ms share 96 %, of which 150 ms are before the fold.
    expect(folds[0]?.position).toBeCloseTo(0.72 + 0.02);
    expect(duration).toBe(2_200);
    expect(rows[1]?.left).toBeCloseTo(0.48);
    expect(rows[2]?.left).toBeCloseTo(0.72 + 0.04);
    expect((rows[2]?.left ?? 0) + (rows[2]?.width ?? 0)).toBeCloseTo(1);
  });

  test("leaves at least half of its width to the spans", () => {
    const spans = Array.from({ length: 100 }, (_, index) => span(String(index), null, "x", "beat", at(index * 1_000, 10)));
    const { rows } = createWaterfall(spans);
    expect(rows.reduce((sum, { width }) => sum + width, 0)).toBeCloseTo(0.5);
  });

  test("has a position for a span without duration, and is empty without spans", () => {
    expect(createWaterfall([span("a", null, "x", "moment", at(0, 0))]).rows[0]).toMatchObject({ left: 0, width: 0 });
    expect(createWaterfall([])).toEqual({ rows: [], folds: [], duration: 0 });
  });
});
