// A person at a console, in real Chromium, with a real provider whose access tokens live for seconds.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { App } from './harness/apps.mjs';
import { Browser, signIn } from './harness/browser.mjs';
import { until } from './harness/console_suite.mjs';
import { Issuer } from './harness/issuer.mjs';

/** A folder for screenshots of the pages that a person sees. */
const SHOTS = process.env.FLYTE_AUTH_SHOTS;

for (const kind of ['express', 'fastify']) {
  describe(`browser: ${kind}`, { timeout: 120_000 }, () => {
    let issuer;
    let app;
    let browser;

    before(async () => {
      issuer = await Issuer.start({ accessLifetime: 5 });
      app = await App.start(issuer, { kind });
    });
    after(async () => {
      assert.doesNotMatch(app.output, /eyJ[\w-]{10}/);
      await app?.stop();
      await issuer?.stop();
    });

    /** Each test with a browser that nobody has used. */
    async function visiting(work, options) {
      browser = await Browser.open(options);
      try {
        await work(await browser.tab());
      } finally {
        await browser.close();
      }
    }
    const here = (path) => (url) => url === app.url + path;
    const get = (page, path) =>
      page.evaluate(async (at) => {
        const response = await fetch(at, { headers: { accept: 'application/json' } });
        return { status: response.status, body: await response.json() };
      }, path);

    for (const user of ['alice', 'large-lucy']) {
      test(`signs in, stays signed in over expiries, signs out (${user})`, () =>
        visiting(async (page) => {
          await page.goto(`${app.url}/console/runs?project=x`);
          assert.ok(page.url().startsWith(issuer.url));
          await signIn(page, here('/console/runs?project=x'), { user });
          assert.equal(await page.textContent('h1'), `Hello ${user}`);

          const before = (await issuer.refreshes(app)).length;
          const hashes = new Set();
          const twenty = async () => {
            const answers = await page.evaluate(() =>
              Promise.all(
                Array.from({ length: 20 }, async () => {
                  const response = await fetch('/api/token');
                  return { status: response.status, body: await response.json() };
                }),
              ),
            );
            for (const { status, body } of answers) {
              assert.equal(status, 200);
              assert.equal(body.subject, user);
              hashes.add(body.hash);
            }
            return hashes.size;
          };
          await until(twenty, (size) => size >= 4);
          const refreshes = (await issuer.refreshes(app)).slice(before);
          assert.equal(refreshes.length, hashes.size - 1, 'one exchange for each expiry');
          assert.ok(refreshes.every(({ status }) => status === 200));
          await page.reload();
          assert.equal(await page.textContent('h1'), `Hello ${user}`);

          const [revoked, ended] = [await issuer.events('revocation'), await issuer.events('end_session')];
          await page.click('text=Sign out');
          // The provider asks too: its session serves other apps.
          await page.waitForURL((url) => url.origin === issuer.url);
          await page.click('button[value=yes]');
          await until(
            () => issuer.events('end_session'),
            (now) => now.length === ended.length + 1,
          );
          await until(
            () => issuer.events('revocation'),
            (now) => now.length === revoked.length + 1,
          );
          const left = (await browser.cookies(app.url)).filter(({ name }) => /^flyte_auth(\.\d)?$/.test(name));
          assert.deepEqual(left, []);
          await page.goto(`${app.url}/console`);
          assert.ok(page.url().startsWith(issuer.url), 'signing in asks for a person again');
          assert.equal(await page.locator('input[name=login]').count(), 1);
        }));
    }

    test('two tabs sign in at once', () =>
      visiting(async (one) => {
        const two = await browser.tab();
        await one.goto(`${app.url}/console/one`);
        await two.goto(`${app.url}/console/two`);
        await signIn(two, here('/console/two'));
        await signIn(one, here('/console/one'));
        for (const page of [one, two]) {
          assert.equal(await page.textContent('h1'), 'Hello alice');
          assert.equal((await get(page, '/me')).body.sub, 'alice');
        }
      }));

    test('after a sign-out, going back shows nothing of the routes, and the app asks again', () =>
      visiting(async (page) => {
        await page.goto(`${app.url}/console`);
        await signIn(page, here('/console'));
        await page.goto(`${app.url}/me`);
        assert.match(await page.textContent('body'), /alice/);
        await page.goto(`${app.url}/console`);
        await page.click('text=Sign out');
        await page.waitForURL((url) => url.origin === issuer.url);
        await page.click('button[value=yes]');
        await page.waitForURL((url) => url.pathname.includes('/success'));
        await page.goto(`${app.url}/`);
        // Three pages back lies /me: it was not to be kept.
        const answer = await get(page, '/me');
        assert.equal(answer.status, 401);
        await page.goto(`${app.url}/me`);
        assert.doesNotMatch(await page.textContent('body'), /alice/);
      }));

    test('another site signs nobody out, and changes nothing', () =>
      visiting(async (page) => {
        await page.goto(`${app.url}/console`);
        await signIn(page, here('/console'));
        const { body: before } = await get(page, '/api/things');
        // The same machine under another name is another site.
        const evil = await browser.tab();
        await evil.goto(`${issuer.url}/.well-known/openid-configuration`);
        for (const path of ['/logout', '/api/things']) {
          await evil.evaluate((action) => {
            const form = Object.assign(document.createElement('form'), { method: 'post', action, target: '_blank' });
            document.body.append(form);
            form.submit();
          }, app.url + path);
        }
        await evil.evaluate(
          (src) =>
            new Promise((resolve) => {
              const image = Object.assign(new Image(), { src, onload: resolve, onerror: resolve });
              document.body.append(image);
            }),
          `${app.url}/logout`,
        );
        assert.equal((await get(page, '/me')).status, 200);
        assert.deepEqual((await get(page, '/api/things')).body, before);
        const own = await page.evaluate(async () => (await fetch('/api/things', { method: 'POST' })).status);
        assert.equal(own, 200);
      }));

    test('the pages work without script, in light and dark, wide and narrow', async () => {
      if (SHOTS) mkdirSync(SHOTS, { recursive: true });
      for (const colorScheme of ['light', 'dark']) {
        for (const width of [1000, 320]) {
          const options = { colorScheme, viewport: { width, height: 640 }, javaScriptEnabled: false };
          await visiting(async (page) => {
            const shot = (name) =>
              SHOTS && page.screenshot({ path: join(SHOTS, `${kind}-${name}-${colorScheme}-${width}.png`) });
            const refusals = [];
            page.on('console', (message) => refusals.push(message.text()));
            await page.goto(`${app.url}/callback?state=unknown&code=x`);
            assert.equal(await page.textContent('h1'), 'You are not signed in');
            await shot('error');
            await page.click('a');
            await signIn(page, here('/'));
            // By a link of another site: the person is asked.
            await page.goto(`${issuer.url}/.well-known/openid-configuration`);
            await page.setContent(`<a href="${app.url}/logout">here</a>`);
            await page.click('a');
            assert.equal(await page.textContent('h1'), 'Sign out');
            await shot('confirm');
            const fits = await page.locator('main').boundingBox();
            assert.ok(fits.x >= 0 && fits.x + fits.width <= width, 'nothing has to be scrolled sideways');
            await page.click('button');
            await page.waitForURL((url) => url.origin === issuer.url);
            assert.deepEqual(
              refusals.filter((text) => /Content Security Policy/.test(text)),
              [],
            );
          }, options);
        }
      }
    });
  });
}
