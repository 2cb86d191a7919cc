/**
 * A Flyte auth plane for the tests of your own program: real discovery, sign-in, tokens and refresh, on this machine.
 *
 * ```js
 * import { after, before, test } from 'node:test';
 * import { sandbox } from 'flyte-auth/testing';
 *
 * let flyte;
 * before(async () => { flyte = await sandbox(); });
 * after(() => flyte.close());
 *
 * test('my client', () => callFlyte(flyte.session()));
 * ```
 */

import { readFileSync } from 'node:fs';

import { checked, text, type Table } from './arguments';
import { disposable } from './disposable';
import { Service } from './service';
import { nativeSession, Session, SESSION, type SessionOptions } from './session';
import type { LoginOutcome } from './outcomes';
import { visit } from './visit';

/** Milliseconds that a call of the admin interface may take. */
const PATIENCE = 5_000;

/** An OAuth client of the sandbox. */
export interface Client {
  /** Its `client_id`. */
  readonly id: string;
  /** Its `client_secret`; absent for a public one. Made up for the test: it becomes an argument of a process. */
  readonly secret?: string | undefined;
  /** Where a browser may end. */
  readonly redirectUris?: readonly string[] | undefined;
}

/** How a sandbox is to be. Durations are milliseconds. */
export interface SandboxOptions {
  /** TLS with a CA of its own (`Sandbox.caCert`). */
  tls?: boolean | undefined;
  /** Which Flyte API answers; both unless said. */
  generation?: '1' | '2' | 'both' | undefined;
  /** This user is signed in without being asked (`Sandbox.signIn`): one of `Sandbox.users`. */
  autoApprove?: string | undefined;
  /** Whole seconds, as milliseconds; 1,800,000 unless said. */
  accessTokenLifetime?: number | undefined;
  /** Whole seconds, as milliseconds; 86,400,000 unless said. */
  refreshTokenLifetime?: number | undefined;
  /** A refresh token works once; using an old one ends the session. */
  rotateRefreshTokens?: boolean | undefined;
  /** OAuth clients besides Flyte's own two. */
  clients?: readonly Client[] | undefined;
  /** Issue nothing; discover and verify the tokens of this authorization server. */
  externalIssuer?: string | undefined;
  /** Within which it must answer; 30,000 unless said. */
  readyWithin?: number | undefined;
}

/** Which requests go wrong. */
export interface FaultOptions {
  /** How many requests; 1 unless said; 0 takes back what was ordered. */
  count?: number | undefined;
  /** What their paths begin with, for example `/oauth2/token`; all paths unless said. */
  path?: string | undefined;
}

const SANDBOX: Table = {
  tls: 'boolean',
  generation: 'string',
  autoApprove: 'string',
  accessTokenLifetime: 'seconds',
  refreshTokenLifetime: 'seconds',
  rotateRefreshTokens: 'boolean',
  clients: 'list',
  externalIssuer: 'string',
  readyWithin: 'millis',
};
const CLIENT: Table = { id: 'string', secret: 'string', redirectUris: 'strings' };
const FAULT: Table = { count: 'count', path: 'string' };

/** What the sandbox says when it is ready. */
interface Ready {
  admin: string;
  http: string;
  https?: string | null;
  grpc: string;
  issuer: string;
  ca_cert?: string | null;
  users: string[];
  clients: { id: string; secret: string | null; redirect_uris: string[] }[];
}

/**
 * Starts a Flyte auth plane (`flyte-auth sandbox`) in a process of its own, on free ports of loopback. `close()` ends it,
 * and so does the end of an `await using` block, and the end of this process, which it does not keep alive.
 *
 * @throws {TypeError} an unknown option, or a value of a wrong type.
 * @throws {ConfigError} reason `sandbox_failed`: it did not start; the message is its own.
 */
export async function sandbox(options?: SandboxOptions): Promise<Sandbox> {
  const { readyWithin = 30_000, ...given } = checked(options, SANDBOX);
  const service = new Service(['sandbox', '--http-port=0', '--grpc-port=0', '--exit-with-stdin', ...words(given)]);
  return sandboxOf(service, JSON.parse(await service.ready(readyWithin)) as Ready);
}

let sandboxOf: (service: Service, ready: Ready) => Sandbox;

/** Declared here, since `await using` knows it by these. */
export interface Sandbox extends AsyncDisposable {}

/** A sandbox that runs. */
export class Sandbox {
  /** Its address without TLS, for example `http://127.0.0.1:40501`. */
  readonly http: string;
  /** Its address with TLS, or null. */
  readonly https: string | null;
  /** Host and port of its gRPC server (with TLS if that was asked for). */
  readonly grpc: string;
  /** `iss` of its tokens. */
  readonly issuer: string;
  /** The file of its CA, or null. */
  readonly caCert: string | null;
  /** Its OAuth clients. */
  readonly clients: readonly Client[];
  /** Who may sign in. */
  readonly users: readonly string[];
  readonly #service: Service;
  readonly #admin: string;

  private constructor(service: Service, ready: Ready) {
    this.#service = service;
    this.#admin = ready.admin;
    this.http = ready.http;
    this.https = ready.https ?? null;
    this.grpc = ready.grpc;
    this.issuer = ready.issuer;
    this.caCert = ready.ca_cert ?? null;
    this.users = ready.users;
    this.clients = ready.clients.map(({ id, secret, redirect_uris: redirectUris }) => ({
      id,
      redirectUris,
      ...(secret !== null && { secret }),
    }));
  }

  static {
    sandboxOf = (service, ready) => new Sandbox(service, ready);
    disposable(this, null, (server) => server.close());
  }

  /** What to give a client as its Flyte endpoint: `https`, or `http` where there is no TLS. */
  get endpoint(): string {
    return this.https ?? this.http;
  }

  /**
   * A session with this sandbox: its first client that has a secret, nothing stored (`store: 'memory'`).
   *
   * @param options in the place of these. With `authType` or `clientId` it is not that client's:
   *   `session({ authType: 'Pkce' })` is a person's, for `signIn`.
   */
  session(options?: SessionOptions): Session {
    const wanted = checked(options, SESSION);
    const given: SessionOptions = { endpoint: this.endpoint, store: 'memory', caCert: this.caCert ?? undefined };
    if (wanted.authType === undefined && wanted.clientId === undefined) {
      const robot = this.clients.find(({ secret }) => secret !== undefined);
      Object.assign(given, { authType: 'ClientSecret', clientId: robot?.id, clientSecret: robot?.secret });
    }
    return new Session(Object.assign(given, wanted));
  }

  /**
   * Signs the user of `autoApprove` in, in the place of a person with a browser.
   *
   * @param session a person's: `session({ authType: 'Pkce' })`.
   * @param flow `pkce` (unless said) listens on the port that Flyte registers (53593), so that one can run at a time;
   *   `device` needs no port, and five seconds.
   * @throws {FlyteAuthError} as `Session.login`; `LoginCancelledError` without `autoApprove`.
   */
  async signIn(session: Session, flow: 'pkce' | 'device' = 'pkce'): Promise<LoginOutcome> {
    nativeSession(session);
    const pending = await session.beginLogin({ flow, noBrowser: true, timeout: 4 * PATIENCE });
    if (pending === null) throw new Error('the sandbox has auth');
    // Where its redirects end is answered while `finish` waits.
    const finished = pending.finish();
    const ca = this.caCert === null ? undefined : readFileSync(this.caCert);
    // What goes wrong there leaves the login unfinished: its own error tells.
    const visited = visit(pending.url, { ca, patience: PATIENCE }).catch(() => {});
    try {
      return await finished;
    } finally {
      await visited;
    }
  }

  /**
   * The next requests go wrong.
   *
   * @param kind a status (`'503'`), `'html'`, `'slow'`, `'reset'`, `'garbage'` or `'delay-MILLISECONDS'`.
   */
  async fault(kind: string, options?: FaultOptions): Promise<void> {
    const { count = 1, path } = checked(options, FAULT);
    await this.#ask('/faults', { kind: text('kind', kind), count, ...(path !== undefined && { path }) });
  }

  /** The server's clock runs `offset` milliseconds ahead of this machine's: tokens expire without waiting. */
  async clock(offset: number): Promise<void> {
    if (!Number.isFinite(offset)) throw new TypeError('offset must be a finite number');
    await this.#ask('/clock', { offset: offset / 1000 });
  }

  /** New tokens are signed with a new key; the old one stays published. */
  async rotateKeys(): Promise<void> {
    await this.#ask('/keys/rotate', {});
  }

  /** What it was asked: `requests` by path, `grants` by kind, `tokens_issued`, `refreshes`, `faults` and more. */
  async stats(): Promise<Record<string, unknown>> {
    return (await this.#ask('/stats')) as Record<string, unknown>;
  }

  /** Ends it, within 15 seconds in any case. */
  close(): Promise<void> {
    return this.#service.close();
  }

  async #ask(path: string, order?: object): Promise<unknown> {
    const answer = await fetch(`${this.#admin}${path}`, {
      signal: AbortSignal.timeout(PATIENCE),
      ...(order && { method: 'POST', body: JSON.stringify(order), headers: { 'content-type': 'application/json' } }),
    });
    const said = await answer.text();
    if (!answer.ok) throw new Error(`the sandbox answered ${answer.status} to ${path}: ${said.slice(0, 200)}`);
    return said === '' ? null : JSON.parse(said);
  }
}

/** The command line of the options that were given. */
function words({ clients = [], ...options }: SandboxOptions): string[] {
  const flags = Object.entries(options).flatMap(([name, value]) => {
    const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    if (typeof value === 'boolean') return value ? [flag] : [];
    return [`${flag}=${typeof value === 'number' ? value / 1000 : value}`];
  });
  const made = clients.map((client) => {
    const { id, secret, redirectUris = [] } = checked<Client>(client, CLIENT, 'each of clients');
    const parts = [`id=${text('id', id)}`, ...(secret === undefined ? [] : [`secret=${secret}`])];
    return `--client=${[...parts, ...redirectUris.map((uri) => `redirect=${uri}`)].join(',')}`;
  });
  return [...flags, ...made];
}
