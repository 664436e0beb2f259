/** Products and their stock: live for those in a joined room, otherwise polled. */

import { signal } from "@preact/signals";

import { api } from "../api";
import type { Page, Product } from "../api/types";
import type { Action } from "../telemetry";
import { connection, joinRoom, roomFrameReceived } from "./connection";

/** The server allows ten rooms per socket. The tabs of a browser share the socket, so each page joins fewer. */
const MAX_ROOMS = 8;
const POLL_MS = 10_000;
const MAX_PAGES = 10;

interface LiveStock {
  readonly available: number;
  readonly version: number;
  readonly receivedAt: number;
}

export const products = signal<ReadonlyMap<string, Product>>(new Map());

/** The number of sockets in the room of a product. */
export const viewers = signal<ReadonlyMap<string, number>>(new Map());

/** Products whose stock arrives by the WebSocket now. */
export const liveSkus = signal<ReadonlySet<string>>(new Set());

const liveStock = new Map<string, LiveStock>();

/**
 * Load the whole catalog.
 *
 * @throws ProblemError, UnreachableError It cannot be loaded now.
 */
export async function loadCatalog(action?: Action, signal?: AbortSignal): Promise<void> {
  let cursor: string | null | undefined;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const path = `/v2/products?limit=100${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`;
    const startedAt = performance.now();
    const { body } = await api.json<Page<Product>>(path, { action, signal, background: action === undefined });
    store(body.items, startedAt);
    cursor = body.next_cursor;
    if (!cursor) return;
  }
}

/** Load one product. Errors are those of `loadCatalog`. */
export async function loadProduct(sku: string, action?: Action, signal?: AbortSignal): Promise<void> {
  const startedAt = performance.now();
  const path = `/v2/products/${encodeURIComponent(sku)}`;
  const { body } = await api.json<Product>(path, { action, signal, background: action === undefined });
  store([body], startedAt);
}

/** Store products of a response. The stock of a frame that arrived after the request began is newer, so it stays. */
function store(read: readonly Product[], startedAt: number): void {
  const updated = new Map(products.value);
  for (const product of read) {
    const live = liveStock.get(product.sku);
    const isOlder = live !== undefined && live.receivedAt > startedAt;
    updated.set(product.sku, isOlder ? { ...product, available: live.available } : product);
  }
  products.value = updated;
}

/**
 * Keep the stock of these products current until the returned function is called.
 *
 * The first `MAX_ROOMS` products join rooms. The others are polled while the page is visible, and all are while the socket
 * is not open.
 */
export function watchStock(skus: readonly string[]): () => void {
  const leaveRooms = skus.slice(0, MAX_ROOMS).map((sku) => joinRoom(roomOf(sku)));
  const timer = setInterval(() => {
    const isLive = connection.value.phase === "open" && skus.every((sku) => liveSkus.value.has(sku));
    if (!isLive && document.visibilityState === "visible") void refresh(skus);
  }, POLL_MS);
  return () => {
    clearInterval(timer);
    for (const leaveRoom of leaveRooms) leaveRoom();
  };
}

async function refresh(skus: readonly string[]): Promise<void> {
  try {
    const [only] = skus;
    if (skus.length === 1 && only !== undefined) await loadProduct(only);
    else await loadCatalog();
  } catch {
    // The next poll tries again. The page shows the stock it has.
  }
}

/** Apply the frames of rooms to the products. */
export function startProducts(): void {
  roomFrameReceived.on((frame) => {
    const sku = frame.room.replace(/^product:/, "");
    switch (frame.t) {
      case "joined":
        setLive(sku, true);
        void refresh([sku]);
        break;
      case "left":
      case "join_rejected":
        setLive(sku, false);
        break;
      case "viewers":
        viewers.value = new Map(viewers.value).set(sku, frame.viewers);
        break;
      case "stock":
        applyStock(sku, frame.available, frame.version);
        break;
    }
  });
  // Frames may be lost while the socket is closed. When it is open again, `joined` arrives for each room.
  connection.subscribe(({ phase }) => {
    if (phase !== "open" && phase !== "draining" && liveSkus.peek().size > 0) liveSkus.value = new Set();
  });
}

function applyStock(sku: string, available: number, version: number): void {
  const known = liveStock.get(sku);
  if (known !== undefined && version < known.version) return;
  liveStock.set(sku, { available, version, receivedAt: performance.now() });
  const product = products.value.get(sku);
  if (product !== undefined) products.value = new Map(products.value).set(sku, { ...product, available });
}

function setLive(sku: string, isLive: boolean): void {
  const updated = new Set(liveSkus.value);
  if (isLive) updated.add(sku);
  else updated.delete(sku);
  liveSkus.value = updated;
}

function roomOf(sku: string): string {
  return `product:${sku}`;
}
