// The identity provider: npm's oidc-provider, as `programs/provider.mjs` sets it up.
import { fileURLToPath } from 'node:url';
import { Program } from './program.mjs';

const FILE = fileURLToPath(new URL('programs/provider.mjs', import.meta.url));

export class Issuer {
  #program;
  #control;

  constructor(program, ready) {
    this.#program = program;
    this.#control = ready.control;
    this.url = ready.issuer;
    this.audience = ready.audience;
  }

  /**
   * @param {{accessLifetime?: number, refreshLifetime?: number}} [options] seconds
   */
  static async start({ accessLifetime = 3600, refreshLifetime = 86400 } = {}) {
    const env = { PROVIDER_ACCESS_TTL: String(accessLifetime), PROVIDER_REFRESH_TTL: String(refreshLifetime) };
    const program = new Program(FILE, { env });
    return new Issuer(program, await program.line());
  }

  /** Registers a client (RFC 7591) and gives its id and secret. */
  async register(metadata) {
    const response = await fetch(`${this.url}/reg`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(metadata),
    });
    const client = await response.json();
    if (!response.ok) throw new Error(`registration: ${JSON.stringify(client)}`);
    return { clientId: client.client_id, clientSecret: client.client_secret };
  }

  /** Registers the web app at `baseURL`. */
  registerApp(baseURL, { callback = '/callback', loggedOut = '/' } = {}) {
    return this.register({
      redirect_uris: [`${baseURL}${callback}`],
      post_logout_redirect_uris: [`${baseURL}${loggedOut}`],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      client_name: 'A console',
    });
  }

  /** An access token of a machine's client, for what is not about people. */
  async machineToken(scope = 'all') {
    this.machine ??= this.register({ grant_types: ['client_credentials'], redirect_uris: [], response_types: [] });
    const { clientId, clientSecret } = await this.machine;
    const response = await fetch(`${this.url}/token`, {
      method: 'POST',
      headers: {
        authorization: `Basic ${btoa(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`)}`,
      },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope }),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`machine: ${JSON.stringify(answer)}`);
    return answer.access_token;
  }

  async #ask(path, body) {
    const response = await fetch(`${this.#control}${path}`, body && { method: 'POST', body: JSON.stringify(body) });
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  }

  /** What it was asked to do so far; see `programs/provider.mjs`. */
  events(kind) {
    return this.#ask('/events').then((events) => events.filter((event) => !kind || event.kind === kind));
  }

  /** Exchanges of this app's refresh tokens so far. */
  async refreshes({ client }) {
    const exchanges = await this.events('token');
    return exchanges.filter((each) => each.grant === 'refresh_token' && each.client === client.clientId);
  }

  /** Every token that it issued. */
  secrets() {
    return this.#ask('/secrets');
  }

  rotateKeys() {
    return this.#ask('/keys', {});
  }

  revoke(user) {
    return this.#ask('/revoke', { user });
  }

  /** The next answer at `path` to this app is this status. */
  fail(path, status, { client }) {
    return this.#ask('/faults', { path, status, client: client.clientId });
  }

  stop() {
    return this.#program.stop();
  }
}
