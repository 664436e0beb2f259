/** Errors of the API: problem+json (RFC 9457) as an exception, and requests that got no response. */

import { limitDelay } from "../realtime/backoff";

export interface FieldError {
  readonly field: string;
  readonly message: string;
}

interface ProblemFields {
  readonly status: number;
  readonly slug: string;
  readonly title: string;
  readonly detail: string;
  readonly traceId?: string | undefined;
  readonly errors?: readonly FieldError[];
  readonly retryAfterMs?: number | undefined;
}

/** The server responded with an error. `slug` is the last part of the problem's type, for example `out-of-stock`. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly status: number;
  readonly slug: string;
  readonly title: string;
  readonly detail: string;
  readonly traceId: string | undefined;
  readonly errors: readonly FieldError[];
  readonly retryAfterMs: number | undefined;

  constructor(fields: ProblemFields) {
    super(fields.detail || fields.title);
    this.status = fields.status;
    this.slug = fields.slug;
    this.title = fields.title;
    this.detail = fields.detail;
    this.traceId = fields.traceId;
    this.errors = fields.errors ?? [];
    this.retryAfterMs = fields.retryAfterMs;
  }
}

/** No response: the connection failed, or the deadline passed. The request may have had an effect. */
export class UnreachableError extends Error {
  override readonly name = "UnreachableError";

  constructor(readonly reason: "network" | "deadline") {
    super(reason === "deadline" ? "The shop did not respond in time." : "The shop cannot be reached.");
  }

  /** Convert the exception of `fetch`, or of reading a body that broke off. */
  static from(cause: unknown): UnreachableError {
    const isTimeout = cause instanceof DOMException && cause.name === "TimeoutError";
    return new UnreachableError(isTimeout ? "deadline" : "network");
  }
}

/** Return the milliseconds of a Retry-After header (seconds or an HTTP date), at most an hour, or undefined. */
export function parseRetryAfter(value: string | null, now: number): number | undefined {
  if (value === null || value.trim() === "") return undefined;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return seconds >= 0 ? limitDelay(seconds * 1000) : undefined;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : limitDelay(Math.max(0, date - now));
}

/** Return the problem of an error response. If the body is not a problem, it has the status only. */
export async function parseProblem(response: Response, now: number): Promise<ProblemError> {
  const body = await readObject(response);
  const type = text(body.type);
  return new ProblemError({
    status: response.status,
    slug: type.slice(type.lastIndexOf("/") + 1) || "unknown",
    title: text(body.title) || `The shop responded with status ${response.status}.`,
    detail: text(body.detail),
    traceId: text(body.trace_id) || undefined,
    errors: fieldErrors(body.errors),
    retryAfterMs: parseRetryAfter(response.headers.get("Retry-After"), now),
  });
}

async function readObject(response: Response): Promise<Record<string, unknown>> {
  try {
    const body: unknown = await response.json();
    return isObject(body) ? body : {};
  } catch {
    return {};
  }
}

function fieldErrors(value: unknown): FieldError[] {
  if (!Array.isArray(value)) return [];
  return value
    .filter(isObject)
    .map((error) => ({ field: text(error.field), message: text(error.message) }))
    .slice(0, 100);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
