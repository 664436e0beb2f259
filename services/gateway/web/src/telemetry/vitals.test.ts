import { expect, test } from "vitest";

import { vitalsBody } from "./vitals";

test("times are points of one metric in seconds, and layout shift is another metric", () => {
  const vitals = [
    { name: "LCP", value: 1250 },
    { name: "CLS", value: 0.02 },
    { name: "TTFB", value: 8 },
  ] as const;
  const now = Date.UTC(2026, 0, 1);
  const timeUnixNano = `${now}000000`;
  const times = [
    { timeUnixNano, asDouble: 1.25, attributes: [{ key: "hopline.web_vital.name", value: { stringValue: "lcp" } }] },
    { timeUnixNano, asDouble: 0.008, attributes: [{ key: "hopline.web_vital.name", value: { stringValue: "ttfb" } }] },
  ];
  expect(vitalsBody(vitals, now)).toEqual({
    resourceMetrics: [
      {
        resource: { attributes: [{ key: "service.name", value: { stringValue: "browser" } }] },
        scopeMetrics: [
          {
            scope: { name: "hopline-shop" },
            metrics: [
              {
                name: "hopline.web_vital.duration",
                unit: "s",
                description: "Web vitals that are times",
                gauge: { dataPoints: times },
              },
              {
                name: "hopline.web_vital.layout_shift",
                unit: "1",
                description: "Cumulative layout shift",
                gauge: { dataPoints: [{ timeUnixNano, asDouble: 0.02, attributes: [] }] },
              },
            ],
          },
        ],
      },
    ],
  });
});

test("a metric without values is not sent", () => {
  const body = JSON.stringify(vitalsBody([{ name: "FCP", value: 300.5 }], 1_000.4));
  expect(body).toContain('"timeUnixNano":"1000000000"');
  expect(body).not.toContain("layout_shift");
});
