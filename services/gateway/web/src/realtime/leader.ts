/**
 * One WebSocket per browser: the tab that holds a Web Lock connects, the others receive its events by BroadcastChannel.
 *
 * When the leading tab ends, the browser gives the lock to another tab, which resumes from the cursor that all tabs share.
 */

import type { RealtimeClient } from "./client";
import type { RealtimeEvent, RoomFrame } from "./frames";

type Message =
  /** From the leader: an event of its client. */
  | { readonly type: "event"; readonly event: RealtimeEvent }
  /** From a new leader. The followers respond with their rooms. */
  | { readonly type: "leads" }
  /** From a follower: all rooms that it needs. */
  | { readonly type: "rooms"; readonly tab: string; readonly rooms: readonly string[] };

export interface SharedConnectionDependencies {
  readonly locks: Pick<LockManager, "request">;
  readonly openChannel: (name: string) => BroadcastChannel;
  readonly createClient: (onEvent: (event: RealtimeEvent) => void) => RealtimeClient;
  readonly onEvent: (event: RealtimeEvent) => void;
  /** Identifies this tab. */
  readonly tab: string;
}

export class SharedConnection {
  readonly #dependencies: SharedConnectionDependencies;
  readonly #name: string;
  readonly #channel: BroadcastChannel;
  readonly #stopping = new AbortController();
  #rooms: readonly string[] = [];
  /** As the leader: the rooms of each tab. */
  readonly #roomsByTab = new Map<string, ReadonlySet<string>>();
  /** As the leader: the last frame of each type in each room, for tabs that need the room later. */
  readonly #lastFrames = new Map<string, Map<RoomFrame["t"], RoomFrame>>();
  #client: RealtimeClient | undefined;

  /** `name` separates the users of one browser. */
  constructor(name: string, dependencies: SharedConnectionDependencies) {
    this.#dependencies = dependencies;
    this.#name = `hopline-realtime:${name}`;
    this.#channel = dependencies.openChannel(this.#name);
    this.#channel.addEventListener("message", (event: MessageEvent<Message>) => {
      this.#receive(event.data);
    });
  }

  get isLeader(): boolean {
    return this.#client !== undefined;
  }

  /** Lead if no other tab does, otherwise follow, until `stop`. */
  start(): void {
    // The lock of this tab is held while the tab exists, so that the leader detects when the tab ends.
    void this.#hold(this.#lockOf(this.#dependencies.tab), () => undefined);
    void this.#hold(this.#name, () => {
      this.#lead();
    });
    this.#sendRooms();
  }

  stop(): void {
    this.#stopping.abort();
    this.#client?.stop();
    this.#client = undefined;
    this.#channel.close();
  }

  /** Receive the frames of these rooms. Rooms of an earlier call that are not among them are left. */
  setRooms(rooms: readonly string[]): void {
    this.#rooms = rooms;
    this.#sendRooms();
  }

  /** Mark notifications as read by the socket of this tab. Return false if this tab has no open socket; then use REST. */
  markRead(upTo: number): boolean {
    return this.#client?.markRead(upTo) ?? false;
  }

  /** Connect when the network of this device becomes available, and close the connection when it is lost. */
  networkChanged(isOnline: boolean): void {
    if (isOnline) this.#client?.retryNow();
    else this.#client?.suspend();
  }

  #lead(): void {
    this.#client = this.#dependencies.createClient((event) => {
      if (event.type === "room") this.#storeLastFrame(event.frame);
      // The next socket joins the rooms again and receives new frames.
      if (event.type === "state" && event.state.phase === "connecting") this.#lastFrames.clear();
      this.#post({ type: "event", event });
      this.#dependencies.onEvent(event);
    });
    this.#post({ type: "leads" });
    this.#sendRooms();
    this.#client.start();
  }

  #receive(message: Message): void {
    switch (message.type) {
      case "event":
        this.#dependencies.onEvent(message.event);
        break;
      case "leads":
        this.#sendRooms();
        break;
      case "rooms":
        this.#applyRooms(message.tab, message.rooms);
        break;
    }
  }

  #sendRooms(): void {
    const { tab } = this.#dependencies;
    if (this.isLeader) this.#applyRooms(tab, this.#rooms);
    else this.#post({ type: "rooms", tab, rooms: this.#rooms });
  }

  #applyRooms(tab: string, rooms: readonly string[]): void {
    const client = this.#client;
    if (client === undefined) return;
    const known = this.#roomsByTab.get(tab);
    const before = this.#roomsOfAllTabs();
    this.#roomsByTab.set(tab, new Set(rooms));
    const after = this.#roomsOfAllTabs();
    for (const room of before) if (!after.has(room)) client.leave(room);
    for (const room of after) if (!before.has(room)) client.join(room);
    if (tab === this.#dependencies.tab) return;
    for (const room of rooms) if (before.has(room) && known?.has(room) !== true) this.#repeatLastFrames(room);
    if (known === undefined) {
      this.#post({ type: "event", event: { type: "state", state: client.state } });
      this.#removeRoomsAtEnd(tab);
    }
  }

  /** Remove the rooms of a tab when it ends, which releases its lock. */
  #removeRoomsAtEnd(tab: string): void {
    const { locks } = this.#dependencies;
    locks
      .request(this.#lockOf(tab), { signal: this.#stopping.signal }, () => {
        this.#applyRooms(tab, []);
        this.#roomsByTab.delete(tab);
      })
      .catch(ignoreAbort);
  }

  #storeLastFrame(frame: RoomFrame): void {
    if (frame.t === "left" || frame.t === "join_rejected") {
      this.#lastFrames.delete(frame.room);
      return;
    }
    const frames = this.#lastFrames.get(frame.room) ?? new Map<RoomFrame["t"], RoomFrame>();
    this.#lastFrames.set(frame.room, frames.set(frame.t, frame));
  }

  /** Post the last frames of a room again. The server sends them only when the socket joins, not for each tab. */
  #repeatLastFrames(room: string): void {
    for (const frame of this.#lastFrames.get(room)?.values() ?? []) {
      this.#post({ type: "event", event: { type: "room", frame } });
    }
  }

  #roomsOfAllTabs(): Set<string> {
    return new Set([...this.#roomsByTab.values()].flatMap((rooms) => [...rooms]));
  }

  #lockOf(tab: string): string {
    return `${this.#name}:${tab}`;
  }

  /** Call `granted` when the lock is free, and hold it until `stop`. */
  async #hold(name: string, granted: () => void): Promise<void> {
    const { signal } = this.#stopping;
    await this.#dependencies.locks
      .request(name, { signal }, () => {
        granted();
        return new Promise<void>((resolve) => {
          signal.addEventListener("abort", () => {
            resolve();
          });
        });
      })
      .catch(ignoreAbort);
  }

  #post(message: Message): void {
    if (!this.#stopping.signal.aborted) this.#channel.postMessage(message);
  }
}

/** Ignore the error of a lock request that `stop` aborted. */
function ignoreAbort(error: unknown): void {
  if (!(error instanceof DOMException && error.name === "AbortError")) throw error;
}

