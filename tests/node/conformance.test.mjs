// The shared cases of tests/conformance with the Node runner: one test for each case.
//
// The peer plays and judges them; each line that it prints is the verdict of one test here. `CASES=a,b` names some.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const folder = `${repository}tests/conformance`;
const wanted = (process.env.CASES ?? '').split(',').filter(Boolean);

/** Every case that is wanted, in the order of its file. */
const names = readdirSync(`${folder}/cases`, { recursive: true })
  .filter((file) => file.endsWith('.json'))
  .sort()
  .flatMap((file) => JSON.parse(readFileSync(`${folder}/cases/${file}`, 'utf8')))
  .map(({ name }) => name)
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)));

/** What the peer says of every case, by name: an empty text, or why it failed. */
function verdicts() {
  const argv = ['--folder', folder, '--language', 'Node', ...wanted.flatMap((name) => ['--case', name])];
  return new Promise((resolve) => {
    execFile(`${repository}target/debug/flyte-auth-peer`, argv, { cwd: repository, timeout: 300_000 }, (_, output) => {
      const lines = output.matchAll(/^(pass|FAIL) (\S+) ?(.*)$/gm);
      resolve(new Map(Array.from(lines, ([, verdict, name, why]) => [name, verdict === 'pass' ? '' : why])));
    });
  });
}

describe('conformance', async () => {
  const played = verdicts();
  for (const name of names) {
    test(name, async () => {
      const verdict = (await played).get(name);
      assert.notEqual(verdict, undefined, 'the peer did not play it');
      assert.equal(verdict, '');
    });
  }
});

test('the runner uses the public API alone', () => {
  const source = readFileSync(`${folder}/node/runner.mjs`, 'utf8');
  const named = Array.from(source.matchAll(/(?:from |\)\)\()'([^']+)'/g), ([, name]) => name);
  assert.deepEqual(
    named.filter((name) => !name.startsWith('node:')),
    ['flyte-auth'],
  );
});
