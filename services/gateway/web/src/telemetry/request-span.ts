/** The span of an HTTP request of the page. */

import type { SpanRecord } from "./span-record";

/** The parameter that follows a part of a path. */
const PARAMETERS = new Map([
  ["orders", "{id}"],
  ["products", "{sku}"],
  ["reports", "{id}"],
]);
const FIRST_ERROR_STATUS = 400;

interface StartedRequest {
  readonly method: string;
  readonly url: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly startedAt: number;
}

/** Whether the request goes to the origin of the page. Only then may it carry trace context. */
export function isSameOrigin(url: string, page: Pick<Location, "href" | "origin">): boolean {
  try {
    return new URL(url, page.href).origin === page.origin;
  } catch {
    return false;
  }
}

/**
 * Whether requests of this URL are recorded.
 *
 * Requests below /browser read telemetry and the state of the gateway. They are not part of a user's action.
 */
export function isRecorded(url: string): boolean {
  return !url.startsWith("/browser/");
}

/** Return the path with the names of its parameters, because span names must not contain ids. */
export function templateOf(url: string): string {
  const [path = ""] = url.split(/[?#]/, 1);
  const parts = path.split("/");
  return parts.map((part, index) => PARAMETERS.get(parts[index - 1] ?? "") ?? part).join("/");
}

/** Return the CLIENT span of a request that has ended; `status` is 0 if there was no response. */
export function requestSpan(request: StartedRequest, status: number, endedAt: number): SpanRecord {
  const { method, url, traceId, spanId, parentSpanId, startedAt } = request;
  const template = templateOf(url);
  const failed = status === 0 || status >= FIRST_ERROR_STATUS;
  return {
    name: `${method} ${template}`,
    kind: "client",
    traceId,
    spanId,
    parentSpanId,
    startedAt,
    endedAt,
    attributes: {
      "http.request.method": method,
      "url.template": template,
      ...(status === 0 ? {} : { "http.response.status_code": status }),
      ...(failed ? { "error.type": status === 0 ? "no_response" : String(status) } : {}),
    },
    failed,
  };
}
