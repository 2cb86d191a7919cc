/** The tokens of a user who is signed in to this app. */

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
   * @throws {LoginRequiredError} the session has ended: the user has to sign in again.
   * @throws {NetworkError | ServerError} the provider cannot refresh it now.
   */
  token(options?: WaitOptions): Promise<Token | null> {
    return this.#tokens.token(options);
  }

  /** The header for the next call in the user's name, `{name: value}`; errors as `token()`. */
  headers(options?: WaitOptions): Promise<Record<string, string>> {
    return this.#tokens.headers(options);
  }

  /** The server rejected this token (401, gRPC 16): it is not served again. */
  invalidate(token?: Token): void {
    this.#tokens.invalidate(token);
  }
}
