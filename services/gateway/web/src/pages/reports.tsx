/** Reports on the user's orders, or for an admin on all orders: request, progress, download. */

import { useRef } from "preact/hooks";

import type { Report } from "../api/types";
import { Field, textOf } from "../components/field";
import { PageHeading } from "../components/heading";
import { useCommand, useLoad } from "../components/load";
import { Problem } from "../components/problem";
import { SignInRequired } from "../components/sign-in-required";
import { usePolling } from "../components/use-polling";
import { formatBytes, formatTime, shortenId } from "../lib/format";
import { announce } from "../state/announcements";
import { downloadReport, isRunning, loadReports, refreshRunning, reports, requestReport } from "../state/reports";

const POLL_MS = 2_000;
const DAY_MS = 24 * 60 * 60 * 1000;
const FIELDS = ["from", "to"];

export function ReportsPage() {
  return (
    <>
      <PageHeading title="Reports" />
      <SignInRequired next="/reports">
        <RequestForm />
        <ReportList />
      </SignInRequired>
    </>
  );
}

function RequestForm() {
  const form = useRef<HTMLFormElement>(null);
  const { isBusy, error, start } = useCommand("request report", async (action) => {
    if (form.current === null) return;
    const format = textOf(form.current, "format") === "pdf" ? "pdf" : "csv";
    await requestReport(format, textOf(form.current, "from"), textOf(form.current, "to"), action);
    announce("The report was requested.");
  });
  return (
    <form
      ref={form}
      class="panel"
      onSubmit={(event) => {
        event.preventDefault();
        start();
      }}
    >
      <h2>New report</h2>
      <Problem error={error} shownFields={FIELDS} />
      <div class="row">
        <Field label="From" name="from" type="date" required defaultValue={day(-30)} error={error} />
        <Field label="To" name="to" type="date" required defaultValue={day(0)} error={error} />
        <div class="field">
          <label for="report-format">Format</label>
          <select id="report-format" name="format">
            <option value="csv">CSV</option>
            <option value="pdf">PDF</option>
          </select>
        </div>
        <button type="submit" aria-disabled={isBusy}>
          {isBusy ? "Requesting…" : "Request report"}
        </button>
      </div>
    </form>
  );
}

function ReportList() {
  const { isBusy, error, reload } = useLoad("load reports", "", loadReports);
  const shown = [...reports.value.values()].sort((left, right) => right.created_at.localeCompare(left.created_at));
  // Notifications are faster. Polling also works without a WebSocket.
  usePolling(shown.some(isRunning) ? POLL_MS : undefined, refreshRunning, [], "later");
  return (
    <section aria-labelledby="reports-requested">
      <h2 id="reports-requested">Requested in this browser</h2>
      <Problem error={error} onRetry={reload} />
      {shown.length === 0 && error === undefined && <p>{isBusy ? "Loading…" : "No reports yet."}</p>}
      <ul class="list">
        {shown.map((report) => (
          <ReportRow key={report.id} report={report} />
        ))}
      </ul>
    </section>
  );
}

function ReportRow({ report }: { readonly report: Report }) {
  const download = useCommand("download report", (action) => downloadReport(report, action));
  const name = `Report ${shortenId(report.id)}`;
  return (
    <li class="list-row" data-report={report.id}>
      <div>
        {name} ({report.format.toUpperCase()})
        <p class="quiet">{formatTime(report.created_at)}</p>
        <Problem error={download.error} onRetry={download.start} />
      </div>
      {report.status === "done" && (
        <button type="button" onClick={download.start} aria-disabled={download.isBusy}>
          {download.isBusy ? "Downloading…" : "Download"}
          <span class="visually-hidden"> {name}</span>
          {report.size_bytes !== null && !download.isBusy && ` (${formatBytes(report.size_bytes)})`}
        </button>
      )}
      {report.status === "failed" && <p class="field-error">Failed: {report.error ?? "unknown reason"}</p>}
      {isRunning(report) && (
        <label class="progress">
          {report.status === "queued" ? "Queued" : `${report.progress} %`}
          <progress max={100} value={report.progress} aria-label={`Progress of ${name}`} />
        </label>
      )}
    </li>
  );
}

/** Return the day `offset` days from today (UTC), in the format of a date field. */
function day(offset: number): string {
  return new Date(Date.now() + offset * DAY_MS).toISOString().slice(0, 10);
}
