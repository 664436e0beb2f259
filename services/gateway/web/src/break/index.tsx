/** The development page that injects faults and shows what they do to the gateway, the WebSocket and the user. */

import { api } from "../api";
import { PageHeading } from "../components/heading";
import { config } from "../state/config";
import { connection } from "../state/connection";
import { ConnectionPanel } from "./connection-panel";
import { connectionEffect } from "./connection-text";
import { effectOfCall, EffectLog } from "./effects";
import { EffectsPanel } from "./effects-panel";
import { FaultsPanel } from "./faults-panel";
import { ResiliencePanel } from "./resilience-panel";
import "../hops/services.css";
import "./break.css";

/** The log also records effects on other pages after this page was first opened. */
const log = new EffectLog();
api.ended.on((call) => {
  log.add(effectOfCall(call, Date.now()));
});

let before = connection.peek();
connection.subscribe((after) => {
  log.add(connectionEffect(before, after));
  before = after;
});

export default function BreakPage() {
  return (
    <>
      <PageHeading title="Break it" />
      {config.value.development ? (
        <div class="break-grid">
          <div>
            <FaultsPanel />
            <ResiliencePanel log={log} />
          </div>
          <div>
            <EffectsPanel log={log} />
            <ConnectionPanel />
          </div>
        </div>
      ) : (
        <p>Faults can be injected in development only.</p>
      )}
    </>
  );
}
