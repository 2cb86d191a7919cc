/** One call of `fetch`, until its caller has the answer. */

import type { Hosts } from '../hosts';
import { anotherToken } from '../source';
import type { Token, TokenSource } from '../token';

/** As browsers and Node follow (Fetch standard, "HTTP-redirect fetch"). */
const MOST_REDIRECTS = 20;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** Gone with the body that they describe. */
const OF_THE_BODY = ['content-encoding', 'content-language', 'content-length', 'content-location', 'content-type'];
/** Not for another origin. */
const OF_THE_ORIGIN = ['authorization', 'cookie', 'host', 'proxy-authorization'];

type Fetch = typeof globalThis.fetch;
type Body = Exclude<RequestInit['body'], undefined>;

/** @internal */
export class Exchange {
  readonly #source: TokenSource;
  readonly #hosts: Hosts;
  readonly #fetch: Fetch;
  readonly #init: RequestInit;
  readonly #signal: AbortSignal;
  readonly #follows: boolean;
  readonly #canRepeat: boolean;
  #url: URL;
  #method: string;
  readonly #headers: Headers;
  /** Makes the body for one attempt. */
  #body: () => Body;
  #redirects = 0;

  constructor(source: TokenSource, hosts: Hosts, fetch: Fetch, input: Parameters<Fetch>[0], init: RequestInit = {}) {
    this.#source = source;
    this.#hosts = hosts;
    this.#fetch = fetch;
    const request = isRequest(input) ? input : null;
    this.#url = new URL(request?.url ?? String(input));
    const { body, headers, ...rest } = init;
    this.#init = request ? { ...carried(request), ...rest } : rest;
    this.#method = (init.method ?? request?.method ?? 'GET').toUpperCase();
    this.#headers = new Headers(headers ?? request?.headers);
    this.#signal = init.signal ?? request?.signal ?? new AbortController().signal;
    this.#follows = (init.redirect ?? request?.redirect ?? 'follow') === 'follow';
    const own = body === undefined && request?.body != null;
    // A copy for each attempt, since the request's own can be read once.
    this.#body = own ? () => request.clone().body : () => body ?? null;
    this.#canRepeat = own || !isStream(body);
    if (own && !this.#headers.has('content-type')) {
      const type = request.headers.get('content-type');
      if (type) this.#headers.set('content-type', type);
    }
  }

  async answer(): Promise<Response> {
    this.#hosts.check(this.#url);
    let token = this.#source.tryToken() ?? (await this.#source.token({ signal: this.#signal }));
    let refreshed = false;
    for (;;) {
      const sent = this.#hosts.allow(this.#url) ? token : null;
      const response = await this.#send(sent);
      if (response.status === 401 && sent !== null && !refreshed) {
        refreshed = true;
        this.#source.invalidate(sent);
        const another = this.#canRepeat ? await anotherToken(this.#source, sent, this.#signal) : null;
        if (another === null) return this.#last(response);
        token = another;
        await drop(response);
        continue;
      }
      if (!this.#follows || !(await this.#redirected(response))) return this.#last(response);
    }
  }

  #send(token: Token | null): Promise<Response> {
    const headers = new Headers(this.#headers);
    if (token) headers.set(token.headerName, token.headerValue);
    const body = this.#body();
    const streamed = isStream(body) ? { duplex: 'half' as const } : {};
    const redirect = this.#follows ? 'manual' : (this.#init.redirect ?? 'follow');
    const init = { ...this.#init, ...streamed, method: this.#method, headers, redirect, signal: this.#signal };
    return this.#fetch(this.#url, body === null ? init : { ...init, body });
  }

  /** Whether the answer leads elsewhere; then the next request is for there. */
  async #redirected(response: Response): Promise<boolean> {
    const location = response.headers.get('location');
    if (!REDIRECTS.has(response.status) || location === null) return false;
    await drop(response);
    const to = URL.canParse(location, this.#url.href) ? new URL(location, this.#url) : null;
    if (to === null || !['http:', 'https:'].includes(to.protocol)) throw failed('a redirect leads to no web address');
    if (++this.#redirects > MOST_REDIRECTS) throw failed('too many redirects');
    const { status } = response;
    const toGet = status === 303 ? !['GET', 'HEAD'].includes(this.#method) : status < 303 && this.#method === 'POST';
    if (toGet) {
      this.#method = 'GET';
      this.#body = () => null;
      OF_THE_BODY.forEach((name) => this.#headers.delete(name));
    } else if (!this.#canRepeat) {
      throw failed('a redirect wants a body again that can be sent only once');
    }
    if (to.origin !== this.#url.origin) OF_THE_ORIGIN.forEach((name) => this.#headers.delete(name));
    if (!to.hash) to.hash = this.#url.hash;
    this.#url = to;
    return true;
  }

  /** The answer, which knows that it was not the first. */
  #last(response: Response): Response {
    if (this.#redirects > 0) Object.defineProperty(response, 'redirected', { value: true, configurable: true });
    return response;
  }
}

function failed(why: string): TypeError {
  return new TypeError('fetch failed', { cause: new Error(why) });
}

/** Ends an answer that nobody reads, so that its connection is free. */
async function drop(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => {});
}

/** Also one of another realm, or of the package undici. */
function isRequest(input: Parameters<Fetch>[0]): input is Request {
  return typeof input === 'object' && 'url' in input && 'clone' in input;
}

/** What a request says of how it is to be sent. */
function carried({ cache, credentials, integrity, keepalive, mode, referrerPolicy }: Request): RequestInit {
  const init = { cache, credentials, integrity, keepalive, referrerPolicy };
  // Of a request that was made for a page itself no other can be made.
  return mode === 'navigate' ? init : { ...init, mode };
}

/** What can be read once. */
function isStream(body: unknown): boolean {
  if (typeof body !== 'object' || body === null) return false;
  if (body instanceof ReadableStream) return true;
  const whole = [Blob, FormData, URLSearchParams, ArrayBuffer].some((type) => body instanceof type);
  return !whole && !ArrayBuffer.isView(body) && Symbol.asyncIterator in body;
}
