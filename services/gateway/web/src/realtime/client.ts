/**
 * The WebSocket client: notifications 1 to head in order, without gaps or repeats, over any number of connections.
 *
 * It depends on nothing but a WebSocket, so it can be copied into another page. README.md describes it.
 */

import { backoff, limitDelay } from "./backoff";
import type { ConnectionState, NotificationFrame, RealtimeEvent } from "./frames";
import { parseFrame, type ServerFrame } from "./parse";
import { openWebSocket, type Socket, type SocketHandlers } from "./socket";

export interface RealtimeDependencies {
  /** Return a new ticket, which is valid once. If the error has `retryAfterMs`, the next attempt waits at least that long. */
  readonly requestTicket: () => Promise<{ readonly ticket: string; readonly url: string }>;
  /** Return all notifications after `cursor` up to and including `head`, in order. */
  readonly readMissed: (cursor: number, head: number) => Promise<readonly NotificationFrame[]>;
  /** The last seq that was delivered; it survives the page. */
  readonly cursor: { load(): number; save(seq: number): void };
  readonly onEvent: (event: RealtimeEvent) => void;
  readonly openSocket?: (url: string, handlers: SocketHandlers) => Socket;
  readonly random?: () => number;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** A connection that lasted this long was good: the next failure is the first again. */
const STABLE_MS = 10_000;
const MAX_BUFFERED = 1_000;
/** The close code of a connection that ended without a close frame (RFC 6455 §7.4.1). */
const ABNORMAL_CLOSURE = 1006;

export class RealtimeClient {
  readonly #dependencies: Required<RealtimeDependencies>;
  readonly #rooms = new Set<string>();
  #state: ConnectionState = { phase: "stopped", attempt: 0 };
  #socket: Socket | undefined;
  /** Identifies the current connection: callbacks of earlier sockets are ignored. */
  #generation = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watchdog: ReturnType<typeof setTimeout> | undefined;
  #openedAt = 0;
  #drainUntil: number | undefined;
  #pingMs = 15_000;
  #welcomeHead = 0;
  #replayed = 0;
  #gaps = 0;
  /** Notifications that arrived while missed ones are read over REST. */
  #buffer: NotificationFrame[] | undefined;

  constructor(dependencies: RealtimeDependencies) {
    this.#dependencies = { openSocket: openWebSocket, random: Math.random, ...dependencies };
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Connect, and stay connected until `stop`. */
  start(): void {
    if (this.#state.phase === "stopped") void this.#connect();
  }

  stop(): void {
    this.#disconnect();
    this.#setState({ phase: "stopped", attempt: 0 });
  }

  /** Connect now instead of waiting, for example because the network is available again. */
  retryNow(): void {
    if (this.#state.phase === "waiting") void this.#connect();
  }

  /** Close the connection and wait, for example because the network is not available. */
  suspend(): void {
    if (this.#state.phase !== "stopped" && this.#state.phase !== "waiting") this.#lost(undefined);
  }

  /** Receive the frames of a room now and after each reconnection. */
  join(room: string): void {
    if (this.#rooms.has(room)) return;
    this.#rooms.add(room);
    if (this.#state.phase === "open") this.#send({ t: "join", room });
  }

  leave(room: string): void {
    if (this.#rooms.delete(room) && this.#state.phase === "open") this.#send({ t: "leave", room });
  }

  /** Mark notifications as read. Return false if that is not possible now; use REST then. */
  markRead(upTo: number): boolean {
    if (this.#state.phase !== "open") return false;
    this.#send({ t: "read", up_to: upTo });
    return true;
  }

  async #connect(): Promise<void> {
    this.#disconnect();
    const generation = this.#generation;
    this.#setState({ ...this.#lasting(), phase: "connecting" });
    this.#timer = setTimeout(() => {
      this.#lost(undefined);
    }, CONNECT_TIMEOUT_MS);
    try {
      const { ticket, url } = await this.#dependencies.requestTicket();
      if (generation !== this.#generation) return;
      this.#socket = this.#dependencies.openSocket(url, this.#handlers(generation, ticket));
    } catch (error) {
      if (generation === this.#generation) this.#lost(undefined, retryAfter(error));
    }
  }

  #handlers(generation: number, ticket: string): SocketHandlers {
    const isCurrent = (): boolean => generation === this.#generation;
    return {
      opened: () => {
        if (isCurrent()) this.#send({ t: "hello", v: 1, ticket, cursor: this.#dependencies.cursor.load() });
      },
      received: (text) => {
        const frame = isCurrent() ? parseFrame(text) : undefined;
        if (frame !== undefined) this.#receive(frame);
      },
      closed: (code) => {
        if (isCurrent()) this.#lost(code);
      },
    };
  }

  #receive(frame: ServerFrame): void {
    this.#restartWatchdog();
    switch (frame.t) {
      case "welcome":
        this.#welcome(frame);
        break;
      case "n":
        this.#notification(frame);
        break;
      case "ping":
        this.#send({ t: "pong", cursor: this.#dependencies.cursor.load() });
        this.#emit({ type: "read", readSeq: frame.read_seq });
        break;
      case "read":
        this.#emit({ type: "read", readSeq: frame.read_seq });
        break;
      case "drain":
        this.#drainUntil = Date.now() + Math.min(frame.retry_ms, 60_000);
        this.#setState({ ...this.#lasting(), phase: "draining" });
        break;
      default:
        this.#emit({ type: "room", frame });
    }
  }

  #welcome(frame: Extract<ServerFrame, { t: "welcome" }>): void {
    clearTimeout(this.#timer);
    const { cursor } = this.#dependencies;
    this.#openedAt = Date.now();
    this.#pingMs = limitDelay(Math.max(1_000, frame.ping_s * 1_000));
    this.#restartWatchdog();
    this.#welcomeHead = frame.head;
    this.#replayed = 0;
    this.#gaps = 0;
    // The feed can be shorter than before only if the database was restored.
    if (cursor.load() > frame.head) cursor.save(frame.head);
    this.#setOpen();
    this.#emit({ type: "read", readSeq: frame.read_seq });
    for (const room of this.#rooms) this.#send({ t: "join", room });
    if (!frame.recovered) void this.#readMissed(frame.head);
  }

  #notification(frame: NotificationFrame): void {
    if (this.#buffer !== undefined) {
      // Frames beyond the limit are dropped: they become a gap, which is read over REST.
      if (this.#buffer.length < MAX_BUFFERED) this.#buffer.push(frame);
      return;
    }
    const last = this.#dependencies.cursor.load();
    if (frame.seq <= last) return;
    if (frame.seq === last + 1) {
      this.#deliver(frame);
      return;
    }
    this.#gaps += 1;
    void this.#readMissed(frame.seq);
  }

  /** Deliver first, then save: a page that ends in between receives the notification again instead of missing it. */
  #deliver(frame: NotificationFrame): void {
    this.#emit({ type: "notification", frame });
    this.#dependencies.cursor.save(frame.seq);
    if (frame.seq > this.#welcomeHead) return;
    this.#replayed += 1;
    if (frame.seq === this.#welcomeHead && this.#state.phase === "open") this.#setOpen();
  }

  /** Read what the socket does not send, then continue with what arrived meanwhile. */
  async #readMissed(head: number): Promise<void> {
    const generation = this.#generation;
    this.#buffer = [];
    const { cursor, readMissed } = this.#dependencies;
    try {
      const missed = await readMissed(cursor.load(), head);
      if (generation !== this.#generation) return;
      for (const frame of missed) if (frame.seq === cursor.load() + 1) this.#deliver(frame);
      if (cursor.load() < head) throw new Error(`Notifications up to ${head} are missing.`);
    } catch {
      // A new connection begins at the cursor again.
      if (generation === this.#generation) this.#lost(undefined);
      return;
    }
    const buffered = this.#buffer;
    this.#buffer = undefined;
    if (this.#state.phase === "open") this.#setOpen();
    for (const frame of buffered) this.#notification(frame);
  }

  /** The connection ended. Wait, then connect again. An open connection that this client gave up counts as lost. */
  #lost(code: number | undefined, atLeastMs = 0): void {
    const closeCode = code ?? (this.#openedAt > 0 ? ABNORMAL_CLOSURE : undefined);
    const wasStable = this.#openedAt > 0 && Date.now() - this.#openedAt >= STABLE_MS;
    const attempt = wasStable ? 1 : this.#state.attempt + 1;
    const delay = Math.max(atLeastMs, this.#delay(attempt, closeCode));
    this.#disconnect();
    this.#timer = setTimeout(() => void this.#connect(), delay);
    this.#setState({
      ...this.#lasting(),
      phase: "waiting",
      attempt,
      retryAt: Date.now() + delay,
      ...(closeCode === undefined ? {} : { closeCode }),
    });
  }

  #delay(attempt: number, closeCode: number | undefined): number {
    // The server spreads the clients of a draining process itself.
    if (this.#drainUntil !== undefined) return Math.max(0, this.#drainUntil - Date.now());
    // The ticket expired or was used; another one is likely to be accepted.
    if (closeCode === 4401 && attempt === 1) return 0;
    return backoff(attempt, closeCode, this.#dependencies.random);
  }

  #disconnect(): void {
    this.#generation += 1;
    clearTimeout(this.#timer);
    clearTimeout(this.#watchdog);
    this.#buffer = undefined;
    this.#drainUntil = undefined;
    this.#openedAt = 0;
    this.#socket?.close();
    this.#socket = undefined;
  }

  /** A connection on which nothing arrives for two pings is dead, even if the system does not report it. */
  #restartWatchdog(): void {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      this.#lost(undefined);
    }, this.#pingMs * 2 + 5_000);
  }

  #setOpen(): void {
    this.#setState({ ...this.#lasting(), phase: "open", resumed: { replayed: this.#replayed, gaps: this.#gaps } });
  }

  /** The parts of the state that a change of the phase keeps. */
  #lasting(): Omit<ConnectionState, "phase" | "retryAt"> {
    const { attempt, closeCode, resumed } = this.#state;
    return { attempt, ...(closeCode === undefined ? {} : { closeCode }), ...(resumed === undefined ? {} : { resumed }) };
  }

  #setState(state: ConnectionState): void {
    this.#state = state;
    this.#emit({ type: "state", state });
  }

  #emit(event: RealtimeEvent): void {
    this.#dependencies.onEvent(event);
  }

  #send(frame: Readonly<Record<string, unknown>>): void {
    this.#socket?.send(JSON.stringify(frame));
  }
}

function retryAfter(error: unknown): number {
  const value = typeof error === "object" && error !== null && "retryAfterMs" in error ? error.retryAfterMs : undefined;
  return typeof value === "number" ? limitDelay(value) : 0;
}
