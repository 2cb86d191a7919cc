/** An interceptor for the dispatchers of undici 7. */

import type { Dispatcher } from 'undici';

import { checked, type Table } from '../arguments';
import { type HostOptions, Hosts } from '../hosts';
import { anotherToken, sourceOf } from '../source';
import type { Token, TokenSource } from '../token';

const OPTIONS: Table = { hosts: 'strings' };

/**
 * An interceptor for undici 7 (`agent.compose(authInterceptor(session))`), which `request`, `stream`, `pipeline` and a
 * `fetch` with this `dispatcher` then go through.
 *
 * Requests to the session's own origin and to `hosts` get the session's header, which replaces what they had under its
 * name; others pass as they are. After 401 the request is made once more with another token, where its body can be sent
 * again (text or bytes). Put it first in `compose`: an interceptor that follows redirects then comes through here with
 * each of them, and carries no token elsewhere.
 *
 * @throws {TypeError} an argument of the wrong type.
 * @throws {ConfigError} one of `hosts` is no origin.
 */
export function authInterceptor(
  session: TokenSource,
  options: HostOptions = {},
): Dispatcher.DispatcherComposeInterceptor {
  const source = sourceOf(session);
  const hosts = new Hosts(source, checked(options, OPTIONS).hosts);
  return (dispatch) => (request, handler) => {
    if (!isOurs(hosts, request)) return dispatch(request, handler);
    const call = new Call(source, dispatch, request, handler);
    const token = source.tryToken();
    if (token) return call.send(token);
    call.wait((signal) => source.token({ signal }));
    return true;
  };
}

function isOurs(hosts: Hosts, { origin, path }: Dispatcher.DispatchOptions): boolean {
  const text = String(origin ?? '');
  return URL.canParse(path, text) && hosts.allow(new URL(path, text));
}

type Handler = Dispatcher.DispatchHandler;
type Controller = Dispatcher.DispatchController;

/** One request; its handler sees the attempt that counts. */
class Call implements Handler {
  readonly #source: TokenSource;
  readonly #dispatch: Dispatcher.Dispatch;
  readonly #request: Dispatcher.DispatchOptions;
  readonly #handler: Handler;
  #token: Token | null = null;
  #first = true;
  #started = false;
  readonly #control = new Control();
  /** The answer that came is one, and another attempt may follow. */
  #rejection: Rejection | undefined;

  constructor(
    source: TokenSource,
    dispatch: Dispatcher.Dispatch,
    request: Dispatcher.DispatchOptions,
    handler: Handler,
  ) {
    this.#source = source;
    this.#dispatch = dispatch;
    this.#request = request;
    this.#handler = handler;
  }

  send(token: Token | null): boolean {
    const before = this.#token;
    this.#token = token;
    if (token === null) return this.#dispatch(this.#request, this.#handler);
    const headers = withHeader(this.#request.headers, token, before);
    return this.#dispatch({ ...this.#request, headers }, this);
  }

  wait(ask: (signal: AbortSignal) => Promise<Token | null>): void {
    ask(this.#control.signal).then(
      (token) => void this.send(token),
      (error: unknown) => this.#handler.onResponseError?.(this.#control, error as Error),
    );
  }

  onRequestStart(controller: Controller, context: unknown): void {
    this.#control.begin(controller);
    // A handler is told once.
    if (this.#started) return;
    this.#started = true;
    this.#handler.onRequestStart?.(this.#control, context);
  }

  onRequestUpgrade(...[, ...told]: Told<'onRequestUpgrade'>): void {
    this.#handler.onRequestUpgrade?.(this.#control, ...told);
  }

  onResponseStart(...[, ...told]: Told<'onResponseStart'>): void {
    const [status] = told;
    if (status === 401 && this.#token) {
      this.#source.invalidate(this.#token);
      if (this.#first && canRepeat(this.#request.body)) this.#rejection = { token: this.#token, told, body: [] };
      this.#first = false;
    }
    if (!this.#rejection) this.#handler.onResponseStart?.(this.#control, ...told);
  }

  onResponseData(...[, chunk]: Told<'onResponseData'>): void {
    if (this.#rejection) this.#rejection.body.push(chunk);
    else this.#handler.onResponseData?.(this.#control, chunk);
  }

  onResponseEnd(...[, trailers]: Told<'onResponseEnd'>): void {
    const rejection = this.#rejection;
    if (!rejection) return void this.#handler.onResponseEnd?.(this.#control, trailers);
    this.#rejection = undefined;
    anotherToken(this.#source, rejection.token, this.#control.signal).then(
      (token) => {
        if (token) return void this.send(token);
        this.#handler.onResponseStart?.(this.#control, ...rejection.told);
        for (const chunk of rejection.body) this.#handler.onResponseData?.(this.#control, chunk);
        this.#handler.onResponseEnd?.(this.#control, trailers);
      },
      (error: unknown) => this.#handler.onResponseError?.(this.#control, error as Error),
    );
  }

  onResponseError(...[, error]: Told<'onResponseError'>): void {
    this.#handler.onResponseError?.(this.#control, error);
  }
}

type Told<Name extends keyof Handler> = Parameters<NonNullable<Handler[Name]>>;
type AfterController<T extends unknown[]> = T extends [unknown, ...infer Rest] ? Rest : never;

/** A rejection, kept for the case that there is no other token. */
interface Rejection {
  readonly token: Token;
  readonly told: AfterController<Told<'onResponseStart'>>;
  readonly body: Buffer[];
}

/** What a handler ends its request with, whichever attempt is under way; also between two. */
class Control implements Controller {
  readonly #aborting = new AbortController();
  #current: Controller | undefined;

  get signal(): AbortSignal {
    return this.#aborting.signal;
  }

  begin(controller: Controller): void {
    this.#current = controller;
    if (this.signal.aborted) controller.abort(this.signal.reason as Error);
  }

  get aborted(): boolean {
    return this.signal.aborted || (this.#current?.aborted ?? false);
  }
  get reason(): Error | null {
    return (this.signal.reason as Error | undefined) ?? this.#current?.reason ?? null;
  }
  get paused(): boolean {
    return this.#current?.paused ?? false;
  }
  get rawHeaders(): Required<Controller>['rawHeaders'] {
    return this.#current?.rawHeaders ?? null;
  }
  get rawTrailers(): Required<Controller>['rawTrailers'] {
    return this.#current?.rawTrailers ?? null;
  }
  pause(): void {
    this.#current?.pause();
  }
  resume(): void {
    this.#current?.resume();
  }
  abort(reason: Error): void {
    this.#aborting.abort(reason);
    this.#current?.abort(reason);
  }
}

function canRepeat(body: Dispatcher.DispatchOptions['body']): boolean {
  return body == null || typeof body === 'string' || ArrayBuffer.isView(body);
}

type HeaderPairs = [string, string | string[]][];

/** The headers with the token's, and without any of its name or of the rejected one's. */
function withHeader(headers: Dispatcher.DispatchOptions['headers'], token: Token, rejected: Token | null): string[] {
  const gone = new Set([token.headerName, rejected?.headerName]);
  const kept = pairs(headers).filter(([name]) => !gone.has(name.toLowerCase()));
  const flat = kept.flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).flatMap((one) => [name, one]));
  return [...flat, token.headerName, token.headerValue];
}

/** Every form that undici takes: a flat array, pairs, an object. */
function pairs(headers: Dispatcher.DispatchOptions['headers']): HeaderPairs {
  if (headers == null) return [];
  if (Array.isArray(headers)) {
    return Array.from({ length: headers.length / 2 }, (_, at) => [
      String(headers[2 * at]),
      headers[2 * at + 1] as string,
    ]);
  }
  const listed = Symbol.iterator in headers ? [...headers] : Object.entries(headers);
  return listed.filter((pair): pair is [string, string | string[]] => pair[1] !== undefined) as HeaderPairs;
}
