/** The tokens of a user who is signed in to this app. */

import { LoginRequiredError } from '../errors';
import type * as Native from '../native';
import { type Token, Tokens, type TokenSource } from '../token';
import type { WaitOptions } from '../wait';

/** Takes the Set-Cookie values that a refresh made due. @internal */
export let takeCookies: (session: UserSession) => string[];

/**
 * The signed-in user's tokens: refreshed behind the scenes, never interactive, never this machine's store. For one
 * request; serves wherever a token source does, as in `flyte-auth/fetch` and `flyte-auth/grpc`.
 */
export class UserSession implements TokenSource {
  readonly #native: Native.UserSession;
  // Most requests ask for none.
  #made: Tokens | undefined;

  /** @internal */
  constructor(native: Native.UserSession) {
    this.#native = native;
  }

  get #tokens(): Tokens {
    return (this.#made ??= new Tokens(this.#native, (cancel) => this.#native.token(cancel)));
  }

  static {
    takeCookies = (session) => session.#native.takeCookies();
  }

  /** The token in memory, if it needs no refresh; null otherwise. Never waits. */
  tryToken(): Token | null {
    return this.#tokens.tryToken();
  }

  /**
   * A token for the next call in the user's name.
   *
   * @throws {LoginRequiredError} the session has ended: the user has to sign in again. Its `statusCode` is 401: thrown on
   *   to Express or Fastify, it is the answer.
   * @throws {NetworkError | ServerError} the provider cannot refresh it now.
   */
  token(options?: WaitOptions): Promise<Token | null> {
    return this.#tokens.token(options).catch(asAnswer);
  }

  /** The header for the next call in the user's name, `{name: value}`; errors as `token()`. */
  headers(options?: WaitOptions): Promise<Record<string, string>> {
    return this.#tokens.headers(options).catch(asAnswer);
  }

  /** The server rejected this token (401, gRPC 16): it is not served again. */
  invalidate(token?: Token): void {
    this.#tokens.invalidate(token);
  }
}

/** For the error handlers of Express (`status`) and Fastify: nothing is broken here. */
function asAnswer(error: unknown): never {
  if (error instanceof LoginRequiredError) Object.assign(error, { status: 401, statusCode: 401 });
  throw error;
}
