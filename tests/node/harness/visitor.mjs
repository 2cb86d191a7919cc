// A visitor without a browser: keeps cookies as RFC 6265 says, fills the provider's forms, and sends what no browser would.
import { request } from 'node:http';

const MOST_STEPS = 15;
const PATIENCE = 20_000;

const unescaped = (text) =>
  text.replace(/&#x([0-9a-f]+);/gi, (_, hex) => String.fromCodePoint(parseInt(hex, 16))).replaceAll('&amp;', '&');

/** Cookies of one browser. As in a browser, those of a host are sent to all of its ports. */
class Jar {
  #cookies = new Map();

  take(url, setCookies) {
    const { hostname, pathname } = new URL(url);
    for (const line of setCookies) {
      const [pair, ...attributes] = line.split(';').map((part) => part.trim());
      const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
      const given = Object.fromEntries(
        attributes.map((each) => {
          const [key, ...rest] = each.split('=');
          return [key.toLowerCase(), rest.join('=')];
        }),
      );
      const path = given.path?.startsWith('/') ? given.path : pathname.slice(0, pathname.lastIndexOf('/')) || '/';
      const gone =
        given['max-age'] === undefined ? Date.parse(given.expires) <= Date.now() : Number(given['max-age']) <= 0;
      const key = `${hostname} ${path} ${name}`;
      if (gone) this.#cookies.delete(key);
      else this.#cookies.set(key, { hostname, path, name, value, httpOnly: 'httponly' in given, attributes: given });
    }
  }

  all(url) {
    const { hostname, pathname } = new URL(url);
    const under = (path) => pathname === path || pathname.startsWith(path.endsWith('/') ? path : `${path}/`);
    return [...this.#cookies.values()].filter((cookie) => cookie.hostname === hostname && under(cookie.path));
  }

  /** As if the browser had never been at this host. */
  forget(url) {
    const { hostname } = new URL(url);
    for (const [key, cookie] of this.#cookies) if (cookie.hostname === hostname) this.#cookies.delete(key);
  }

  header(url) {
    return this.all(url)
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');
  }
}

export class Visitor {
  jar = new Jar();

  /**
   * One request; follows nothing.
   *
   * @param {string} url
   * @param {{method?: string, headers?: Record<string, string | string[]>, body?: string, cookies?: boolean | string,
   *   target?: string}} [options] `cookies`: the jar's (true), none (false), or this text; `target`: the request line's,
   *   as it is
   */
  async request(url, { method = 'GET', headers = {}, body, cookies = true, target } = {}) {
    const { hostname, port, pathname, search } = new URL(url);
    const cookie = cookies === true ? this.jar.header(url) : cookies || '';
    const reply = await new Promise((resolve, reject) => {
      const sent = request({
        host: hostname,
        port,
        method,
        path: target ?? pathname + search,
        headers: { accept: 'text/html', ...(cookie && { cookie }), ...headers },
        timeout: PATIENCE,
        // Headers of the answers hold the session in cookies.
        maxHeaderSize: 256 * 1024,
        agent: false,
      });
      sent.on('response', (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => resolve({ response, text: Buffer.concat(chunks).toString() }));
      });
      sent.on('timeout', () => sent.destroy(new Error(`no answer of ${url}`)));
      sent.on('error', reject);
      sent.end(body);
    });
    const setCookies = reply.response.headers['set-cookie'] ?? [];
    if (cookies === true) this.jar.take(url, setCookies);
    const { location } = reply.response.headers;
    return {
      url,
      status: reply.response.statusCode,
      headers: reply.response.headers,
      raw: reply.response.rawHeaders,
      location: location && new URL(location, url).href,
      setCookies,
      text: reply.text,
      json: () => JSON.parse(reply.text),
    };
  }

  post(url, fields, options = {}) {
    return this.request(url, {
      method: 'POST',
      body: new URLSearchParams(fields).toString(),
      ...options,
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...options.headers },
    });
  }

  /**
   * Goes on as a browser with a person in front: follows redirects, signs in and approves where a form asks for it.
   * Stops before `until` says so of the next address, or at a page without a form to fill.
   */
  async walk(url, { user = 'alice', until = () => false } = {}) {
    let answer = await this.request(url);
    for (let step = 0; step < MOST_STEPS; step += 1) {
      if (answer.location) {
        if (until(answer.location)) return answer;
        answer = await this.request(answer.location);
        continue;
      }
      const action = /<form[^>]*action="([^"]+)"/.exec(answer.text)?.[1];
      const prompt = /name="prompt" value="(login|consent)"/.exec(answer.text)?.[1];
      if (!action || !prompt) return answer;
      const fields = prompt === 'login' ? { prompt, login: user, password: 'any password' } : { prompt };
      answer = await this.post(new URL(unescaped(action), answer.url).href, fields);
    }
    throw new Error(`no end after ${MOST_STEPS} steps, at ${answer.url}`);
  }

  /** Signs in at the app and gives the page that it ends at. */
  signIn(app, { user = 'alice', returnTo = '/' } = {}) {
    return this.walk(`${app}/login?return_to=${encodeURIComponent(returnTo)}`, { user });
  }

  /** The callback's address with its code, before anybody has visited it. */
  async callback(app, { user = 'alice', returnTo = '/', path = '/callback' } = {}) {
    const until = (next) => next.startsWith(`${app}${path}?`);
    const before = await this.walk(`${app}/login?return_to=${encodeURIComponent(returnTo)}`, { user, until });
    return before.location;
  }
}
