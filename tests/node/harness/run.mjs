// A script in a Node of its own, until it ends.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Runs a module given as text; gives how it ended, what it wrote, and how long it took.
 *
 * @param {string} source
 * @param {{home: import('./home.mjs').Home, env?: Record<string, string>, started?: (child) => void, flags?: string[],
 *   deadline?: number}} options `started` is called with the process; `deadline` in milliseconds
 */
export async function run(source, { home, env = {}, started, flags = [], deadline = 30_000 }) {
  const argv = [...flags, '--input-type=module', '--eval', source];
  const begin = performance.now();
  const child = spawn(process.execPath, argv, { env: home.env(env), cwd: new URL('..', import.meta.url) });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), deadline);
  started?.(child);
  const [code, signal] = await once(child, 'close');
  clearTimeout(timer);
  return { code, signal, stdout, stderr, took: performance.now() - begin };
}
