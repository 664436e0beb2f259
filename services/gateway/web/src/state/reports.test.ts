import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { Report } from "../api/types";
import { json } from "../testing/fakes";
import { notificationReceived } from "./connection";
import { loadReports, reports, startReports } from "./reports";
import { userId } from "./session";

const ID = "0d0d0d0d-1111-4222-8333-12345678abcd";
const REPORT: Report = {
  id: ID,
  format: "csv",
  from: "2026-01-01T00:00:00Z",
  to: "2026-01-02T00:00:00Z",
  status: "running",
  progress: 20,
  download_url: null,
  size_bytes: null,
  error: null,
  created_at: "2026-01-02T00:00:00Z",
};

const server = vi.fn<() => Response | Promise<Response>>();

startReports();

beforeEach(() => {
  vi.stubGlobal("fetch", server);
  server.mockReset();
  localStorage.clear();
  localStorage.setItem("hopline.reports.ada", JSON.stringify([ID]));
  userId.value = "ada";
});

afterEach(() => {
  vi.unstubAllGlobals();
});

function notifyProgress(progress: number): void {
  notificationReceived.emit({ t: "n", seq: 1, id: "1", kind: "report.progress", data: { report_id: ID, progress }, at: "" });
}

test("the progress of a running report increases with notifications", async () => {
  server.mockImplementation(json(200, REPORT));
  await loadReports();
  notifyProgress(40);
  notifyProgress(30);
  expect(reports.value.get(ID)).toMatchObject({ status: "running", progress: 40 });
});

test.each(["done", "failed"])("a report that is %s stays so after a late notification about its progress", async (status) => {
  server.mockImplementation(json(200, { ...REPORT, status }));
  await loadReports();
  notifyProgress(40);
  expect(reports.value.get(ID)).toMatchObject({ status, progress: 20 });
});

test.each([200, 404])("a response with status %i is ignored after another user has signed in", async (status) => {
  let respond: (response: Response) => void = () => undefined;
  server.mockImplementation(() => new Promise((resolve) => (respond = resolve)));
  const loading = loadReports();
  await vi.waitFor(() => {
    expect(server).toHaveBeenCalledOnce();
  });
  userId.value = "grace";
  respond(json(status, REPORT)());
  await loading;
  expect(reports.value.size).toBe(0);
  expect(localStorage.getItem("hopline.reports.grace")).toBeNull();
});
