/** A command of ours in a process of its own, which surely ends. */

import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

import { configError } from './errors';

/** Milliseconds that each step of the end may take. */
const PATIENCE = 5_000;
/** Of what it says, this much is kept. */
const KEPT = 64 * 1024;

/** Runs until its stdin is closed. */
export class Service {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #ended: Promise<void>;
  #over = false;
  #said = '';
  #complained = '';

  constructor(words: readonly string[]) {
    const command = [...('Deno' in globalThis ? ['run', '--allow-all'] : []), join(__dirname, '../bin/flyte-auth.js')];
    this.#child = spawn(process.execPath, [...command, ...words], {
      stdio: ['pipe', 'pipe', 'pipe'],
      // A Ctrl-C at the terminal is for the tests.
      detached: process.platform !== 'win32',
      windowsHide: true,
    });
    // Also where there is no such program.
    const over = (): void => void (this.#over = true);
    this.#ended = once(this.#child, 'close').then(over, over);
    this.#child.stdin.on('error', () => {});
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(0, KEPT);
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#complained = (this.#complained + text).slice(0, KEPT);
    });
  }

  /** Its first line, within that many milliseconds; then it keeps nothing alive. */
  async ready(within: number): Promise<string> {
    const line = await this.#firstLine(within);
    if (line?.startsWith('{')) {
      this.#holds(false);
      return line;
    }
    const ended = this.#over;
    await this.close();
    if (!ended) {
      const late = `the sandbox was not ready within ${within} ms`;
      throw configError('sandbox_failed', late, 'Give it more with readyWithin', 'readyWithin');
    }
    const [first = ''] = this.#complained.split('\n', 1);
    const why = first
      .trim()
      .replace(/^flyte-auth: /, '')
      .replace(/\.$/, '');
    throw configError('sandbox_failed', `the sandbox did not start: ${why}`, 'See flyte-auth sandbox --help');
  }

  /** Ends it: asks, then insists. */
  async close(): Promise<void> {
    this.#holds(true);
    this.#child.stdin.end();
    // A child that it started may hold its pipes; then its end is enough.
    for (const signal of ['SIGTERM', 'SIGKILL', undefined] as const) {
      if (await within(PATIENCE, this.#ended)) return;
      if (signal !== undefined) this.#child.kill(signal);
    }
    this.#child.stdout.destroy();
    this.#child.stderr.destroy();
  }

  async #firstLine(patience: number): Promise<string | undefined> {
    const { stdout } = this.#child;
    const said = (): string | undefined => {
      const end = this.#said.indexOf('\n');
      return end < 0 ? undefined : this.#said.slice(0, end);
    };
    const waiting = new AbortController();
    const reading = async (): Promise<void> => {
      while (said() === undefined) await once(stdout, 'data', { signal: waiting.signal });
    };
    await within(patience, Promise.race([reading(), this.#ended]));
    waiting.abort();
    return said();
  }

  #holds(alive: boolean): void {
    // A pipe is a socket, which the types do not tell.
    const pipes = [this.#child.stdin, this.#child.stdout, this.#child.stderr] as unknown as {
      [name: string]: unknown;
    }[];
    for (const each of [this.#child, ...pipes] as { ref?: () => void; unref?: () => void }[]) {
      if (alive) each.ref?.();
      else each.unref?.();
    }
  }
}

/** Whether `work` has ended in time. */
async function within(patience: number, work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(resolve, patience, false)));
  try {
    return await Promise.race([
      work.then(
        () => true,
        () => true,
      ),
      late,
    ]);
  } finally {
    clearTimeout(timer);
  }
}
