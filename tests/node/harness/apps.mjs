// Consoles: real apps with `flyteLogin`, registered at the identity provider.
import { fileURLToPath } from 'node:url';
import { Program } from './program.mjs';

const FILE = fileURLToPath(new URL('programs/app.mjs', import.meta.url));

/** Obviously no real keys. */
export const COOKIE_KEY = 'only-for-tests-'.repeat(3);

export class App {
  #program;
  #given;

  constructor(program, given, port, client) {
    this.#program = program;
    this.#given = given;
    this.port = port;
    this.client = client;
    this.url = `http://localhost:${port}`;
  }

  /**
   * Starts one.
   *
   * @param {import('./issuer.mjs').Issuer} issuer
   * @param {{kind?: string, options?: object, bearer?: object, parser?: boolean, runtime?: string[]}} [given]
   *   `options` are flyteLogin's, over those that every test has; `runtime` is the command that runs it
   */
  static async start(issuer, given = {}) {
    return App.#start(issuer, given, 0);
  }

  static async #start(issuer, given, wanted, registered) {
    const program = new Program(FILE, { runtime: given.runtime });
    program.say({ port: wanted });
    const { port } = await program.line();
    const url = `http://localhost:${port}`;
    const client = registered ?? (await issuer.registerApp(url, given.registration));
    const login = { issuer: issuer.url, ...client, baseURL: url, cookieKeys: [COOKIE_KEY], ...given.options };
    const bearer = { issuer: issuer.url, audience: issuer.audience, scopes: ['all'], ...given.bearer };
    program.say({ kind: given.kind ?? 'express', parser: given.parser ?? false, login, bearer });
    await program.line();
    return new App(program, { issuer, ...given }, port, client);
  }

  /** The same app at the same address in another process, with other options over these. */
  async restarted(options) {
    await this.stop();
    const given = { ...this.#given, options: { ...this.#given.options, ...options } };
    return App.#start(this.#given.issuer, given, this.port, this.client);
  }

  /** All that it wrote so far to stdout and stderr. */
  get output() {
    return this.#program.output;
  }

  /** Its clock runs that many milliseconds ahead from now on. */
  clock(offset) {
    this.#program.clock(offset);
  }

  stop() {
    return this.#program.stop();
  }
}
