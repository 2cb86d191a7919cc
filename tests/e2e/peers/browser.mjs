// A person with a browser: opens a URL in real Chromium, signs in, approves (or declines) and stops at the end page.
//
//   node browser.mjs [--deny] [--user NAME] [--code USER_CODE] [--detach] URL
//
// It knows no page by heart: it fills the visible fields by what they are called and clicks the button that goes on,
// so the same driver serves oidc-provider's pages and the sandbox's.
// It ends at a loopback redirect page, or where the page says that all is done. Exit code 0: reached the end.
//
// Settings, all by environment:
//   E2E_CHROMIUM       path of the browser (/usr/bin/chromium)
//   E2E_BROWSER_LOG    append one JSON line per page: {"title", "url", "step"}; the last one {"end": reason}
//   E2E_SHOTS          folder for a screenshot per page
//   E2E_BROWSER_SECONDS  deadline of the whole visit (40)
import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    deny: { type: 'boolean', default: false },
    detach: { type: 'boolean', default: false },
    user: { type: 'string', default: 'alice@example.org' },
    code: { type: 'string' },
  },
});
const target = positionals[0];
const shots = process.env.E2E_SHOTS;
const deadline = Number(process.env.E2E_BROWSER_SECONDS ?? 40) * 1000;

const GO_ON = /sign.?in|log.?in|approve|allow|authori[sz]e|accept|continue|confirm|next|submit|yes|connect/i;
const STOP = /deny|decline|cancel|abort|refuse|reject|\bno\b/i;
const DONE = /you (can|may) (now )?(safely )?close|return to (the|your) (terminal|command)|sign-?in success|successfully|you are signed in|signed in (as|to)|device (is )?(connected|approved)|all done/i;
const DECLINED = /interrupted|access.?denied|declined|was denied|you denied|refused|cancell?ed|request denied/i;

function log(line) {
  const text = JSON.stringify(line);
  if (!options.detach) console.error(text);
  if (process.env.E2E_BROWSER_LOG) appendFileSync(process.env.E2E_BROWSER_LOG, `${text}\n`);
}

// The URL without its query: codes and states do not belong into a log.
const shown = (url) => url.split(/[?#]/)[0];

async function firstVisible(locator) {
  for (const candidate of await locator.all()) {
    if (await candidate.isVisible() && await candidate.isEnabled()) return candidate;
  }
  return null;
}

async function fillFields(page) {
  for (const field of await page.locator('input:not([type=hidden]):not([type=submit]):not([type=button]):not([type=checkbox]), textarea').all()) {
    if (!await field.isVisible()) continue;
    const type = await field.getAttribute('type');
    if (type === 'radio') continue;
    const name = `${await field.getAttribute('name')} ${await field.getAttribute('id')} ${await field.getAttribute('autocomplete')}`;
    if (type === 'password') await field.fill('any password');
    else if (/code/i.test(name)) { if (options.code) await field.fill(options.code); }
    else await field.fill(options.user);
  }
}

async function press(page, wanted, unwanted) {
  const controls = page.locator('button, input[type=submit], a[href], [role=button]');
  for (const control of await controls.all()) {
    if (!await control.isVisible() || !await control.isEnabled()) continue;
    const name = `${(await control.textContent())?.trim() ?? ''} ${await control.getAttribute('value') ?? ''} ${await control.getAttribute('aria-label') ?? ''}`;
    if (wanted.test(name) && !unwanted?.test(name)) return control;
  }
  return null;
}

// Only a submit button of the page's main form counts where no name is known.
const anySubmit = (page) => firstVisible(page.locator('button[type=submit], input[type=submit], form button:not([type])'));

async function visit(page) {
  const origin = new URL(target).origin;
  await page.goto(target, { waitUntil: 'domcontentloaded' });
  let declined = false;
  for (let step = 1; step <= 12; step += 1) {
    await page.waitForLoadState('domcontentloaded');
    const url = page.url();
    const text = await page.locator('body').innerText().catch(() => '');
    log({ step, title: await page.title(), url: shown(url) });
    if (shots) await page.screenshot({ path: join(shots, `${Date.now()}-${step}.png`) });
    if (new URL(url).origin !== origin && /^(localhost|127\.0\.0\.1|\[::1\])$/.test(new URL(url).hostname) && new URL(url).pathname.endsWith('/callback')) {
      return 'callback';
    }
    if (declined && DECLINED.test(text)) return 'declined';
    if (!declined && DONE.test(text)) return 'done';
    const before = page.url() + text;
    const stop = options.deny ? await press(page, STOP) : null;
    if (stop) declined = true;
    else await fillFields(page);
    const control = stop ?? await press(page, GO_ON, STOP) ?? await anySubmit(page);
    if (!control) throw new Error(`nothing to press on "${await page.title()}"`);
    await control.click();
    // A click either loads another page or changes this one.
    await page.waitForFunction((old) => document.readyState !== 'loading' && location.href + document.body.innerText !== old, before, { timeout: 5000 }).catch(() => {});
  }
  throw new Error('no end page after 12 pages');
}

let context;

async function main() {
  if (shots) mkdirSync(shots, { recursive: true });
  const profile = mkdtempSync(join(tmpdir(), 'flyte-auth-browser-'));
  context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.E2E_CHROMIUM ?? '/usr/bin/chromium',
    handleSIGTERM: false,
    headless: true,
    ignoreHTTPSErrors: true,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
      // No page may leave the machine; oidc-provider's asks for a web font.
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1',
    ],
  });
  try {
    context.setDefaultTimeout(8000);
    log({ end: await visit(context.pages()[0] ?? await context.newPage()) });
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

if (options.detach) {
  // For callers that wait for BROWSER's command to end before they listen.
  const rest = process.argv.slice(2).filter((argument) => argument !== '--detach');
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...rest], { detached: true, stdio: 'ignore' });
  log({ pid: child.pid });
  child.unref();
} else {
  // Chromium runs in a process group of its own: it must be closed, or it stays.
  const leave = async (end) => { log({ end }); await context?.close(); process.exit(1); };
  const timer = setTimeout(leave, deadline, 'deadline');
  process.on('SIGTERM', leave);
  try {
    await main();
  } catch (error) {
    log({ end: 'failed', error: error.message.split('\n')[0] });
    process.exitCode = 1;
  }
  clearTimeout(timer);
}
