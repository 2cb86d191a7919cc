/**
 * `fetch` with a session's token, and an interceptor for undici's dispatchers.
 *
 * ```js
 * import { Session } from 'flyte-auth';
 * import { createFetch } from 'flyte-auth/fetch';
 *
 * const fetch = createFetch(Session.fromConfig());
 * const projects = await (await fetch('https://flyte.example.org/api/v1/projects')).json();
 * ```
 */

import { checked, type Table } from './arguments';
import { Exchange } from './fetch/exchange';
import { type HostOptions, Hosts } from './hosts';
import { sourceOf } from './source';
import type { TokenSource } from './token';

export { authInterceptor } from './fetch/undici';
export type { HostOptions } from './hosts';

/** What `createFetch` takes. */
export interface FetchOptions extends HostOptions {
  /** The `fetch` that sends; the global one unless said. */
  fetch?: typeof globalThis.fetch | undefined;
}

const OPTIONS: Table = { fetch: 'function', hosts: 'strings' };

/**
 * A `fetch` that puts the session's token into every request.
 *
 * - The header that the server asks for is there once: one that the request brought is replaced. An endpoint without auth:
 *   the request goes untouched.
 * - The token goes to the session's own origin and to `hosts`. Redirects are followed here, at most 20: at another origin
 *   the request goes on without it. An address that it is not for is refused before anything is sent.
 * - After 401 the request is sent once more with another token, if there is one and the body can be sent again (text,
 *   bytes, forms, blobs, a `Request`; not a stream). 403 is an answer.
 * - `signal` also ends the wait for a token; the refresh goes on.
 *
 * @throws {TypeError} an argument of the wrong type.
 * @throws {ConfigError} from here: `hosts` names what is no origin. From a request: reason `foreign_host` or
 *   `plaintext_refused`, and all that `Session.token` throws.
 */
export function createFetch(session: TokenSource, options: FetchOptions = {}): typeof globalThis.fetch {
  const source = sourceOf(session);
  const { fetch: given, hosts: more } = checked(options, OPTIONS);
  const hosts = new Hosts(source, more);
  return async (input, init) => {
    const exchange = new Exchange(source, hosts, given ?? globalThis.fetch, input, init);
    return exchange.answer();
  };
}
