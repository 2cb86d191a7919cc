// `flyte-auth sandbox` of the command under test, in a process of its own, driven by its ready line and admin interface.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { Home } from './home.mjs';

/** The command line that cargo built. */
export const BINARY = fileURLToPath(new URL('../../../target/debug/flyte-auth', import.meta.url));
/** The user that `--auto-approve` signs in. */
export const ALICE = 'alice@example.org';
/** Flyte's own machine client, and the made-up secret that the sandbox has for it. */
export const MACHINE = { authType: 'ClientSecret', clientId: 'flytepropeller', clientSecret: 'foobar' };

// Milliseconds: the machine may be busy with other tests.
const PATIENCE = 30_000;

export class Sandbox {
  #child;
  #home = new Home();
  #ended;
  #said = '';

  /**
   * @param {...string} flags as `flyte-auth sandbox` takes them, for example `--access-token-lifetime`, `2`
   */
  static async start(...flags) {
    const server = new Sandbox();
    const argv = ['sandbox', '--http-port', '0', '--grpc-port', '0', '--exit-with-stdin', ...flags];
    server.#child = spawn(BINARY, argv, { env: server.#home.env(), stdio: ['pipe', 'pipe', 'pipe'] });
    server.#ended = once(server.#child, 'close');
    server.#child.stdin.on('error', () => {});
    server.#child.stderr.setEncoding('utf8').on('data', (text) => (server.#said += text));
    const lines = createInterface({ input: server.#child.stdout })[Symbol.asyncIterator]();
    const late = new Promise((resolve) => setTimeout(resolve, PATIENCE, { late: true }).unref());
    const first = await Promise.race([lines.next(), late]);
    if (!first.value?.startsWith('{')) {
      server.#child.kill('SIGKILL');
      throw new Error(`the sandbox did not start: ${server.#said}`);
    }
    return Object.assign(server, { ready: JSON.parse(first.value) });
  }

  get http() {
    return this.ready.http;
  }

  get https() {
    return this.ready.https;
  }

  get grpc() {
    return this.ready.grpc;
  }

  get issuer() {
    return this.ready.issuer;
  }

  get caCert() {
    return this.ready.ca_cert;
  }

  /** What a session with it needs: its address, and to store nothing. */
  get options() {
    return { endpoint: this.https ?? this.http, store: 'memory', ...(this.caCert && { caCert: this.caCert }) };
  }

  /**
   * The next `count` requests go wrong: a status, `html`, `slow`, `reset`, `garbage`, `delay-MILLISECONDS`.
   *
   * @param {{path?: string}} [filters]
   */
  fault(kind, count = 1, filters = {}) {
    return this.#admin('/faults', { kind, count, ...filters });
  }

  clearFaults() {
    return this.#admin('/faults', undefined, 'DELETE');
  }

  /** Its clock runs that many seconds ahead of the machine's. */
  clock(offset) {
    return this.#admin('/clock', { offset });
  }

  rotateKeys() {
    return this.#admin('/keys/rotate', {});
  }

  async stats() {
    return JSON.parse(await this.#admin('/stats', undefined, 'GET'));
  }

  /** How many requests it has served on paths that contain `part`. */
  async requestsTo(part) {
    const { requests } = await this.stats();
    const counts = Object.entries(requests).filter(([path]) => path.includes(part));
    return counts.reduce((sum, [, count]) => sum + count, 0);
  }

  /** Resolves once it has served `count` requests on paths that contain `part`. */
  async served(part, count = 1) {
    const until = Date.now() + PATIENCE;
    while ((await this.requestsTo(part)) < count) {
      if (Date.now() > until) throw new Error(`${part} was not asked for`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** The status with which its resource server answers to these headers (`GET /me`). */
  async me(headers) {
    return (await fetch(`${this.http}/me`, { headers })).status;
  }

  async #admin(path, body, method = 'POST') {
    const order = body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
    const answer = await fetch(`${this.ready.admin}${path}`, { method, ...order });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.text();
  }

  async stop() {
    this.#child.stdin.end();
    await this.#ended;
    this.#home.remove();
  }
}
