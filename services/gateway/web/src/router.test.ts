import { describe, expect, test } from "vitest";

import { parseRoute } from "./router";

describe("parseRoute", () => {
  test.each([
    ["", "catalog", ""],
    ["#/", "catalog", ""],
    ["#/cart", "cart", ""],
    ["#/product/MUG-ENAMEL-BLUE", "product", "MUG-ENAMEL-BLUE"],
    ["#/orders/0190", "order", "0190"],
    ["#/product/a%20b", "product", "a b"],
    ["#/product/%", "product", "%"],
    ["#/cart/5", "unknown", "5"],
    ["#/orders/1/2", "unknown", "1"],
    ["#/constructor", "unknown", ""],
  ])("%j is the page %s", (hash, page, id) => {
    expect(parseRoute(hash)).toMatchObject({ page, id });
  });

  test("returns the query", () => {
    expect(parseRoute("#/login?next=/cart").query.get("next")).toBe("/cart");
  });
});
