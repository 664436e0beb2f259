/** A realtime client whose server and clock are controlled by the test. */

import { afterEach, beforeEach, vi } from "vitest";

import { RealtimeClient, type RealtimeDependencies } from "../realtime/client";
import type { NotificationFrame, RealtimeEvent } from "../realtime/frames";
import type { Socket, SocketHandlers } from "../realtime/socket";

class FakeSocket implements Socket {
  readonly sent: Record<string, unknown>[] = [];
  isClosed = false;

  constructor(
    readonly url: string,
    readonly handlers: SocketHandlers,
  ) {}

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }

  close(): void {
    this.isClosed = true;
  }

  /** Pass these frames of the server to the client. */
  receive(...frames: readonly unknown[]): void {
    for (const frame of frames) this.handlers.received(JSON.stringify(frame));
  }
}

export function notification(seq: number): NotificationFrame {
  return { t: "n", seq, id: `id-${seq}`, kind: "order.placed", data: { order_id: "1" }, at: "2026-01-01T00:00:00Z" };
}

function welcome(head: number, more: Record<string, unknown> = {}) {
  return { t: "welcome", head, read_seq: 0, recovered: true, ping_s: 15, ...more };
}

/** A client with fake sockets, on fake timers. */
export class RealtimeHarness {
  readonly sockets: FakeSocket[] = [];
  readonly events: RealtimeEvent[] = [];
  readonly requestTicket = vi.fn(() => Promise.resolve({ ticket: `ticket-${this.sockets.length + 1}`, url: "ws://shop.test/ws" }));
  readonly readMissed = vi.fn<RealtimeDependencies["readMissed"]>((cursor, head) =>
    Promise.resolve(Array.from({ length: head - cursor }, (_, index) => notification(cursor + index + 1))),
  );
  cursor = 0;
  readonly client = new RealtimeClient({
    requestTicket: this.requestTicket,
    readMissed: this.readMissed,
    cursor: {
      load: () => this.cursor,
      save: (seq) => {
        this.cursor = seq;
      },
    },
    onEvent: (event) => this.events.push(event),
    openSocket: (url, handlers) => {
      const socket = new FakeSocket(url, handlers);
      this.sockets.push(socket);
      return socket;
    },
    random: () => 1,
  });

  /** The latest socket. */
  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error("the client has not opened a socket");
    return socket;
  }

  /** The numbers of the notifications that the client has delivered. */
  get delivered(): number[] {
    return this.events.flatMap((event) => (event.type === "notification" ? [event.frame.seq] : []));
  }

  /** Start the client if necessary, open its socket and receive the welcome frame. */
  async open(head: number, more: Record<string, unknown> = {}): Promise<void> {
    if (this.client.state.phase === "stopped") this.client.start();
    await flush();
    this.socket.handlers.opened();
    this.socket.receive(welcome(head, more));
    await flush();
  }

  /** Advance the time until the client requests the next ticket, and return the milliseconds that have passed. */
  async waitForReconnect(): Promise<number> {
    const before = this.requestTicket.mock.calls.length;
    const start = Date.now();
    while (this.requestTicket.mock.calls.length === before) await vi.advanceTimersToNextTimerAsync();
    return Date.now() - start;
  }
}

/** Run pending promises and due timers without advancing the time. */
export const flush = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

/** Give each test of a file or group a new harness on fake timers, and stop it afterwards. */
export function provideHarness(provide: (harness: RealtimeHarness) => void): void {
  let harness: RealtimeHarness;
  beforeEach(() => {
    vi.useFakeTimers();
    harness = new RealtimeHarness();
    provide(harness);
  });
  afterEach(() => {
    harness.client.stop();
    vi.useRealTimers();
  });
}
