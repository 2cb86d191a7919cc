/** Sessions that the app keeps: Redis, a database, whatever its replicas share. */

import { typeName } from '../arguments';
import type { StoreCall } from '../native';

/**
 * Keeps the sessions of signed-in users. Keys are hashes and values are sealed: whoever reads the store can neither open
 * a session nor present one. Every method may be synchronous or asynchronous; one that throws, or does not answer within
 * ten seconds, makes the request a failure (503), not a sign-out.
 */
export interface SessionStore {
  /** The value under `key`; null or undefined if there is none or its time has run out. */
  get(key: string): Uint8Array | null | undefined | Promise<Uint8Array | null | undefined>;
  /** Keeps `value` under `key`, in place of what was there, for `lifetime` milliseconds from now. */
  set(key: string, value: Uint8Array, lifetime: number): unknown;
  /** Removes what is under `key`; nothing there is no error. */
  delete(key: string): unknown;
}

/**
 * What serves the native half's calls by `store`.
 *
 * @throws {TypeError} it is no store.
 */
export function serving(store: SessionStore): (call: StoreCall) => void {
  for (const method of ['get', 'set', 'delete'] as const) {
    if (typeof store?.[method] !== 'function') {
      throw new TypeError(`store must have the methods get, set and delete; ${method} is ${typeName(store?.[method])}`);
    }
  }
  return (call) => void answered(store, call);
}

async function answered(store: SessionStore, call: StoreCall): Promise<void> {
  try {
    call.done(await asked(store, call));
  } catch (error) {
    // The message may hold what the driver was sent: its kind is enough.
    call.failed(error instanceof Error ? error.name : typeName(error));
  }
}

async function asked(store: SessionStore, { operation, key, value, lifetime }: StoreCall): Promise<Buffer | null> {
  switch (operation) {
    case 'set':
      await store.set(key, value ?? new Uint8Array(), lifetime ?? 0);
      return null;
    case 'delete':
      await store.delete(key);
      return null;
    case 'get': {
      const found = await store.get(key);
      if (found == null) return null;
      if (!(found instanceof Uint8Array)) throw new TypeError(`get gave ${typeName(found)}`);
      return Buffer.from(found.buffer, found.byteOffset, found.byteLength);
    }
  }
}
