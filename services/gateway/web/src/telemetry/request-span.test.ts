import { expect, test } from "vitest";

import { isRecorded, isSameOrigin, requestSpan, templateOf } from "./request-span";

const PAGE = { href: "http://shop.example:8000/#/cart", origin: "http://shop.example:8000" };
const ORDER = "/v2/orders/0190b2a4-7e3c-7d5a-9b1e-3f2a4c5d6e7f";
const REQUEST = { method: "POST", url: "/v2/orders", traceId: "a".repeat(32), spanId: "b".repeat(16), startedAt: 5 };

test.each([
  ["/v2/orders", true],
  ["http://shop.example:8000/v2/orders", true],
  ["//shop.example:8000/v2/orders", true],
  ["http://shop.example:8001/v2/orders", false],
  ["https://shop.example:8000/v2/orders", false],
  ["//elsewhere.example/v2/orders", false],
  ["http://", false],
])("%s is of the same origin: %s", (url, expected) => {
  expect(isSameOrigin(url, PAGE)).toBe(expected);
});

test("requests for the state of the gateway, which the page polls, are not recorded", () => {
  expect(isRecorded("/browser/resilience")).toBe(false);
  expect(isRecorded("/v2/orders")).toBe(true);
});

test.each([
  ["/v2/orders?limit=20&cursor=abc", "/v2/orders"],
  [`${ORDER}/cancel`, "/v2/orders/{id}/cancel"],
  ["/v2/orders/not-an-id", "/v2/orders/{id}"],
  ["/v2/users/me", "/v2/users/me"],
  ["/v2/products/MUG-ENAMEL-BLUE", "/v2/products/{sku}"],
  ["/v2/products?limit=1", "/v2/products"],
])("the template of %s is %s", (url, expected) => {
  expect(templateOf(url)).toBe(expected);
});

test("a response ends a CLIENT span with its status", () => {
  const span = requestSpan({ ...REQUEST, parentSpanId: "c".repeat(16) }, 201, 9);
  expect(span).toMatchObject({ name: "POST /v2/orders", kind: "client", parentSpanId: "c".repeat(16), endedAt: 9, failed: false });
  expect(span.attributes).toEqual({
    "http.request.method": "POST",
    "url.template": "/v2/orders",
    "http.response.status_code": 201,
  });
});

test("an error response fails the span", () => {
  const span = requestSpan({ ...REQUEST, parentSpanId: undefined }, 503, 9);
  expect(span.failed).toBe(true);
  expect(span.attributes).toMatchObject({ "http.response.status_code": 503, "error.type": "503" });
});

test("a missing response fails the span without a status", () => {
  const span = requestSpan({ ...REQUEST, parentSpanId: undefined }, 0, 9);
  expect(span.failed).toBe(true);
  expect(span.attributes["error.type"]).toBe("no_response");
  expect(span.attributes).not.toHaveProperty("http.response.status_code");
});
