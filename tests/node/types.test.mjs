// The types: a user's program passes and each wrong line in it is found, under the compilers and settings that users have.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const types = fileURLToPath(new URL('types/', import.meta.url));
// Beside the modules that it imports.
const folder = mkdtempSync(join(types, '.tmp-'));
after(() => rmSync(folder, { recursive: true }));

function compiled(compiler, settings, files) {
  const tsc = join(dirname(require.resolve(`${compiler}/package.json`)), 'bin/tsc');
  const project = join(folder, `${compiler}.json`);
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noEmit: true,
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable'],
    types: ['node'],
    // The package's own declarations are checked as well.
    skipLibCheck: false,
    ...settings,
  };
  writeFileSync(project, JSON.stringify({ compilerOptions, files }));
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, '--project', project], { encoding: 'utf8' });
  return { status, output: stdout + stderr };
}

const files = ['samples.mts', 'common.cts'].map((name) => join(types, name));
const RESOLUTIONS = {
  node16: { module: 'node16', moduleResolution: 'node16' },
  nodenext: { module: 'nodenext', moduleResolution: 'nodenext' },
  bundler: { module: 'preserve', moduleResolution: 'bundler' },
};

for (const compiler of ['typescript', 'typescript-5']) {
  const { version } = require(`${compiler}/package.json`);
  for (const [name, settings] of Object.entries(RESOLUTIONS)) {
    test(`a user's program (TypeScript ${version}, ${name})`, () => {
      const { status, output } = compiled(compiler, settings, files);
      assert.equal(status, 0, output);
    });
  }
}

test('the sample can fail', () => {
  const spoilt = join(folder, 'spoilt.mts');
  const text = readFileSync(files[0], 'utf8');
  const changed = text
    .replace('is<Token | null>()(token);', 'is<Token>()(token);')
    .replace("store: 'cellar'", "store: 'memory'");
  writeFileSync(spoilt, changed);
  const { output } = compiled('typescript', RESOLUTIONS.nodenext, [spoilt]);
  assert.deepEqual(output.match(/error TS\d+/g)?.sort(), ['error TS2554', 'error TS2578'], output);
});
