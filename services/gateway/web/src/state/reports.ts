/** Reports. The API cannot list them, so the browser stores the ids of the reports that it requested. */

import { signal } from "@preact/signals";

import { api } from "../api";
import { ProblemError } from "../api/problem";
import type { Report } from "../api/types";
import { readStored, writeStored } from "../lib/storage";
import type { Action } from "../telemetry";
import { notificationReceived } from "./connection";
import { userId } from "./session";

const MAX_KEPT = 20;

export const reports = signal<ReadonlyMap<string, Report>>(new Map());

/** Load the reports that this browser requested. Throws ProblemError or UnreachableError. */
export async function loadReports(action?: Action, signal?: AbortSignal): Promise<void> {
  await Promise.all(keptIds().map((id) => loadReport(id, action, signal)));
}

/** Request a report of the orders between two days, the last one included. Throws ProblemError or UnreachableError. */
export async function requestReport(format: "csv" | "pdf", from: string, to: string, action: Action): Promise<void> {
  const end = new Date(`${to}T00:00:00Z`);
  end.setUTCDate(end.getUTCDate() + 1);
  const body = { kind: "orders", format, from: `${from}T00:00:00Z`, to: end.toISOString() };
  const owner = userId.peek();
  const response = await api.json<Report>("/v2/reports", { method: "POST", body, action });
  if (userId.peek() !== owner) return;
  keep([response.body.id, ...keptIds()]);
  store(response.body);
}

/** Download the file of a report and save it. Throws ProblemError or UnreachableError. */
export async function downloadReport(report: Report, action: Action): Promise<void> {
  // A link cannot send the access token, so the file is fetched first.
  const { body } = await api.blob(`/v2/reports/${report.id}/download`, { action });
  const address = URL.createObjectURL(body);
  const link = document.createElement("a");
  link.href = address;
  link.download = `orders-${report.from.slice(0, 10)}-${report.id.slice(-8)}.${report.format}`;
  link.click();
  setTimeout(() => {
    URL.revokeObjectURL(address);
  }, 60_000);
}

/** Reload the reports that are still queued or running. */
export async function refreshRunning(): Promise<void> {
  const running = [...reports.value.values()].filter(isRunning);
  await Promise.allSettled(running.map(({ id }) => loadReport(id)));
}

/** Apply notifications to the reports. */
export function startReports(): void {
  notificationReceived.on(({ kind, data }) => {
    const id = data.report_id;
    const known = typeof id === "string" ? reports.value.get(id) : undefined;
    if (known === undefined || !kind.startsWith("report.")) return;
    if (kind !== "report.progress") void loadReport(known.id).catch(() => undefined);
    else if (typeof data.progress === "number" && isRunning(known)) {
      store({ ...known, status: "running", progress: Math.max(known.progress, data.progress) });
    }
  });
  userId.subscribe(() => {
    reports.value = new Map();
  });
}

/** Whether the file of a report is still expected. */
export function isRunning({ status }: Report): boolean {
  return status === "queued" || status === "running";
}

/** Load one report. A response that arrives after its user has signed out is ignored. */
async function loadReport(id: string, action?: Action, signal?: AbortSignal): Promise<void> {
  const owner = userId.peek();
  try {
    const { body } = await api.json<Report>(`/v2/reports/${id}`, { action, signal, background: action === undefined });
    if (userId.peek() === owner) store(body);
  } catch (error) {
    if (userId.peek() !== owner) return;
    if (!(error instanceof ProblemError && error.status === 404)) throw error;
    // The server deletes reports when their retention ends.
    keep(keptIds().filter((kept) => kept !== id));
  }
}

function store(report: Report): void {
  reports.value = new Map(reports.value).set(report.id, report);
}

function keptIds(): readonly string[] {
  return readStored(keyOfUser(), isIds) ?? [];
}

function keep(ids: readonly string[]): void {
  writeStored(keyOfUser(), [...new Set(ids)].slice(0, MAX_KEPT));
}

function keyOfUser(): string {
  return `hopline.reports.${userId.value ?? ""}`;
}

function isIds(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((id) => typeof id === "string" && /^[0-9a-f-]{36}$/.test(id));
}
