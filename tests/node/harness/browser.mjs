// A person with a real Chromium.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const PATIENCE = 20_000;
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // No page may leave the machine; the provider's asks for a web font.
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1',
];

export class Browser {
  #context;
  #profile;

  /** @param {object} [options] of playwright's context: `colorScheme`, `viewport` */
  static async open(options = {}) {
    const browser = new Browser();
    browser.#profile = mkdtempSync(join(tmpdir(), 'flyte-auth-browser-'));
    browser.#context = await chromium.launchPersistentContext(browser.#profile, {
      executablePath: process.env.E2E_CHROMIUM ?? '/usr/bin/chromium',
      headless: true,
      args: ARGUMENTS,
      ...options,
    });
    browser.#context.setDefaultTimeout(PATIENCE);
    return browser;
  }

  tab() {
    return this.#context.newPage();
  }

  cookies(url) {
    return this.#context.cookies(url);
  }

  async close() {
    await this.#context.close();
    rmSync(this.#profile, { recursive: true, force: true });
  }
}

/** Fills the provider's forms until `arrived` says so of the page's address. */
export async function signIn(page, arrived, { user = 'alice' } = {}) {
  for (let step = 0; step < 8 && !arrived(page.url()); step += 1) {
    const login = page.locator('input[name=login]');
    if (await login.count()) {
      await login.fill(user);
      await page.locator('input[name=password]').fill('any password');
    }
    const before = page.url();
    await Promise.all([
      page.waitForURL((url) => url.href !== before, { waitUntil: 'load' }),
      page.locator('button[type=submit]').first().click(),
    ]);
  }
  if (!arrived(page.url())) throw new Error(`still at ${page.url().split('?')[0]}`);
}
