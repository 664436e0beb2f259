/** Spans that wait for the SDK, whose code is loaded after the first requests of the page. */

import type { SpanRecord } from "./span-record";

const MAX_WAITING = 100;

export type Sink = (record: SpanRecord) => void;

/**
 * Passes spans to a sink, and keeps the first ones until the sink is known.
 *
 * The number of kept spans is limited. The first ones stay, because they describe how the page was loaded.
 */
export class SpanQueue {
  readonly #waiting: SpanRecord[] = [];
  #sink: Sink | undefined;
  #isClosed = false;

  add(record: SpanRecord): void {
    if (this.#isClosed) return;
    if (this.#sink !== undefined) this.#sink(record);
    else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(record);
  }

  /** Pass the kept spans and all later ones to `sink`. */
  connect(sink: Sink): void {
    if (this.#isClosed) return;
    this.#sink = sink;
    for (const record of this.#waiting.splice(0)) sink(record);
  }

  /** Discard the kept spans and all later ones, because nothing exports them. */
  close(): void {
    this.#isClosed = true;
    this.#waiting.length = 0;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }
}
