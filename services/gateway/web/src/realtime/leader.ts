/**
 * One WebSocket per browser: the tab that holds a Web Lock connects, the others receive its events by BroadcastChannel.
 *
 * When the leading tab ends, the browser gives the lock to another tab. It connects from the cursor that all tabs share.
 */

import type { RealtimeClient } from "./client";
import type { RealtimeEvent, RoomFrame } from "./frames";

type Message =
  /** From the leader: what its client reported. */
  | { readonly type: "event"; readonly event: RealtimeEvent }
  /** From a new leader: the followers send their rooms again. */
  | { readonly type: "leads" }
  /** From a follower: the rooms it needs, all of them. */
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
  readonly #rooms = new Set<string>();
  /** As the leader: the rooms of each tab. */
  readonly #roomsOf = new Map<string, ReadonlySet<string>>();
  /** As the leader: the last frames of each room by their type, for tabs that need the room later. */
  readonly #lastOfRoom = new Map<string, Map<RoomFrame["t"], RoomFrame>>();
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

  /** Take part until `stop`: lead if no other tab does, otherwise follow. */
  start(): void {
    // Held while the tab exists, so that the leader can detect its end.
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

  join(room: string): void {
    this.#rooms.add(room);
    this.#sendRooms();
  }

  leave(room: string): void {
    this.#rooms.delete(room);
    this.#sendRooms();
  }

  /** Mark notifications as read by the socket of this tab. Return false if it has none; use REST then. */
  markRead(upTo: number): boolean {
    return this.#client?.markRead(upTo) ?? false;
  }

  /** Pass on that the network of this device is available, or is not. */
  networkChanged(isOnline: boolean): void {
    if (isOnline) this.#client?.retryNow();
    else this.#client?.suspend();
  }

  #lead(): void {
    this.#client = this.#dependencies.createClient((event) => {
      if (event.type === "room") this.#remember(event.frame);
      // The rooms are joined again when the next socket is open.
      if (event.type === "state" && event.state.phase === "connecting") this.#lastOfRoom.clear();
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
        this.#setRooms(message.tab, message.rooms);
        break;
    }
  }

  #sendRooms(): void {
    const { tab } = this.#dependencies;
    if (this.isLeader) this.#setRooms(tab, [...this.#rooms]);
    else this.#post({ type: "rooms", tab, rooms: [...this.#rooms] });
  }

  #setRooms(tab: string, rooms: readonly string[]): void {
    const client = this.#client;
    if (client === undefined) return;
    const known = this.#roomsOf.get(tab);
    const before = this.#roomsOfAllTabs();
    this.#roomsOf.set(tab, new Set(rooms));
    const after = this.#roomsOfAllTabs();
    for (const room of before) if (!after.has(room)) client.leave(room);
    for (const room of after) if (!before.has(room)) client.join(room);
    if (tab === this.#dependencies.tab) return;
    for (const room of rooms) if (before.has(room) && known?.has(room) !== true) this.#repeat(room);
    if (known === undefined) {
      this.#post({ type: "event", event: { type: "state", state: client.state } });
      this.#watch(tab);
    }
  }

  /** Remove the rooms of a tab when it ends. */
  #watch(tab: string): void {
    const { locks } = this.#dependencies;
    locks
      .request(this.#lockOf(tab), { signal: this.#stopping.signal }, () => {
        this.#setRooms(tab, []);
        this.#roomsOf.delete(tab);
      })
      .catch(ignoreAbort);
  }

  #remember(frame: RoomFrame): void {
    if (frame.t === "left" || frame.t === "join_rejected") {
      this.#lastOfRoom.delete(frame.room);
      return;
    }
    const frames = this.#lastOfRoom.get(frame.room) ?? new Map<RoomFrame["t"], RoomFrame>();
    this.#lastOfRoom.set(frame.room, frames.set(frame.t, frame));
  }

  /** The server sends nothing to a tab that needs a room which the socket has joined already. */
  #repeat(room: string): void {
    for (const frame of this.#lastOfRoom.get(room)?.values() ?? []) {
      this.#post({ type: "event", event: { type: "room", frame } });
    }
  }

  #roomsOfAllTabs(): Set<string> {
    return new Set([...this.#roomsOf.values()].flatMap((rooms) => [...rooms]));
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

/** A request for a lock is aborted when the connection stops. */
function ignoreAbort(error: unknown): void {
  if (!(error instanceof DOMException && error.name === "AbortError")) throw error;
}

