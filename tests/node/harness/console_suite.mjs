// What every adapter of the console side does alike: one suite, run against a real app of each kind.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { App, COOKIE_KEY } from './apps.mjs';
import { Issuer } from './issuer.mjs';
import { Visitor } from './visitor.mjs';

/** What `fetch` of a page of the app's own sends. */
export const SAME_ORIGIN = { accept: 'application/json', 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' };
const PROGRAM = { accept: 'application/json' };
const NAVIGATION = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'sec-fetch-site': 'none' };
const LATEST = 20_000;
const TOO_LARGE = 413;

const sessionCookies = (visitor, app) =>
  visitor.jar.all(app.url).filter(({ name }) => /^flyte_auth(\.\d)?$/.test(name));
/** A session's cookies as they are now: what a thief would have. */
const stolen = (visitor, app) =>
  sessionCookies(visitor, app)
    .map(({ name, value }) => `${name}=${value}`)
    .join('; ');

export async function signedIn(app, user = 'alice') {
  const visitor = new Visitor();
  const page = await visitor.signIn(app.url, { user });
  assert.equal(page.status, 200, page.text);
  return visitor;
}

/** Asks `ask` until `holds` says so of its answer. */
export async function until(ask, holds) {
  const deadline = Date.now() + LATEST;
  for (;;) {
    const answer = await ask();
    if (holds(answer)) return answer;
    assert.ok(Date.now() < deadline, `still not so: ${JSON.stringify(answer)}`);
    await pause(100);
  }
}

/**
 * @param {string} kind of the app
 * @param {{name?: string, runtime?: string[]}} [options] the command that runs it, where that is not this Node
 */
export function consoleSuite(kind, { name = kind, runtime } = {}) {
  const start = (issuer, given = {}) => App.start(issuer, { kind, runtime, ...given });
  describe(`${name}: signing in`, () => {
    let issuer;
    let app;
    before(async () => {
      issuer = await Issuer.start();
      app = await start(issuer);
    });
    after(async () => {
      await app?.stop();
      await issuer?.stop();
    });

    test('a browser is sent to sign in, and lands on the page that it asked for', async () => {
      const visitor = new Visitor();
      const wanted = `${app.url}/console/runs?project=flytesnacks&sort=a%26b`;
      const sent = await visitor.request(wanted, { headers: NAVIGATION });
      assert.equal(sent.status, 302);
      const login = new URL(sent.location);
      assert.equal(login.origin + login.pathname, `${app.url}/login`);
      assert.equal(login.searchParams.get('return_to'), '/console/runs?project=flytesnacks&sort=a%26b');
      const page = await visitor.walk(sent.location);
      assert.equal(page.url, wanted);
      assert.match(page.text, /Hello alice/);
    });

    test('the authorization request has PKCE, state and nonce, and the redirect URI of the base URL', async () => {
      const headers = {
        ...NAVIGATION,
        host: 'evil.example',
        'x-forwarded-host': 'evil.example',
        forwarded: 'host=evil.example',
      };
      const sent = await new Visitor().request(`${app.url}/login`, { headers });
      const { origin, pathname, searchParams } = new URL(sent.location);
      assert.equal(origin + pathname, `${issuer.url}/auth`);
      assert.equal(searchParams.get('response_type'), 'code');
      assert.equal(searchParams.get('code_challenge_method'), 'S256');
      for (const name of ['state', 'nonce', 'code_challenge']) assert.ok(searchParams.get(name)?.length >= 22, name);
      assert.equal(searchParams.get('redirect_uri'), `${app.url}/callback`);
    });

    test('the session cookie is sealed, HttpOnly and Lax, and of this host alone', async () => {
      const visitor = await signedIn(app);
      const [cookie, ...more] = sessionCookies(visitor, app);
      assert.deepEqual(more, []);
      assert.ok(cookie.httpOnly);
      assert.equal(cookie.attributes.samesite, 'Lax');
      assert.equal(cookie.path, '/');
      assert.equal(cookie.attributes.domain, undefined);
      for (const part of cookie.value.split(/[.~]/)) {
        assert.doesNotMatch(Buffer.from(part, 'base64url').toString('latin1'), /alice|access_token|eyJ/);
      }
    });

    test('an API call without a session gets 401 as JSON, and nothing is kept', async () => {
      const refused = await new Visitor().request(`${app.url}/api/token`, { headers: PROGRAM });
      assert.equal(refused.status, 401);
      assert.match(refused.headers['content-type'], /^application\/json/);
      assert.equal(refused.json().error, 'unauthenticated');
      assert.equal(refused.json().login, '/login');
      assert.ok(refused.headers['www-authenticate']);
      assert.equal(refused.headers['cache-control'], 'no-store');
      assert.deepEqual(refused.setCookies, []);
    });

    test('the app knows who is there, and its own cookies stay', async () => {
      const nobody = await new Visitor().request(`${app.url}/`);
      assert.deepEqual(nobody.json(), { user: null });
      const visitor = await signedIn(app);
      for (const path of ['/', '/head?as=object']) {
        const page = await visitor.request(app.url + path);
        assert.deepEqual(page.json(), { user: 'alice' });
        assert.deepEqual(page.setCookies, ['theme=dark; Path=/'], path);
      }
      const me = await visitor.request(`${app.url}/me`, { headers: PROGRAM });
      assert.equal(me.status, 200);
      assert.equal(me.json().sub, 'alice');
      assert.equal(me.json().email, 'alice@example.org');
      const unknown = await new Visitor().request(`${app.url}/me`, { headers: PROGRAM });
      assert.equal(unknown.status, 401);
    });

    test("the session gives the user's access token, which verifies", async () => {
      const visitor = await signedIn(app, 'bob');
      const answer = await visitor.request(`${app.url}/api/token`, { headers: SAME_ORIGIN });
      assert.equal(answer.status, 200, answer.text);
      const { subject, names, expiresAt } = answer.json();
      assert.equal(subject, 'bob');
      assert.deepEqual(names, ['authorization']);
      assert.ok(Date.parse(expiresAt) > Date.now());
    });

    test('what the app renews while it serves a request reaches the browser', async () => {
      const visitor = await signedIn(app, 'grace');
      const { hash } = (await visitor.request(`${app.url}/api/token`, { headers: SAME_ORIGIN })).json();
      // A token that was just issued is not renewed.
      app.clock(10_000);
      const renewed = await visitor.request(`${app.url}/api/renewed`, { headers: SAME_ORIGIN });
      assert.equal(renewed.status, 200, renewed.text);
      assert.notEqual(renewed.json().hash, hash);
      assert.deepEqual(
        renewed.setCookies.map((cookie) => cookie.split('=')[0]),
        ['flyte_auth'],
      );
      app.clock(0);
      app = await app.restarted();
      const after = await visitor.request(`${app.url}/api/token`, { headers: SAME_ORIGIN });
      assert.equal(after.json().hash, renewed.json().hash);
    });

    test('a large session is cut into cookies that fit', async () => {
      const visitor = await signedIn(app, 'large-lucy');
      const cookies = sessionCookies(visitor, app);
      assert.ok(cookies.length >= 2, `${cookies.length} cookies`);
      for (const { name, value } of cookies) assert.ok(name.length + value.length <= 4096, name);
      const answer = await visitor.request(`${app.url}/api/token`, { headers: SAME_ORIGIN });
      assert.equal(answer.json().subject, 'large-lucy');
      assert.equal((await visitor.request(`${app.url}/me`, { headers: PROGRAM })).json().sub, 'large-lucy');
      // A shorter session leaves none of the pieces behind.
      visitor.jar.forget(issuer.url);
      await visitor.signIn(app.url, { user: 'alice' });
      assert.deepEqual(
        sessionCookies(visitor, app).map((cookie) => cookie.name),
        ['flyte_auth'],
      );
    });

    test('a request that changes something passes from the app alone', async () => {
      const visitor = await signedIn(app);
      const made = (headers) =>
        visitor.request(`${app.url}/api/things`, { method: 'POST', headers: { ...PROGRAM, ...headers } });
      const count = async () => (await visitor.request(`${app.url}/api/things`)).json().things;
      const before = await count();
      const { origin } = new URL(app.url);
      for (const headers of [
        { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
        { 'sec-fetch-site': 'same-site', origin: `http://localhost:1` },
        { origin: 'https://evil.example' },
        { origin: 'null' },
        { referer: 'https://evil.example/' },
      ]) {
        const refused = await made(headers);
        assert.equal(refused.status, 403, JSON.stringify(headers));
      }
      assert.equal(await count(), before);
      assert.equal((await made({ 'sec-fetch-site': 'same-origin', origin })).status, 200);
      assert.equal((await made({ origin })).status, 200);
      assert.equal(await count(), before + 2);
    });

    test('a sign-out ends the session here and at the provider, and revokes', async () => {
      const visitor = await signedIn(app);
      const kept = stolen(visitor, app);
      const before = (await issuer.events('revocation')).length;
      const { origin } = new URL(app.url);
      const out = await visitor.post(`${app.url}/logout`, {}, { headers: { 'sec-fetch-site': 'same-origin', origin } });
      assert.ok([302, 303].includes(out.status), `${out.status} ${out.text}`);
      assert.equal(out.location.split('?')[0], `${issuer.url}/session/end`);
      assert.deepEqual(sessionCookies(visitor, app), []);
      const revocations = await until(
        () => issuer.events('revocation'),
        (all) => all.length > before,
      );
      assert.equal(revocations.at(-1).status, 200);
      const reused = await new Visitor().request(`${app.url}/api/token`, { headers: PROGRAM, cookies: kept });
      assert.equal(reused.status, 401, 'a copy of the cookie must not outlive the session');
    });

    test('a link to sign out asks first', async () => {
      const visitor = await signedIn(app);
      const headers = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
      const asked = await visitor.request(`${app.url}/logout`, { headers });
      assert.equal(asked.status, 200);
      assert.match(asked.text, /<form[^>]*method="post"/i);
      assert.equal((await visitor.request(`${app.url}/api/token`, { headers: SAME_ORIGIN })).status, 200);
    });

    test('requireLogin lets nobody in whose cookie another key sealed; a key in the list is enough', async () => {
      const visitor = await signedIn(app);
      const ask = () => visitor.request(`${app.url}/api/token`, { headers: SAME_ORIGIN });
      app = await app.restarted({ cookieKeys: ['another-key-'.repeat(4), COOKIE_KEY] });
      const old = stolen(visitor, app);
      for (const path of ['/', '/head?as=object', '/head?as=flat', '/head?as=pairs']) {
        const page = await visitor.request(app.url + path, { cookies: old });
        const names = page.setCookies.map((cookie) => cookie.split('=')[0]);
        assert.deepEqual(names, ['theme', 'flyte_auth'], `${path}: the app's cookie stays beside ours`);
      }
      const rotated = await ask();
      assert.equal(rotated.status, 200);
      assert.equal(rotated.setCookies.length, 1, 'sealed anew with the first key');
      app = await app.restarted({ cookieKeys: ['another-key-'.repeat(4)] });
      assert.equal((await ask()).status, 200, 'the old key is no longer needed');
      app = await app.restarted({ cookieKeys: ['a-third-key-'.repeat(4)] });
      assert.equal((await ask()).status, 401);
      app = await app.restarted({ cookieKeys: [COOKIE_KEY] });
    });
  });

  describe(`${name}: staying signed in`, { concurrency: true }, () => {
    let issuer;
    before(async () => {
      issuer = await Issuer.start({ accessLifetime: 6 });
    });
    after(() => issuer?.stop());

    for (const store of ['cookie', 'memory']) {
      test(`one refresh for each expiry, however many requests (${store})`, async () => {
        let app = await start(issuer, { options: { store } });
        try {
          const visitor = await signedIn(app, `carol-${store}`);
          const before = await issuer.refreshes(app);
          const ask = () => visitor.request(`${app.url}/api/token`, { headers: SAME_ORIGIN });
          const hashes = new Set();
          const round = async () => {
            const answers = await Promise.all(Array.from({ length: 20 }, ask));
            for (const answer of answers) {
              assert.equal(answer.status, 200, answer.text);
              assert.equal(answer.json().subject, `carol-${store}`);
              hashes.add(answer.json().hash);
            }
          };
          await until(round, () => hashes.size >= 3);
          const refreshes = (await issuer.refreshes(app)).slice(before.length);
          assert.equal(refreshes.length, hashes.size - 1);
          assert.equal(new Set(refreshes.map(({ presented }) => presented)).size, refreshes.length);
          assert.ok(refreshes.every(({ status }) => status === 200));
          if (store === 'memory') return;
          // The browser holds the newest refresh token: an app that knows nothing goes on with it.
          app = await app.restarted();
          hashes.clear();
          await until(round, () => hashes.size >= 2);
        } finally {
          await app.stop();
        }
      });
    }

    test('a session that the provider ended is over', async () => {
      const app = await start(issuer);
      try {
        const visitor = await signedIn(app, 'dave');
        await issuer.revoke('dave');
        const over = await until(
          () => visitor.request(`${app.url}/api/token`, { headers: SAME_ORIGIN }),
          ({ status }) => status !== 200,
        );
        assert.equal(over.status, 401);
        assert.deepEqual(sessionCookies(visitor, app), []);
      } finally {
        await app.stop();
      }
    });

    test('a provider out of order ends no session', async () => {
      const app = await start(issuer);
      try {
        const visitor = await signedIn(app, 'erin');
        const ask = () => visitor.request(`${app.url}/api/token`, { headers: SAME_ORIGIN });
        const { hash } = (await ask()).json();
        await issuer.fail('/token', 503, app);
        const next = await until(ask, (answer) => answer.status === 200 && answer.json().hash !== hash);
        assert.equal(next.json().subject, 'erin');
        assert.equal((await issuer.events('fault')).length, 1);
      } finally {
        await app.stop();
      }
    });

    test('sessions in memory end with the process; the cookie holds a name alone', async () => {
      let app = await start(issuer, { options: { store: 'memory' } });
      try {
        const visitor = await signedIn(app, 'large-frank');
        const [cookie, ...more] = sessionCookies(visitor, app);
        assert.deepEqual(more, []);
        assert.ok(cookie.value.length < 300, `${cookie.value.length}`);
        app = await app.restarted();
        assert.equal((await visitor.request(`${app.url}/api/token`, { headers: SAME_ORIGIN })).status, 401);
      } finally {
        await app.stop();
      }
    });
  });

  describe(`${name}: what a browser posts`, () => {
    let issuer;
    before(async () => {
      issuer = await Issuer.start();
    });
    after(() => issuer?.stop());

    for (const parser of [false, true]) {
      test(`the provider's form post signs in (${parser ? 'with a parser of the app' : 'without a parser'})`, async () => {
        const app = await start(issuer, { parser, options: { extraParams: { response_mode: 'form_post' } } });
        try {
          const visitor = new Visitor();
          const form = await visitor.walk(`${app.url}/login?return_to=/console`);
          assert.match(form.text, new RegExp(`action="${app.url}/callback"`));
          const fields = [...form.text.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)];
          const posted = Object.fromEntries(fields.map(([, name, value]) => [name, value]));
          assert.ok(posted.code && posted.state);
          const headers = { origin: issuer.url, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' };
          const signed = await visitor.post(`${app.url}/callback`, posted, { headers });
          assert.ok([302, 303].includes(signed.status), `${signed.status} ${signed.text}`);
          assert.match((await visitor.walk(signed.location)).text, /Hello alice/);
        } finally {
          await app.stop();
        }
      });

      test(`a body that is too large is refused (${parser ? 'with a parser of the app' : 'without a parser'})`, async () => {
        const app = await start(issuer, { parser });
        try {
          const visitor = new Visitor();
          for (const path of ['/callback', '/logout']) {
            const fields = { state: 'x'.repeat(80 * 1024) };
            const refused = await visitor.post(app.url + path, fields, { headers: PROGRAM });
            assert.equal(refused.status, TOO_LARGE, path);
            assert.equal(refused.json().error, 'request_too_large');
          }
          assert.equal((await visitor.request(`${app.url}/`)).status, 200);
        } finally {
          await app.stop();
        }
      });
    }
  });

  describe(`${name}: a body without an end`, () => {
    test('is not waited for', async () => {
      const issuer = await Issuer.start();
      const app = await start(issuer);
      try {
        const sent = request(`${app.url}/callback`, { method: 'POST', headers: { 'content-length': 50_000_000 } });
        sent.write(Buffer.alloc(80_000, 'x'));
        const [response] = await once(sent, 'response', { signal: AbortSignal.timeout(LATEST) });
        assert.equal(response.statusCode, TOO_LARGE);
        sent.on('error', () => {}).destroy();
        assert.equal((await new Visitor().request(`${app.url}/`)).status, 200);
      } finally {
        await app.stop();
        await issuer.stop();
      }
    });
  });

  describe(`${name}: elsewhere`, () => {
    test('a console below a path', async () => {
      const issuer = await Issuer.start();
      const app = await start(issuer, {
        options: { loginPath: '/auth/in', callbackPath: '/auth/back', logoutPath: '/auth/out', mePath: '/auth/me' },
        registration: { callback: '/auth/back' },
      });
      try {
        const visitor = new Visitor();
        const page = await visitor.walk(`${app.url}/console/a`);
        assert.match(page.text, /Hello alice/);
        assert.equal((await visitor.request(`${app.url}/auth/me`, { headers: PROGRAM })).json().sub, 'alice');
        assert.equal((await visitor.request(`${app.url}/login`)).status, 404);
      } finally {
        await app.stop();
        await issuer.stop();
      }
    });
  });
}
