/** Set-Cookie values that a response has to carry besides the app's own. */

import { takeCookies, type UserSession } from './user_session';

/** Gathers them while a request is served; of one cookie the value that came last counts. */
export class DueCookies {
  readonly #values = new Map<string, string>();
  readonly #sessions: UserSession[] = [];

  add(values: readonly string[]): void {
    for (const value of values) this.#values.set(value.slice(0, value.indexOf('=')), value);
  }

  /** A refresh of this session before the response's head is sent is due as well. */
  follow(session: UserSession): void {
    this.#sessions.push(session);
  }

  /** All that are due now. */
  now(): string[] {
    for (const session of this.#sessions) this.add(takeCookies(session));
    return [...this.#values.values()];
  }
}
