// A source of tokens for plug-ins, whose every call is counted. What it gives are `Token`s of the package: from a session
// with a real sandbox, which gets another one after each rejection.
import { Session } from 'flyte-auth';

import { MACHINE } from './sandbox.mjs';

/** A machine's session at the sandbox, with its token in memory. */
export async function signedIn(sandbox, options = {}) {
  const session = Session.fromConfig({ ...sandbox.options, ...MACHINE, ...options });
  await session.token();
  return session;
}

/** `session`, whose `token()` waits until `release()`. */
export function slow(session) {
  let release;
  const released = new Promise((resolve) => (release = resolve));
  return {
    release,
    aborted: 0,
    tryToken: () => null,
    invalidate: (token) => session.invalidate(token),
    async token({ signal } = {}) {
      await new Promise((resolve, reject) => {
        const abort = () => {
          this.aborted += 1;
          reject(signal.reason);
        };
        signal?.addEventListener('abort', abort, { once: true });
        released.then(() => {
          signal?.removeEventListener('abort', abort);
          resolve();
        });
      });
      return session.token({ signal });
    },
  };
}
