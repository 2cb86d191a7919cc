/** A wait for the native half that an `AbortSignal` ends. */

import { addon } from './addon';
import { translated } from './errors';
import type { Cancel } from './native';

/** What every method that waits takes. */
export interface WaitOptions {
  /** Ends the wait: its promise is rejected with the signal's reason at once. */
  signal?: AbortSignal | undefined;
}

/**
 * What `start` comes to, with this package's errors. Aborting ends the call: what it holds (a lock, a port) is let go.
 *
 * @param ended is told of an abort too, where there is more to end than the call.
 */
export async function waited<T>(
  signal: AbortSignal | undefined,
  start: (cancel: Cancel | null) => Promise<T>,
  ended?: () => void,
): Promise<T> {
  if (signal === undefined) {
    try {
      return await start(null);
    } catch (error) {
      throw translated(error);
    }
  }
  signal.throwIfAborted();
  const cancel = new (addon().Cancel)();
  return aborting(
    signal,
    (async () => start(cancel))().catch((error: unknown) => {
      throw translated(error);
    }),
    () => {
      cancel.cancel();
      ended?.();
    },
  );
}

/** What `work` comes to, or the signal's reason, whichever is first; then `end` is called. Its listener does not stay. */
export function aborting<T>(signal: AbortSignal, work: Promise<T>, end: () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      end();
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', abort, { once: true });
    const settled = (): void => signal.removeEventListener('abort', abort);
    work.then(
      (value) => {
        settled();
        resolve(value);
      },
      (error: unknown) => {
        settled();
        reject(error as Error);
      },
    );
  });
}
