/**
 * An interceptor for clients of `@connectrpc/connect` (Flyte 2): the protocols Connect, gRPC and gRPC-Web.
 *
 * ```js
 * import { createClient } from '@connectrpc/connect';
 * import { createConnectTransport } from '@connectrpc/connect-node';
 * import { authInterceptor } from 'flyte-auth/connect';
 *
 * const transport = createConnectTransport({ baseUrl, httpVersion: '2', interceptors: [authInterceptor(session)] });
 * ```
 */

// Types alone: which of its two builds an app has does not matter here.
import type { Interceptor, StreamRequest, StreamResponse, UnaryRequest } from '@connectrpc/connect' with {
  'resolution-mode': 'require',
};

import { anotherToken, sourceOf } from './source';
import type { Token, TokenSource } from './token';

/** `Code.Unauthenticated`. */
const UNAUTHENTICATED = 16;

type Messages = StreamRequest['message'];
type AsyncItem = Messages extends AsyncIterable<infer Item> ? Item : never;

/**
 * An interceptor for all four kinds of call.
 *
 * Every call gets the session's header, which replaces what the caller had under its name. After `Unauthenticated` (HTTP
 * 401) the token is invalidated, and the call is made once more with another one, within its deadline, where nothing was
 * delivered: no response handed out and, of a stream of requests, none pulled from the caller. No other code is touched.
 * Where the endpoint has no auth, calls pass as they are.
 *
 * A call waits for a token only if none is in memory, at most until its deadline or its signal. What goes wrong with the
 * session comes out of the call as `cause` of its `ConnectError`.
 *
 * Put it last: interceptors before it, which may make a call again, then get a fresh token each time. The address that a
 * transport connects to is its own affair: it must be the session's endpoint.
 */
export function authInterceptor(session: TokenSource): Interceptor {
  const source = sourceOf(session);
  return (next) => async (request) => {
    const token = source.tryToken() ?? (await source.token({ signal: request.signal }));
    if (token === null) return next(request);
    if (request.stream) return new Stream(source, next as SendStream, request).start(token);
    try {
      return await next(withToken(request, token));
    } catch (error) {
      const another = await afterRejection(source, token, error, request.signal, true);
      if (another === null) throw error;
      return next(withToken(request, another, token));
    }
  };
}

function withToken<R extends UnaryRequest | StreamRequest>(request: R, token: Token, rejected?: Token): R {
  // The caller's own stay as they are: an interceptor before this one may send the call again.
  const header = new Headers(request.header);
  if (rejected) header.delete(rejected.headerName);
  header.set(token.headerName, token.headerValue);
  return { ...request, header };
}

/** The token for a second attempt; null if the call, which ended with `error`, is not to be made again. */
async function afterRejection(
  source: TokenSource,
  token: Token,
  error: unknown,
  signal: AbortSignal,
  whole: boolean,
): Promise<Token | null> {
  const { name, code } = error as { name?: unknown; code?: unknown };
  if (name !== 'ConnectError' || code !== UNAUTHENTICATED) return null;
  source.invalidate(token);
  return whole ? anotherToken(source, token, signal) : null;
}

type SendStream = (request: StreamRequest) => Promise<StreamResponse>;

/** A stream, of the attempt that counts. */
class Stream {
  readonly #source: TokenSource;
  readonly #next: SendStream;
  readonly #request: StreamRequest;
  readonly #requests: Requests;

  constructor(source: TokenSource, next: SendStream, request: StreamRequest) {
    this.#source = source;
    this.#next = next;
    this.#request = request;
    this.#requests = new Requests(request);
  }

  async start(token: Token): Promise<StreamResponse> {
    let response: StreamResponse;
    try {
      response = await this.#send(token);
    } catch (error) {
      return this.#again(token, error);
    }
    // A stream's end tells of a rejection too, after its head.
    const responses = this.#responses(response, token, (second) => (response = second));
    return {
      ...response,
      message: responses,
      get trailer() {
        return response.trailer;
      },
    };
  }

  #send(token: Token, rejected?: Token): Promise<StreamResponse> {
    const message = this.#requests.forAttempt();
    return this.#next(withToken({ ...this.#request, message }, token, rejected));
  }

  async #again(token: Token, error: unknown): Promise<StreamResponse> {
    const another = await afterRejection(this.#source, token, error, this.#request.signal, this.#requests.areWhole);
    if (another === null) throw error;
    return this.#send(another, token);
  }

  async *#responses(first: StreamResponse, token: Token, second: (response: StreamResponse) => void): Messages {
    let delivered = false;
    try {
      for await (const message of first.message) {
        delivered = true;
        yield message;
      }
      return;
    } catch (error) {
      if (delivered) {
        await afterRejection(this.#source, token, error, this.#request.signal, false);
        throw error;
      }
      const response = await this.#again(token, error);
      second(response);
      yield* response.message;
    }
  }
}

/** The caller's requests: one can be sent again, a stream as long as nobody has pulled from it. */
class Requests {
  readonly #messages: Messages;
  readonly #one: boolean;
  readonly #kept: AsyncItem[] = [];
  #taken = false;

  constructor(request: StreamRequest) {
    this.#messages = request.message;
    this.#one = request.method.methodKind === 'server_streaming';
  }

  /** Whether another attempt would send all of them. */
  get areWhole(): boolean {
    return this.#one || !this.#taken;
  }

  async *forAttempt(): Messages {
    if (this.#one && this.#taken) {
      yield* this.#kept;
      return;
    }
    this.#taken = true;
    for await (const message of this.#messages) {
      if (this.#one) this.#kept.push(message);
      yield message;
    }
  }
}
