/** Collects the evidence about the last actions of the user, and polls their traces. */

import { computed, signal, type ReadonlySignal } from "@preact/signals";

import type { ApiCall, ApiCallStart } from "../api/client";
import type { Emitter } from "../lib/emitter";
import type { NotificationFrame } from "../realtime/frames";
import { parseTraceparent } from "../telemetry/trace-context";
import { beginJourney, endJourney, isChange, mainCall, resumeJourney, withCall, withFrame, withTrace } from "./journey";
import type { Journey, ReceivedFrame } from "./journey";
import { allHopsResolved, hopsOf } from "./model";
import { pollTrace } from "./polling";
import type { Trace } from "./trace";

export interface TrackerDependencies {
  readonly started: Emitter<ApiCallStart>;
  readonly ended: Emitter<ApiCall>;
  readonly notified: Emitter<NotificationFrame>;
  /** Return a trace of the user, or undefined if traces cannot be read now. */
  readonly readTrace: (traceId: string, signal: AbortSignal) => Promise<Trace | undefined>;
  /** Whether the trace of a call can be read, now or in a moment. */
  readonly canRead: (call: ApiCall) => boolean;
}

const MAX_JOURNEYS = 5;
const MAX_FRAMES = 50;

export class Tracker {
  readonly #dependencies: TrackerDependencies;
  readonly #journeys = signal<readonly Journey[]>([]);
  readonly #selected = signal("");
  readonly #pollers = new Map<string, () => void>();
  #frames: readonly ReceivedFrame[] = [];

  /** The last actions, the newest one first. */
  readonly journeys: ReadonlySignal<readonly Journey[]> = this.#journeys;
  /** The action that is shown. */
  readonly selected = computed(() => this.#journeys.value.find(({ id }) => id === this.#selected.value));

  constructor(dependencies: TrackerDependencies) {
    this.#dependencies = dependencies;
    dependencies.started.on((call) => {
      this.#addCall(call);
    });
    dependencies.ended.on((call) => {
      this.#addCall(call);
      this.#startPolling(call);
    });
    dependencies.notified.on((frame) => {
      this.#addFrame(frame);
    });
  }

  /** Show one of the last actions, until the user does something that changes data. */
  select(id: string): void {
    this.#selected.value = id;
  }

  #addCall(call: ApiCallStart | ApiCall): void {
    const { action } = call;
    if (action === undefined) return;
    const id = action.spanId;
    const known = this.#find(id);
    const journey = withCall(known ?? beginJourney(id, action.name, action.traceId, action.startedAt), call);
    // Notifications can arrive before the response, and the trace id may be known only from the response.
    this.#store(this.#frames.reduce(withFrame, journey), known === undefined);
    if (this.#isShownNext(journey)) this.#selected.value = id;
  }

  #addFrame(frame: NotificationFrame): void {
    const received = { frame, traceId: parseTraceparent(frame.traceparent)?.traceId, at: performance.now() };
    this.#frames = [...this.#frames, received].slice(-MAX_FRAMES);
    for (const journey of this.#journeys.value) this.#store(withFrame(journey, received));
  }

  /** Whether to show this action. An action that only reads does not replace a change whose trace is still polled. */
  #isShownNext(journey: Journey): boolean {
    const shown = this.selected.value;
    if (this.#journeys.value[0]?.id !== journey.id) return false;
    return shown === undefined || isChange(journey) || !isChange(shown) || shown.isOver;
  }

  #startPolling(call: ApiCall): void {
    const journey = this.#find(call.action?.spanId);
    if (journey === undefined) return;
    const { id, traceId } = journey;
    const stopEarlier = this.#pollers.get(id);
    // Only a repetition of the main request starts the polling again: it continues the trace or begins another one.
    if (stopEarlier !== undefined && mainCall(journey)?.id !== call.id) return;
    stopEarlier?.();
    this.#update(id, resumeJourney);
    if (!this.#dependencies.canRead(call)) {
      this.#update(id, endJourney);
      return;
    }
    const stop = pollTrace(traceId, {
      read: this.#dependencies.readTrace,
      onTrace: (trace) => {
        this.#update(id, (current) => withTrace(current, trace));
      },
      isDone: () => {
        const current = this.#find(id);
        return current === undefined || (current.isTraceComplete && allHopsResolved(hopsOf(current)));
      },
      onEnd: () => {
        this.#update(id, endJourney);
      },
    });
    this.#pollers.set(id, stop);
  }

  #find(id: string | undefined): Journey | undefined {
    return this.#journeys.value.find((journey) => journey.id === id);
  }

  #update(id: string, change: (journey: Journey) => Journey): void {
    const journey = this.#find(id);
    if (journey !== undefined) this.#store(change(journey));
  }

  #store(journey: Journey, isNew = false): void {
    const journeys = this.#journeys.value;
    if (!isNew) {
      this.#journeys.value = journeys.map((stored) => (stored.id === journey.id ? journey : stored));
      return;
    }
    for (const { id } of journeys.slice(MAX_JOURNEYS - 1)) {
      this.#pollers.get(id)?.();
      this.#pollers.delete(id);
    }
    this.#journeys.value = [journey, ...journeys.slice(0, MAX_JOURNEYS - 1)];
  }
}
