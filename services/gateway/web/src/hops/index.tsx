/** The panel "The last action, hop by hop", connected to the requests and notifications of the page. */

import { api } from "../api";
import type { ApiCall } from "../api/client";
import { config } from "../state/config";
import { notificationReceived } from "../state/connection";
import { isSignedIn } from "../state/session";
import { Panel } from "./panel";
import { Tracker } from "./tracker";
import type { Trace } from "./trace";
import "./services.css";
import "./hops.css";

const tracker = new Tracker({
  started: api.started,
  ended: api.ended,
  notified: notificationReceived,
  readTrace: async (traceId, signal) => {
    if (!isSignedIn.value) return undefined;
    // With this header, the response for a trace that has not arrived is 202. Browsers log each 404 as an error.
    const options = { headers: { Prefer: "respond-async" }, background: true, signal };
    return (await api.json<Trace>(`/browser/traces/${traceId}`, options)).body;
  },
  canRead: (call) => config.value.development && (isSignedIn.value || isRegistration(call)),
});

/** Whether the call created the account to which the page signs in next. */
function isRegistration({ method, url, status }: ApiCall): boolean {
  return method === "POST" && url === "/v2/users" && status === 201;
}

export default function HopsPanel() {
  return <Panel tracker={tracker} />;
}
