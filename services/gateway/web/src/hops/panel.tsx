/** The panel "The last action, hop by hop". */

import { useEffect, useState } from "preact/hooks";

import { readStored, writeStored } from "../lib/storage";
import { toEpoch } from "../telemetry/span-record";
import { HopList } from "./hop-list";
import type { Journey } from "./journey";
import { hopsOf } from "./model";
import { summaryOf } from "./summary";
import type { Tracker } from "./tracker";
import { TraceView } from "./trace-view";

const KEY = "hopline.hops-hidden";
const SPOKEN_AFTER_MS = 1_500;

export function Panel({ tracker }: { readonly tracker: Tracker }) {
  const [isHidden, setHidden] = useState(() => readStored(KEY, isBoolean) ?? false);
  const journey = tracker.selected.value;
  const toggle = (): void => {
    setHidden(!isHidden);
    writeStored(KEY, !isHidden);
  };
  return (
    <section class="hops" aria-labelledby="hops-title">
      <div class="hops-head">
        <h2 id="hops-title">The last action, hop by hop</h2>
        <button type="button" class="secondary" aria-expanded={!isHidden} aria-controls="hops-content" onClick={toggle}>
          {isHidden ? "Show" : "Hide"}
        </button>
      </div>
      <div id="hops-content" hidden={isHidden}>
        {journey === undefined ? (
          <p class="quiet">Your next action appears here, with each hop of its request.</p>
        ) : (
          <Details tracker={tracker} journey={journey} />
        )}
      </div>
      <Spoken text={journey === undefined || isHidden ? "" : summaryOf(journey)} />
    </section>
  );
}

function Details({ tracker, journey }: { readonly tracker: Tracker; readonly journey: Journey }) {
  const journeys = tracker.journeys.value;
  return (
    <>
      <div class="row">
        <label for="hops-action">Action</label>
        <select
          id="hops-action"
          value={journey.id}
          onChange={(event) => {
            tracker.select(event.currentTarget.value);
          }}
        >
          {journeys.map(({ id, name, startedAt }) => (
            <option key={id} value={id}>
              {name}, {new Date(toEpoch(startedAt)).toLocaleTimeString()}
            </option>
          ))}
        </select>
        <p class="quiet">{stateOf(journey)}</p>
      </div>
      <HopList hops={hopsOf(journey)} />
      {journey.isOver && <TraceView key={journey.id} journey={journey} />}
    </>
  );
}

function stateOf(journey: Journey): string {
  if (!journey.isOver) return "Waiting for further spans and notifications.";
  if (journey.isTraceComplete) return "Complete.";
  if (journey.spans.length > 0) return "The trace is not complete, and the page has stopped reading it.";
  return "No spans have arrived. Traces are shown in development, to users who are signed in.";
}

/** Announces a text to screen readers when it has not changed for a while, because it can change faster than it is spoken. */
function Spoken({ text }: { readonly text: string }) {
  const [spoken, setSpoken] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => {
      setSpoken(text);
    }, SPOKEN_AFTER_MS);
    return () => {
      clearTimeout(timer);
    };
  }, [text]);
  return (
    <p class="visually-hidden" role="status" aria-live="polite">
      {spoken}
    </p>
  );
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === "boolean";
}
