/** A login whose person the program serves: what it wants to show, to open and to have pasted goes to callbacks. */

import { inspect } from 'node:util';

import { typeName, type Table } from './arguments';
import { translated, translating } from './errors';
import type * as Native from './native';
import { loginOutcome, type LoginOutcome } from './outcomes';
import { aborting, waited, type WaitOptions } from './wait';

/** What a login tells the person; `message` (and `String(event)`) is a line for them. */
export class LoginEvent {
  readonly kind: 'explain' | 'url' | 'user_code' | 'waiting' | 'fallback';
  /** A line for the person. */
  readonly message: string;
  /** `url`: the address to open. */
  readonly url: string | null;
  /** `url`: a browser was started with it. */
  readonly opened: boolean;
  /** `url`: an `ssh -L …` line that makes the redirect reachable from the person's own machine. */
  readonly sshHint: string | null;
  /** `url`: the address that the browser ends at may be pasted back. */
  readonly paste: boolean;
  /** `user_code`: the code to enter. */
  readonly userCode: string | null;
  /** `user_code`: where to enter it. */
  readonly verificationUri: string | null;
  /** `user_code`: the same with the code in it, if the server gave one. */
  readonly verificationUriComplete: string | null;
  /** `waiting`: milliseconds left. */
  readonly remaining: number | null;

  /** @internal */
  constructor(native: Native.LoginEvent) {
    this.kind = native.kind;
    this.message = native.message;
    this.url = native.url ?? null;
    this.opened = native.opened;
    this.sshHint = native.sshHint ?? null;
    this.paste = native.paste;
    this.userCode = native.userCode ?? null;
    this.verificationUri = native.verificationUri ?? null;
    this.verificationUriComplete = native.verificationUriComplete ?? null;
    this.remaining = native.remaining ?? null;
  }

  toString(): string {
    return this.message;
  }

  /** @internal Without the address and the code: `state` and the user code are for the person, not for a log. */
  [inspect.custom](): string {
    return `LoginEvent(${this.kind})`;
  }
}

/** Milliseconds after which a browser counts as opened: some callbacks come back when it is closed. */
const OPENING = 5_000;

/** Which way a login goes; `auto` takes the first that works here (browser, device grant, paste). */
export type Flow = 'auto' | 'pkce' | 'device' | 'paste';

/** How a login that is begun is to go. */
export interface BeginLoginOptions extends WaitOptions {
  /** `auto` unless said. */
  flow?: Flow | undefined;
  /** Open no browser here. */
  noBrowser?: boolean | undefined;
  /** The whole login's deadline in milliseconds; 300,000 unless said. */
  timeout?: number | undefined;
}

/** How a login is to go. */
export interface LoginOptions extends BeginLoginOptions {
  /** Is told what to show. */
  onEvent?: ((event: LoginEvent) => unknown) | undefined;
  /**
   * Opens a browser; `false` says that it did not, and no answer within 5 s that it did. Without it: `BROWSER`, else the
   * system's.
   */
  openBrowser?: ((url: string) => boolean | void | Promise<boolean | void>) | undefined;
  /**
   * Asks for the address that the browser ended at. The signal tells that the login has ended without it, for example
   * `({ signal }) => readline.question('Paste it: ', { signal })`.
   */
  paste?: ((options: { signal: AbortSignal }) => string | Promise<string>) | undefined;
}

export const BEGIN_LOGIN: Table = { flow: 'string', noBrowser: 'boolean', timeout: 'number', signal: 'signal' };

export const LOGIN: Table = { ...BEGIN_LOGIN, onEvent: 'function', openBrowser: 'function', paste: 'function' };

/** The native half's options. */
export function ways(options: BeginLoginOptions): Native.LoginOptions {
  const { flow = 'auto', noBrowser = false, timeout = 300_000 } = options;
  return { flow, noBrowser, timeout };
}

/** Signs in: at the terminal, or with the callbacks that were given. */
export async function signIn(session: Native.Session, options: LoginOptions): Promise<LoginOutcome> {
  const { onEvent, openBrowser, paste, signal } = options;
  signal?.throwIfAborted();
  if (onEvent === undefined && openBrowser === undefined && paste === undefined) {
    return loginOutcome(await waited(signal, (cancel) => session.login(ways(options), cancel)));
  }
  const run = translating(() => session.runLogin(ways(options), openBrowser !== undefined, paste !== undefined));
  const ended = new AbortController();
  try {
    const served = serve(run, options, ended.signal);
    return loginOutcome(await (signal === undefined ? served : aborting(signal, served, () => run.cancel())));
  } catch (error) {
    throw translated(error);
  } finally {
    ended.abort();
    // What goes on here has nobody to serve it any more.
    run.cancel();
  }
}

async function serve(run: Native.LoginRun, callbacks: LoginOptions, ended: AbortSignal): Promise<Native.LoginOutcome> {
  const { promise: failure, reject: fail } = refusable();
  const outcome = run.outcome();
  const over = outcome.then(ignored, ignored);
  const answering = async (): Promise<Native.LoginOutcome> => {
    for (let ask = await run.next(); ask !== null; ask = await run.next()) {
      if (ask.kind === 'paste') {
        // A person who does not paste must not keep the login from ending.
        pasted(ask, callbacks, ended).catch(fail);
      } else {
        // Nor a callback that has not come back when it is over.
        await Promise.race([ask.kind === 'open' ? opened(ask, callbacks, fail) : shown(ask, callbacks), over]);
      }
    }
    return outcome;
  };
  return Promise.race([answering(), failure]);
}

async function shown({ event }: Native.Ask, { onEvent }: LoginOptions): Promise<void> {
  if (event !== null) await onEvent?.(new LoginEvent(event));
}

async function opened(ask: Native.Ask, { openBrowser }: LoginOptions, fail: (error: unknown) => void): Promise<void> {
  const opening = Promise.resolve(openBrowser?.(ask.url ?? ''));
  opening.catch(fail);
  let timer: NodeJS.Timeout | undefined;
  const slow = new Promise<void>((resolve) => (timer = setTimeout(resolve, OPENING)));
  try {
    // A callback that says nothing opened it.
    ask.opened((await Promise.race([opening, slow])) !== false);
  } finally {
    clearTimeout(timer);
  }
}

async function pasted(ask: Native.Ask, { paste }: LoginOptions, ended: AbortSignal): Promise<void> {
  const line: unknown = await paste?.({ signal: ended });
  if (typeof line !== 'string') throw new TypeError(`paste must give a string, not ${typeName(line)}`);
  ask.pasted(line);
}

function refusable(): { promise: Promise<never>; reject: (error: unknown) => void } {
  let reject: (error: unknown) => void = ignored;
  const promise = new Promise<never>((_, refuse) => (reject = refuse));
  // It may come when nobody waits any more.
  promise.catch(ignored);
  return { promise, reject };
}

function ignored(): void {}
