/** The relying party for an adapter: a request goes in; a response, or who is signed in, comes out. */

import { addon } from '../addon';
import { translated, translating } from '../errors';
import type { Handled, RelyingParty, RelyingPartyOptions, WebRequest, WebResponse } from '../native';
import { DueCookies } from './cookies';
import { type FlyteLoginOptions, loginOptions } from './options';
import { type OnProblem, tell, toStderr } from './problems';
import { pathOf } from './request';
import { serving } from './store';
import { type FlyteAuth, NOBODY, type User } from './types';
import { UserSession } from './user_session';

/** `none` looks who is there; `login` lets only a signed-in user's request pass. @internal */
export type Guard = 'none' | 'login';

/** Either `response` is to be sent as it is, or the app goes on with `auth`. @internal */
export interface Outcome {
  readonly response: WebResponse | undefined;
  readonly auth: FlyteAuth;
}

/** One `flyteLogin()`. @internal */
export class Party {
  readonly #native: RelyingParty;
  readonly #takeBodies: ReadonlySet<string>;
  readonly #onProblem: OnProblem | undefined;
  /** login, callback, logout, me; with the path of the base URL. */
  readonly paths: readonly string[];

  constructor(options: FlyteLoginOptions) {
    const { baseURL: baseUrl, onProblem, store, ...rest } = loginOptions(options);
    const named = { ...rest, baseUrl, ...(typeof store === 'string' && { store }) } as RelyingPartyOptions;
    const serve = store === undefined || typeof store === 'string' ? null : serving(store);
    this.#native = translating(() => new (addon().RelyingParty)(named, serve));
    this.#onProblem = onProblem;
    this.paths = this.#native.paths;
    const [, callback, logout] = this.paths;
    this.#takeBodies = new Set([callback ?? '', logout ?? '']);
  }

  /** Whether Rust needs the body of this request. */
  takesBody(method: string, target: string): boolean {
    return method === 'POST' && this.#takeBodies.has(pathOf(target));
  }

  /** Looks at a request; no promise where nothing has to be waited for. `log` is where problems go unless told. */
  handle(request: WebRequest, guard: Guard, cookies: DueCookies, log = toStderr): Outcome | Promise<Outcome> {
    const handled = translating(() => this.#native.handleNow(request, guard));
    return handled === null ? this.#wait(request, guard, cookies, log) : this.#outcome(handled, cookies, log);
  }

  async #wait(request: WebRequest, guard: Guard, cookies: DueCookies, log: OnProblem): Promise<Outcome> {
    try {
      return this.#outcome(await this.#native.handle(request, guard), cookies, log);
    } catch (error) {
      throw translated(error);
    }
  }

  #outcome(handled: Handled, cookies: DueCookies, log: OnProblem): Outcome {
    const { response, setCookies, user, session: tokens, problem } = handled;
    tell(problem, this.#onProblem, log);
    if (response !== undefined) return { response, auth: NOBODY };
    cookies.add(setCookies);
    if (user === undefined || tokens === undefined) return { response, auth: NOBODY };
    const session = new UserSession(tokens);
    cookies.follow(session);
    return { response, auth: { user: JSON.parse(user) as User, session, token: undefined } };
  }
}
