// The console side's types with those of Express, Fastify and Auth.js, under the compilers that users have.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const project = fileURLToPath(new URL('types/console.tsconfig.json', import.meta.url));

for (const compiler of ['typescript', 'typescript-5']) {
  const { version } = require(`${compiler}/package.json`);
  test(`what users write type-checks (TypeScript ${version})`, () => {
    const tsc = join(dirname(require.resolve(`${compiler}/package.json`)), 'bin/tsc');
    const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, '--project', project], { encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
  });
}
