/**
 * Web vitals (https://web.dev/articles/vitals) as OTLP metrics.
 *
 * A page sends five numbers in total, so it sends them as OTLP/HTTP JSON without the metrics SDK, which is larger than the
 * SDK for traces. Each number is a gauge with the value of the last page. `quantile_over_time` computes percentiles over
 * several pages. A histogram would need a separate series for each page, because each page begins to count at zero.
 */

import { onCLS, onFCP, onINP, onLCP, onTTFB, type Metric } from "web-vitals";

import { toEpoch } from "./span-record";

export interface Vital {
  readonly name: Metric["name"];
  /** Milliseconds; for CLS a score without a unit. */
  readonly value: number;
}

const TIMES = "hopline.web_vital.duration";
const SHIFTS = "hopline.web_vital.layout_shift";
const FIRST_FLUSH_MS = 5_000;

/** Send the vitals to `url`: the first ones after some seconds, and the others when the page is hidden. */
export function startVitals(url: string): void {
  const pending = new Map<Vital["name"], Vital>();
  const add = ({ name, value }: Vital): void => {
    pending.set(name, { name, value });
  };
  const flush = (): void => {
    if (pending.size === 0) return;
    const body = JSON.stringify(vitalsBody([...pending.values()], toEpoch(performance.now())));
    // The browser delivers a beacon even if the page is being closed. If it rejects the beacon, the vitals are lost.
    navigator.sendBeacon(url, new Blob([body], { type: "application/json" }));
    pending.clear();
  };
  onCLS(add);
  onFCP(add);
  onINP(add);
  onLCP(add);
  onTTFB(add);
  setTimeout(flush, FIRST_FLUSH_MS);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") flush();
  });
  addEventListener("pagehide", flush);
}

/** Return the OTLP ExportMetricsServiceRequest in JSON for vitals measured until `now`, in milliseconds since the epoch. */
export function vitalsBody(vitals: readonly Vital[], now: number): object {
  const timeUnixNano = `${Math.round(now)}000000`;
  const shifts = vitals.filter(({ name }) => name === "CLS");
  const times = vitals.filter(({ name }) => name !== "CLS");
  const metrics = [
    {
      name: TIMES,
      unit: "s",
      description: "Web vitals that are times",
      gauge: {
        dataPoints: times.map(({ name, value }) => ({
          timeUnixNano,
          asDouble: value / 1000,
          attributes: [{ key: "hopline.web_vital.name", value: { stringValue: name.toLowerCase() } }],
        })),
      },
    },
    {
      name: SHIFTS,
      unit: "1",
      description: "Cumulative layout shift",
      gauge: { dataPoints: shifts.map(({ value }) => ({ timeUnixNano, asDouble: value, attributes: [] })) },
    },
  ];
  const resource = { attributes: [{ key: "service.name", value: { stringValue: "browser" } }] };
  const used = metrics.filter(({ gauge }) => gauge.dataPoints.length > 0);
  return { resourceMetrics: [{ resource, scopeMetrics: [{ scope: { name: "hopline-shop" }, metrics: used }] }] };
}
