/** Which addresses a session's token may go to: the session's own origin, and those that the user named beside it. */

import { typeName } from './arguments';
import { configError } from './errors';
import { nativeSession, Session } from './session';
import type { TokenSource } from './token';

/** Further addresses of the same control plane. */
export interface HostOptions {
  /** Further origins that the token may go to, `https://host` or `https://host:port`. */
  hosts?: readonly string[] | undefined;
}

/** The scope of a session's token. @internal */
export class Hosts {
  readonly #origins: ReadonlySet<string>;
  readonly #place: string;

  /**
   * @throws {TypeError} an argument of the wrong type.
   * @throws {ConfigError} reason `endpoint_invalid`: one of `hosts` is no origin; `no_endpoint`: none is known.
   */
  constructor(source: TokenSource, hosts: readonly string[] = []) {
    if (!Array.isArray(hosts)) throw new TypeError(`hosts must be an array of strings, not ${typeName(hosts)}`);
    const own = source instanceof Session ? nativeSession(source).origin : null;
    this.#place = source instanceof Session ? source.endpoint : 'the signed-in user';
    this.#origins = new Set([...(own === null ? [] : [new URL(own).origin]), ...hosts.map(named)]);
    if (this.#origins.size === 0) {
      const what = `it is not known where a token of ${this.#place} may go`;
      throw configError('no_endpoint', what, 'Name the addresses: hosts: ["https://flyte.example.org"]', 'hosts');
    }
  }

  /** Whether the token may go there. */
  allow(url: URL): boolean {
    return url.username === '' && url.password === '' && this.#origins.has(url.origin);
  }

  /**
   * As `allow`, but says why not.
   *
   * @throws {ConfigError} reason `foreign_host` or `plaintext_refused`.
   */
  check(url: URL): void {
    if (this.allow(url)) return;
    if (url.protocol === 'http:' && this.#origins.has(url.origin.replace('http:', 'https:'))) {
      const what = `a token of ${this.#place} does not go out without TLS`;
      throw configError('plaintext_refused', what, "Use https:// in the request's address");
    }
    // What stands before an `@` may be a password.
    const to = url.username || url.password ? 'an address with a user name' : url.origin;
    throw configError(
      'foreign_host',
      `a token of ${this.#place} does not go to ${to}`,
      'Use the ordinary fetch for other hosts; hosts: […] allows more addresses of this control plane',
    );
  }
}

function named(host: unknown): string {
  if (typeof host !== 'string') throw new TypeError(`hosts must be an array of strings, not of ${typeName(host)}`);
  const url = URL.canParse(host) ? new URL(host) : null;
  const web = url !== null && (url.protocol === 'https:' || url.protocol === 'http:');
  if (!web || url.pathname !== '/' || url.search || url.hash || url.username || url.password) {
    const shown = host.includes('@') ? '' : ` ${JSON.stringify(host)}`;
    throw configError(
      'endpoint_invalid',
      `hosts${shown}: is not an origin`,
      'Use https://HOST or https://HOST:PORT',
      'hosts',
    );
  }
  return url.origin;
}
