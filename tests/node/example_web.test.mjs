// `examples/node-web`: the console in ten lines, with a real provider and a Flyte server that takes its tokens.
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { COOKIE_KEY } from './harness/apps.mjs';
import { Issuer } from './harness/issuer.mjs';
import { closedPort } from './harness/ports.mjs';
import { Program } from './harness/program.mjs';
import { Sandbox } from './harness/sandbox.mjs';
import { Visitor } from './harness/visitor.mjs';

const EXAMPLE = fileURLToPath(new URL('../../examples/node-web/app.mjs', import.meta.url));
const MODULES = fileURLToPath(new URL('node_modules', import.meta.url));

let issuer;
let flyte;
let folder;

before(async () => {
  issuer = await Issuer.start();
  flyte = await Sandbox.start('--external-issuer', issuer.url);
  // As a user has it: beside what npm installed.
  folder = mkdtempSync(join(tmpdir(), 'flyte-auth-example-'));
  copyFileSync(EXAMPLE, join(folder, 'app.mjs'));
  symlinkSync(MODULES, join(folder, 'node_modules'));
});

after(async () => {
  await flyte?.stop();
  await issuer?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

test('a person signs in, and Flyte is asked in their name', async () => {
  const port = await closedPort();
  const baseURL = `http://localhost:${port}`;
  const { clientId, clientSecret } = await issuer.registerApp(baseURL);
  const env = {
    ISSUER: issuer.url,
    CLIENT_ID: clientId,
    CLIENT_SECRET: clientSecret,
    COOKIE_KEY,
    BASE_URL: baseURL,
    FLYTE: flyte.http,
    PORT: String(port),
  };
  const app = new Program(join(folder, 'app.mjs'), { env });
  try {
    assert.deepEqual(await app.line(), { url: baseURL });
    const page = await new Visitor().walk(`${baseURL}/`, { user: 'alice' });
    assert.equal(page.status, 200, page.text);
    const { hello, flyte: answer } = page.json();
    assert.equal(hello, 'alice');
    assert.equal(answer.subject ?? answer.sub, 'alice');
  } finally {
    await app.stop();
  }
});

test('it is ten lines', () => {
  const lines = readFileSync(EXAMPLE, 'utf8')
    .split('\n')
    .filter((line) => line && !line.startsWith('//') && !line.startsWith('import'));
  assert.ok(lines.length <= 10, `${lines.length} lines`);
});
