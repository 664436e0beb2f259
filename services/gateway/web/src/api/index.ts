/** The client and the session of this page. */

import { storage } from "../lib/storage";
import { startRequest } from "../telemetry";
import { ApiClient } from "./client";
import { BrowserSession } from "./session";

export const session = new BrowserSession({
  fetch: (...parameters) => fetch(...parameters),
  locks: navigator.locks,
  channel: new BroadcastChannel("hopline-session"),
  storage,
});

export const api = new ApiClient({ fetch: (...parameters) => fetch(...parameters), tokens: session, startRequest });
