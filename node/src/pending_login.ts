/** A login in two steps. */

import { inspect } from 'node:util';

import { checked, type Table } from './arguments';
import { disposable } from './disposable';
import type * as Native from './native';
import { loginOutcome, type LoginOutcome } from './outcomes';
import { waited, type WaitOptions } from './wait';

/** How the second step of a login is to go. */
export interface FinishOptions extends WaitOptions {
  /** The address that the browser ended at, where the person pasted it. */
  redirectUrl?: string | undefined;
  /** Milliseconds, if less than the login's deadline. */
  timeout?: number | undefined;
}

const FINISH: Table = { redirectUrl: 'string', timeout: 'number', signal: 'signal' };

/** The native half ends a login that is collected: those that somebody waits for are kept here. */
const awaitedLogins = new Set<PendingLogin>();

/** @internal */
export let pendingOf: (native: Native.PendingLogin) => PendingLogin;

/** Declared here, since `using` knows it by these. */
export interface PendingLogin extends Disposable, AsyncDisposable {}

/** A login that waits for the person. `finish()` or `cancel()` ends it, and so does the end of a `using` block. */
export class PendingLogin {
  readonly #native: Native.PendingLogin;

  private constructor(native: Native.PendingLogin) {
    this.#native = native;
  }

  static {
    pendingOf = (native) => new PendingLogin(native);
    disposable(this, (login) => login.cancel());
  }

  /** Whom the login is to, as a person names it. */
  get endpoint(): string {
    return this.#native.endpoint;
  }

  /** The address to open: the authorization URL, or where the user code is entered. */
  get url(): string {
    return this.#native.url;
  }

  /** The code to enter there (device grant, RFC 8628), or null. */
  get userCode(): string | null {
    return this.#native.userCode;
  }

  /** When it is too late. */
  get expiresAt(): Date {
    return new Date(this.#native.expiresAt);
  }

  /**
   * Waits for the person and saves the session. Aborting ends the login, for everybody who waits.
   *
   * @throws {LoginCancelledError} declined, or too late.
   * @throws {FlyteAuthError} as the server answers.
   */
  async finish(options?: FinishOptions): Promise<LoginOutcome> {
    const { redirectUrl, timeout, signal } = checked(options, FINISH);
    const start = (cancel: Native.Cancel | null): Promise<Native.LoginOutcome> =>
      this.#native.finish(redirectUrl, timeout, cancel);
    // Then too nobody will finish it.
    if (signal?.aborted) this.cancel();
    awaitedLogins.add(this);
    try {
      return loginOutcome(await waited(signal, start, () => this.cancel()));
    } finally {
      awaitedLogins.delete(this);
    }
  }

  /** Ends the attempt; its lock and its port are free at once. */
  cancel(): void {
    this.#native.cancel();
  }

  /** @internal Neither address nor code: they are for the person. */
  [inspect.custom](): string {
    return `PendingLogin(until ${this.expiresAt.toISOString()})`;
  }
}
