/** Exports spans by the OpenTelemetry SDK, and sends the page's web vitals. This module is a separate chunk. */

import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, TraceFlags } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, WebTracerProvider, type IdGenerator, type SpanExporter } from "@opentelemetry/sdk-trace-web";

import type { BrowserConfig } from "../config";
import type { Sink } from "./queue";
import type { SpanRecord } from "./span-record";
import { startVitals } from "./vitals";

const KINDS = { internal: SpanKind.INTERNAL, client: SpanKind.CLIENT, consumer: SpanKind.CONSUMER };

/** The gateway accepts 200 spans and 64 KiB in one request; a span has at most about 1 KB. */
const BATCH = { maxQueueSize: 256, maxExportBatchSize: 50, scheduledDelayMillis: 500, exportTimeoutMillis: 5_000 };

/** Begin to export. Return the function that receives the spans. */
export function startExport(telemetry: BrowserConfig["telemetry"]): Sink {
  const exporter = new OTLPTraceExporter({
    url: new URL(telemetry.traces_url, location.href).href,
    timeoutMillis: BATCH.exportTimeoutMillis,
    concurrencyLimit: 4,
  });
  const spans = new SpanRecorder(exporter);
  // The processor exports when the page is hidden. Some browsers send only `pagehide`, and only to the window.
  addEventListener("pagehide", () => void spans.flush());
  startVitals(telemetry.metrics_url);
  return (record) => {
    spans.record(record);
  };
}

/** Creates SDK spans with the ids and times of records. */
export class SpanRecorder {
  readonly #ids = new RecordedIds();
  readonly #provider: WebTracerProvider;

  constructor(exporter: SpanExporter) {
    this.#provider = new WebTracerProvider({
      // The gateway replaces the resource. These attributes are for other receivers.
      resource: resourceFromAttributes({ "service.name": "browser", "service.namespace": "hopline" }),
      idGenerator: this.#ids,
      spanProcessors: [new BatchSpanProcessor(exporter, BATCH)],
    });
  }

  record(record: SpanRecord): void {
    this.#ids.current = record;
    const { traceId, parentSpanId } = record;
    const parent =
      parentSpanId === undefined
        ? ROOT_CONTEXT
        : trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId: parentSpanId, traceFlags: TraceFlags.SAMPLED, isRemote: true });
    const options = { kind: KINDS[record.kind], startTime: record.startedAt, attributes: record.attributes };
    const span = this.#provider.getTracer("hopline-shop").startSpan(record.name, options, parent);
    if (record.failed) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end(record.endedAt);
  }

  /** Export all spans now. Failures are not reported: telemetry must not disturb the page. */
  async flush(): Promise<void> {
    await this.#provider.forceFlush().catch(() => undefined);
  }
}

/** Generates no ids: it returns those of the current record, which the page has already sent to the gateway. */
class RecordedIds implements IdGenerator {
  current: SpanRecord | undefined;

  generateTraceId(): string {
    return this.current?.traceId ?? "";
  }

  generateSpanId(): string {
    return this.current?.spanId ?? "";
  }
}
