/**
 * The WebSocket client: notifications 1 to head in order, without gaps or repeats, over any number of connections.
 *
 * This folder depends only on `WebSocket`, so it can be copied into another page. README.md describes it.
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
/** After a connection that lasted this long, failed attempts are counted from 1 again. */
const STABLE_MS = 10_000;
/** Maximum number of notifications that are kept while missed ones are read over REST. */
const MAX_BUFFERED = 1_000;
/** Maximum delay that a `drain` frame can demand. */
const MAX_DRAIN_MS = 60_000;
/** The connection is dead if no frame arrives for two ping intervals and this time. */
const SILENCE_MARGIN_MS = 5_000;
/** The close code of a connection that ended without a close frame (RFC 6455 §7.4.1). */
const ABNORMAL_CLOSURE = 1006;

export class RealtimeClient {
  readonly #dependencies: Required<RealtimeDependencies>;
  readonly #rooms = new Set<string>();
  #state: ConnectionState = { phase: "stopped", attempt: 0 };
  #socket: Socket | undefined;
  /** Number of the current connection. Callbacks of earlier sockets are ignored. */
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

  /** Connect now if the client is waiting, for example because the network is available again. */
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

  /** Mark notifications as read. Return false if the connection is not open; then use REST. */
  markRead(upTo: number): boolean {
    if (this.#state.phase !== "open") return false;
    this.#send({ t: "read", up_to: upTo });
    return true;
  }

  async #connect(): Promise<void> {
    this.#disconnect();
    const generation = this.#generation;
    this.#timer = setTimeout(() => {
      this.#lost(undefined);
    }, CONNECT_TIMEOUT_MS);
    this.#setState({ ...this.#lasting(), phase: "connecting" });
    if (generation !== this.#generation) return; // a listener has called `stop`
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
        this.#acceptWelcome(frame);
        break;
      case "n":
        this.#acceptNotification(frame);
        break;
      case "ping":
        this.#send({ t: "pong", cursor: this.#dependencies.cursor.load() });
        this.#emit({ type: "read", readSeq: frame.read_seq });
        break;
      case "read":
        this.#emit({ type: "read", readSeq: frame.read_seq });
        break;
      case "drain":
        this.#drainUntil = Date.now() + Math.min(frame.retry_ms, MAX_DRAIN_MS);
        this.#setState({ ...this.#state, phase: "draining" });
        break;
      default:
        this.#emit({ type: "room", frame });
    }
  }

  #acceptWelcome(frame: Extract<ServerFrame, { t: "welcome" }>): void {
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
    this.#setState({ ...this.#lasting(), phase: "open" });
    if (cursor.load() === frame.head) this.#setResumed();
    this.#emit({ type: "read", readSeq: frame.read_seq });
    for (const room of this.#rooms) this.#send({ t: "join", room });
    if (this.#socket === undefined) return; // a listener has called `stop`
    if (!frame.recovered) void this.#readMissed(frame.head);
  }

  #acceptNotification(frame: NotificationFrame): void {
    if (this.#buffer !== undefined) {
      // Frames beyond the limit are dropped. They are a gap then, which is read over REST.
      if (this.#buffer.length < MAX_BUFFERED) this.#buffer.push(frame);
      return;
    }
    const last = this.#dependencies.cursor.load();
    if (frame.seq <= last) return;
    if (frame.seq === last + 1) {
      this.#deliver(frame);
      return;
    }
    void this.#readMissed(frame.seq);
  }

  /** Deliver first, then save. A page that ends in between receives the notification again instead of missing it. */
  #deliver(frame: NotificationFrame): void {
    this.#emit({ type: "notification", frame });
    this.#dependencies.cursor.save(frame.seq);
    if (frame.seq <= this.#welcomeHead) this.#replayed += 1;
    if (frame.seq === this.#welcomeHead) this.#setResumed();
  }

  /** Read the notifications that the socket does not send, then deliver those that arrived meanwhile. */
  async #readMissed(head: number): Promise<void> {
    const generation = this.#generation;
    // The listener of a notification may call `stop`.
    const isCurrent = (): boolean => generation === this.#generation;
    const buffer: NotificationFrame[] = [];
    this.#buffer = buffer;
    this.#gaps += 1;
    const { cursor, readMissed } = this.#dependencies;
    try {
      const missed = await readMissed(cursor.load(), head);
      for (const frame of missed) if (isCurrent() && frame.seq === cursor.load() + 1) this.#deliver(frame);
      if (cursor.load() < head) throw new Error(`Notifications up to ${head} are missing.`);
    } catch {
      // The next connection resumes from the cursor.
      if (isCurrent()) this.#lost(undefined);
      return;
    }
    if (!isCurrent()) return;
    this.#buffer = undefined;
    for (const frame of buffer) if (isCurrent()) this.#acceptNotification(frame);
  }

  /**
   * Wait, then connect again, because the connection has ended or failed.
   *
   * `code` is undefined if this client ends the connection itself, or has no socket yet. `atLeastMs` is the shortest delay.
   */
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
    // The server has chosen a random delay for each client of a draining process.
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

  /** Begin to wait for the next frame. A connection without frames is dead, even if the browser does not report it. */
  #restartWatchdog(): void {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      this.#lost(undefined);
    }, this.#pingMs * 2 + SILENCE_MARGIN_MS);
  }

  /** Report how the connection resumed, because all notifications up to the head of its welcome frame were delivered. */
  #setResumed(): void {
    if (this.#socket === undefined) return; // a listener has called `stop`
    this.#setState({ ...this.#state, resumed: { replayed: this.#replayed, gaps: this.#gaps } });
  }

  /** Return the parts of the state that the next connection keeps. */
  #lasting(): Pick<ConnectionState, "attempt" | "closeCode"> {
    const { attempt, closeCode } = this.#state;
    return { attempt, ...(closeCode === undefined ? {} : { closeCode }) };
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
