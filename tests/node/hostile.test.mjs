// What an attacker can send to a console: each is refused with the right status, shows nothing of what was sent, and
// leaves nothing secret in the app's log.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { App } from './harness/apps.mjs';
import { SAME_ORIGIN, signedIn, until } from './harness/console_suite.mjs';
import { Issuer } from './harness/issuer.mjs';
import { Visitor } from './harness/visitor.mjs';

const MARKUP = `zq"'><svg onload=alert(7)>`;
const PROGRAM = { accept: 'application/json' };

/** Everything that must be in no log: filled by the tests as they go. */
const secrets = new Set();

function secretsOf(url) {
  for (const name of ['code', 'state', 'nonce', 'code_challenge', 'id_token_hint']) {
    const value = new URL(url).searchParams.get(name);
    if (value?.length > 8) secrets.add(value);
  }
}

/** The answer has this status and holds nothing that a page could run, or that came with the request. */
function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.doesNotMatch(answer.text, /<svg|<script|onload=|zq"/i);
  assert.equal(answer.headers['cache-control'], 'no-store');
  assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  assert.match(answer.headers['content-security-policy'], /default-src 'none'.*frame-ancestors 'none'/);
  assert.equal(answer.headers['x-injected'], undefined);
  const { searchParams } = new URL(answer.url);
  for (const [name, value] of searchParams) {
    // `access_denied` is our word for it too.
    if (value.length > 5 && value !== code) assert.ok(!answer.text.includes(value), `${name} is shown`);
  }
  if (code && answer.headers['content-type'].startsWith('application/json')) assert.equal(answer.json().error, code);
}

function changed(url, changes) {
  const made = new URL(url);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) made.searchParams.delete(name);
    else made.searchParams.set(name, value);
  }
  return made.href;
}

for (const kind of ['express', 'fastify', 'web']) {
  describe(`hostile: ${kind}`, () => {
    let issuer;
    let app;

    before(async () => {
      issuer = await Issuer.start();
      app = await App.start(issuer, { kind });
    });

    after(async () => {
      try {
        // The output of the whole run, errors that reached the app among it.
        for (const secret of [...secrets, ...(await issuer.secrets())]) {
          assert.ok(!app.output.includes(secret), `a secret is in the log:\n${app.output}`);
        }
        assert.doesNotMatch(app.output, /eyJ[\w-]{10}|flyte_auth(_t_\w+|\.\d)?=\S/);
        // Nor can a visitor write lines of his own, or colours.
        // eslint-disable-next-line no-control-regex
        assert.doesNotMatch(app.output, /^forged|\u001b|\r/m);
      } finally {
        await app?.stop();
        await issuer?.stop();
      }
    });

    /** A visitor who has signed in at the provider, and the answer that the app has not seen yet. */
    async function answered(user) {
      const visitor = new Visitor();
      const callback = await visitor.callback(app.url, { user });
      secretsOf(callback);
      for (const { value } of visitor.jar.all(callback)) if (value.length > 20) secrets.add(value);
      return { visitor, callback };
    }

    const nobody = async (visitor) => {
      const answer = await visitor.request(`${app.url}/api/token`, { headers: PROGRAM });
      assert.equal(answer.status, 401);
    };

    describe('callbacks', () => {
      const cases = {
        'a wrong state': [{ state: 'x'.repeat(43) }, 'login_unknown'],
        'no state': [{ state: undefined }, 'callback_invalid'],
        'an empty state': [{ state: '' }, 'callback_invalid'],
        'a state of markup': [{ state: MARKUP }, 'login_unknown'],
        'a foreign iss': [{ iss: 'https://evil.example' }, 'issuer_mismatch'],
        'an iss that only begins as the right one': [{ iss: 'http://127.0.0.1:1' }, 'issuer_mismatch'],
        'no iss, which the provider always sends': [{ iss: undefined }, 'issuer_mismatch'],
        'no code': [{ code: undefined }, 'callback_invalid'],
        'an oversized answer': [{ padding: 'x'.repeat(40_000) }, 'request_too_large'],
      };
      for (const [name, [changes, code]] of Object.entries(cases)) {
        test(name, async () => {
          const { visitor, callback } = await answered('alice');
          refused(await visitor.request(changed(callback, changes), { headers: PROGRAM }), 400, code);
          await nobody(visitor);
        });
      }

      for (const name of ['state', 'code', 'iss']) {
        test(`${name} twice`, async () => {
          const { visitor, callback } = await answered('alice');
          const twice = `${callback}&${name}=${encodeURIComponent(new URL(callback).searchParams.get(name))}`;
          refused(await visitor.request(twice, { headers: PROGRAM }), 400);
          await nobody(visitor);
        });
      }

      test('a code that the provider did not issue', async () => {
        const { visitor, callback } = await answered('alice');
        const answer = await visitor.request(changed(callback, { code: 'made-up-code-'.repeat(3) }), {
          headers: PROGRAM,
        });
        refused(answer, 403, 'login_refused');
        await nobody(visitor);
      });

      test('an answer counts once', async () => {
        const { visitor, callback } = await answered('alice');
        const cookies = visitor.jar.header(callback);
        assert.equal((await visitor.request(callback)).status, 303);
        // The browser has dropped the cookie; a thief of the address and the cookie has it still.
        refused(await visitor.request(callback, { headers: PROGRAM }), 400, 'login_unknown');
        refused(await visitor.request(callback, { headers: PROGRAM, cookies }), 400, 'login_replayed');
      });

      test("an answer in another browser is nobody's: no attacker signs a victim in as himself", async () => {
        const { callback } = await answered('mallory');
        const victim = await signedIn(app, 'alice');
        refused(await victim.request(callback, { headers: PROGRAM }), 400, 'login_unknown');
        const me = await victim.request(`${app.url}/me`, { headers: PROGRAM });
        assert.equal(me.json().sub, 'alice');
      });

      test('the answer of one sign-in with the state of another', async () => {
        const { visitor, callback } = await answered('alice');
        const second = await visitor.callback(app.url);
        const mixed = changed(callback, { state: new URL(second).searchParams.get('state') });
        // PKCE: the code belongs to the other one's verifier.
        refused(await visitor.request(mixed, { headers: PROGRAM }), 403, 'login_refused');
      });

      for (const [error, status, code] of [
        ['access_denied', 403, 'access_denied'],
        ['invalid_scope', 403, 'login_refused'],
        ['server_error', 503, 'provider_unavailable'],
        [MARKUP, 403, 'login_refused'],
      ]) {
        test(`an error reply with markup: ${error.slice(0, 15)}`, async () => {
          for (const accept of ['text/html', 'application/json']) {
            const { visitor, callback } = await answered('alice');
            const changes = {
              code: undefined,
              error,
              error_description: `${MARKUP}\r\nforged\u001b[31m`,
              error_uri: `javascript:${MARKUP}`,
            };
            const answer = await visitor.request(changed(callback, changes), { headers: { accept } });
            refused(answer, status, code);
            assert.match(answer.headers['content-type'], accept === 'text/html' ? /^text\/html/ : /^application\/json/);
            await nobody(visitor);
          }
        });
      }

      test('looking ahead uses up no code', async () => {
        const { visitor, callback } = await answered('alice');
        const head = await visitor.request(callback, { method: 'HEAD' });
        assert.equal(head.status, 405);
        assert.equal((await visitor.request(callback)).status, 303);
      });
    });

    describe('cookies', () => {
      const ask = (cookies) => new Visitor().request(`${app.url}/api/token`, { headers: PROGRAM, cookies });
      const sessionOf = async (user) => {
        const visitor = await signedIn(app, user);
        const cookies = visitor.jar.all(app.url).filter(({ name }) => name.startsWith('flyte_auth'));
        for (const { value } of cookies) secrets.add(value);
        return cookies;
      };
      const header = (cookies) => cookies.map(({ name, value }) => `${name}=${value}`).join('; ');

      test('changed anywhere, a cookie is worth nothing', async () => {
        const [{ name, value }] = await sessionOf('alice');
        assert.equal((await ask(`${name}=${value}`)).status, 200);
        const places = [0, 1, 5, Math.floor(value.length / 2), value.length - 2, value.length - 1];
        for (const at of places) {
          const other = value[at] === 'A' ? 'B' : 'A';
          const tampered = value.slice(0, at) + other + value.slice(at + 1);
          assert.equal((await ask(`${name}=${tampered}`)).status, 401, `byte ${at} of ${value.length}`);
        }
        for (const tampered of [value.slice(1), value.slice(0, -1), value + value, `${value}.`, '', '%00', MARKUP]) {
          assert.equal((await ask(`${name}=${tampered}`)).status, 401);
        }
      });

      test('pieces of two sessions make none', async () => {
        const [one, two] = [await sessionOf('large-alice'), await sessionOf('large-bob')];
        assert.ok(one.length >= 2);
        assert.equal((await ask(header(one))).json().subject, 'large-alice');
        const mixed = [one[0], ...two.slice(1)];
        assert.equal((await ask(header(mixed))).status, 401);
        const swapped = one.map(({ name }, at) => ({ name, value: one[one.length - 1 - at].value }));
        assert.equal((await ask(header(swapped))).status, 401);
        assert.equal((await ask(header(one.slice(1)))).status, 401);
        assert.equal((await ask(header(one.slice(0, 1)))).status, 401);
      });

      test('a cookie under the name of another is worth nothing', async () => {
        const { visitor, callback } = await answered('alice');
        const transaction = visitor.jar.all(callback).find(({ name }) => name.startsWith('flyte_auth_t_'));
        assert.equal((await ask(`flyte_auth=${transaction.value}`)).status, 401);
        const [{ value }] = await sessionOf('alice');
        const swapped = { headers: PROGRAM, cookies: `${transaction.name}=${value}` };
        refused(await visitor.request(callback, swapped), 400, 'login_unknown');
      });

      test('too many, too large, and strange ones', async () => {
        const many = Array.from({ length: 900 }, (_, at) => `flyte_auth.${at}=${'x'.repeat(30)}`).join('; ');
        for (const cookies of [
          `flyte_auth=${'x'.repeat(30_000)}`,
          many,
          'flyte_auth.0=999999999.x; flyte_auth.1=x',
          'flyte_auth.0=-1.x',
          'flyte_auth.0=2.x; flyte_auth.1=',
          'flyte_auth; =; ;; flyte_auth==',
          '__proto__=x; constructor=y; flyte_auth=__proto__',
        ]) {
          assert.equal((await ask(cookies)).status, 401, cookies.slice(0, 50));
        }
        // Behind them the app still serves whoever is signed in.
        const [{ name, value }] = await sessionOf('alice');
        assert.equal((await ask(`a=1; ${name}=${value}; b=2`)).status, 200);
      });
    });

    describe('redirects', () => {
      const elsewhere = () => [
        'https://evil.example',
        'https://evil.example/console',
        '//evil.example',
        '///evil.example',
        '/\\evil.example',
        '\\\\evil.example',
        '/\t/evil.example',
        '/\n/evil.example',
        '/.//evil.example',
        '/..//evil.example',
        '/console/..//evil.example',
        '/%2e%2e//evil.example',
        'https:evil.example',
        'https:/evil.example',
        'http:///evil.example',
        'HTTPS://EVIL.EXAMPLE',
        'javascript:alert(7)',
        'data:text/html,<script>alert(7)</script>',
        ' https://evil.example',
        '\u0000//evil.example',
        `${app.url}@evil.example/`,
        `${app.url}.evil.example/`,
        `http://localhost:1/`,
        `http://user:secret@localhost:${app.port}/`,
        'console',
        '?return_to=//evil.example',
        '#x',
        'x'.repeat(5000),
        `/${'x'.repeat(5000)}`,
      ];
      const stays = (location, wanted) => {
        // As a browser reads it: from the page that it is on.
        const { origin, username } = new URL(location, `${app.url}/callback`);
        assert.deepEqual([origin, username], [app.url, ''], JSON.stringify(wanted));
      };

      test('a sign-in ends at this app, whatever was asked for', async () => {
        const visitor = new Visitor();
        for (const wanted of elsewhere()) {
          const callback = await visitor.callback(app.url, { returnTo: wanted });
          secretsOf(callback);
          const landed = await visitor.request(callback);
          assert.equal(landed.status, 303, JSON.stringify(wanted));
          stays(landed.headers.location, wanted);
        }
        const good = await visitor.request(await visitor.callback(app.url, { returnTo: '/console/a?b=c#d' }));
        assert.equal(good.location, `${app.url}/console/a?b=c#d`);
      });

      test('so does a sign-out, where the provider has no say', async () => {
        const local = await App.start(issuer, { kind, options: { providerLogout: false } });
        try {
          for (const wanted of elsewhere()) {
            const url = `${local.url}/logout?return_to=${encodeURIComponent(wanted)}`;
            const headers = { 'sec-fetch-site': 'same-origin' };
            const landed = await new Visitor().request(url, { method: 'POST', headers });
            assert.equal(landed.status, 303, JSON.stringify(wanted));
            const { origin } = new URL(landed.headers.location, local.url);
            assert.equal(origin, local.url, JSON.stringify(wanted));
          }
        } finally {
          await local.stop();
        }
      });

      test('an origin that is allowed is one, and no more', async () => {
        const options = { returnTo: ['https://docs.example'] };
        const local = await App.start(issuer, { kind, options });
        try {
          const visitor = new Visitor();
          const lands = async (wanted) => {
            const landed = await visitor.request(await visitor.callback(local.url, { returnTo: wanted }));
            return landed.location;
          };
          assert.equal(await lands('https://docs.example/a?b'), 'https://docs.example/a?b');
          for (const wanted of [
            'http://docs.example/',
            'https://docs.example:8443/',
            'https://docs.example.evil.example/',
          ]) {
            assert.equal(await lands(wanted), `${local.url}/`);
          }
        } finally {
          await local.stop();
        }
      });

      test("the way back of a guarded page is this app's, whatever the request line says", async () => {
        const targets = [
          'http://evil.example/console',
          '//evil.example/console',
          '/console\\..//evil.example',
          '/console?a=%0d%0ab',
        ];
        for (const target of targets) {
          const sent = await new Visitor().request(app.url, { target, headers: { 'sec-fetch-mode': 'navigate' } });
          if (sent.status !== 302) {
            assert.ok(sent.status >= 400, `${target}: ${sent.status}`);
            continue;
          }
          assert.equal(new URL(sent.headers.location, app.url).origin, app.url, target);
          const visitor = new Visitor();
          const landed = await visitor.request(
            (await visitor.walk(sent.location, { until: (next) => next.startsWith(`${app.url}/callback?`) })).location,
          );
          stays(landed.headers.location, target);
        }
      });

      test('no header can be written through an address', async () => {
        const injected = '/x%0d%0aX-Injected:%20yes%0d%0a%0d%0a%3Csvg%20onload=alert(7)%3E';
        for (const path of [
          `/login?return_to=${injected}`,
          `/callback?state=${injected}`,
          `/logout?return_to=${injected}`,
        ]) {
          const answer = await new Visitor().request(app.url, { target: path });
          assert.equal(answer.headers['x-injected'], undefined, path);
          assert.doesNotMatch(answer.text, /<svg/, path);
        }
      });
    });

    describe('other sites', () => {
      const signedOut = async (visitor) => {
        const { status } = await visitor.request(`${app.url}/api/token`, { headers: SAME_ORIGIN });
        return status === 401;
      };

      for (const [name, method, headers] of [
        [
          'a form of another site',
          'POST',
          { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' },
        ],
        ['a form of another site in an old browser', 'POST', { origin: 'https://evil.example' }],
        ['a form in a frame without an origin', 'POST', { origin: 'null' }],
        ['a neighbour on the same host', 'POST', { origin: 'http://localhost:1', 'sec-fetch-site': 'same-site' }],
        ['a request that says nothing', 'POST', {}],
      ]) {
        test(`${name} signs nobody out`, async () => {
          const visitor = await signedIn(app);
          const answer = await visitor.request(`${app.url}/logout`, { method, headers: { ...PROGRAM, ...headers } });
          refused(answer, 403, 'cross_site_request');
          assert.equal(await signedOut(visitor), false);
        });
      }

      for (const [name, headers] of [
        [
          'an image of another site',
          { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' },
        ],
        ['a link of another site', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }],
        ['a link of another site in an old browser', { referer: 'https://evil.example/' }],
      ]) {
        test(`${name} signs nobody out, but is asked`, async () => {
          const visitor = await signedIn(app);
          const asked = await visitor.request(`${app.url}/logout?return_to=${encodeURIComponent(MARKUP)}`, { headers });
          refused(asked, 200);
          assert.equal(await signedOut(visitor), false);
        });
      }

      test('the page that asks signs out, and only the browser that it was made for', async () => {
        const headers = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' };
        const [visitor, other] = [await signedIn(app, 'alice'), await signedIn(app, 'bob')];
        const asked = await visitor.request(`${app.url}/logout`, { headers });
        const confirmation = /name="confirmation" value="([^"]+)"/.exec(asked.text)[1];
        refused(
          await other.post(`${app.url}/logout`, { confirmation }, { headers: PROGRAM }),
          403,
          'cross_site_request',
        );
        assert.equal(await signedOut(other), false);
        const out = await visitor.post(`${app.url}/logout`, { confirmation });
        assert.equal(out.status, 303);
        secretsOf(out.location);
        assert.equal(await signedOut(visitor), true);
      });

      test("a request of another site is nobody's where nobody has to be signed in", async () => {
        const visitor = await signedIn(app);
        const headers = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' };
        const answer = await visitor.request(`${app.url}/me`, { method: 'POST', headers: { ...PROGRAM, ...headers } });
        assert.equal(answer.status, 405);
      });
    });

    test('methods that a route does not know', async () => {
      for (const [path, method, allow] of [
        ['/login', 'POST', 'GET, HEAD'],
        ['/callback', 'PUT', 'GET, POST'],
        ['/logout', 'DELETE', 'GET, POST'],
        ['/me', 'POST', 'GET, HEAD'],
      ]) {
        const answer = await new Visitor().request(app.url + path, { method, headers: PROGRAM });
        refused(answer, 405, 'method_not_allowed');
        assert.equal(answer.headers.allow, allow);
      }
    });

    test('the provider signs with a new key: who is signed in stays so, and others sign in', async () => {
      const before = await signedIn(app, 'alice');
      await issuer.rotateKeys();
      // Its keys are not fetched again sooner, whatever key ids come.
      app.clock(61_000);
      const rotated = await signedIn(app, 'bob');
      for (const [visitor, subject] of [
        [before, 'alice'],
        [rotated, 'bob'],
      ]) {
        const me = await visitor.request(`${app.url}/me`, { headers: PROGRAM });
        assert.equal(me.json().sub, subject);
      }
    });

    test('a provider that does not answer', async () => {
      const { visitor, callback } = await answered('alice');
      await issuer.fail('/token', 502, app);
      const answer = await visitor.request(callback, { headers: PROGRAM });
      refused(answer, 503, 'provider_unavailable');
      assert.ok(Number(answer.headers['retry-after']) >= 1);
      // The visitor is told little; the log has the rest.
      await until(
        async () => app.output,
        (output) => /answered HTTP 502/.test(output),
      );
    });
  });
}
