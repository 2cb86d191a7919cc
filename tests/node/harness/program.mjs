// A program in a process of its own: started, spoken to by its stdin, its output kept, and ended with the test.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Home } from './home.mjs';

// Milliseconds: the machine may be busy with other tests.
const PATIENCE = 30_000;

export class Program {
  /** All that it wrote so far: what a log would hold. */
  output = '';
  #child;
  #lines;
  #clock;
  #home = new Home();
  #name;

  /**
   * Starts it. Each has a home of its own: no test touches the developer's.
   *
   * @param {string} file
   * @param {{env?: Record<string, string>, runtime?: string[]}} [options] `runtime`: this Node, unless said
   */
  constructor(file, { env = {}, runtime = [process.execPath] } = {}) {
    this.#name = file;
    this.#clock = join(this.#home.path, 'clock');
    this.clock(0);
    const given = { FLYTE_AUTH_TESTING_CLOCK: this.#clock, ...env };
    const [command, ...words] = runtime;
    this.#child = spawn(command, [...words, file], { env: this.#home.env(given) });
    // It may have ended before it was told all.
    this.#child.stdin.on('error', () => {});
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (this.output += text));
    }
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Its clock, if it has our native half, runs that many milliseconds ahead from now on. */
  clock(offset) {
    writeFileSync(this.#clock, String(offset));
  }

  /** The next line of its stdout, which is JSON. */
  async line() {
    let timer;
    const late = new Promise((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`${this.#name} said nothing:\n${this.output}`)), PATIENCE);
    });
    try {
      const { value, done } = await Promise.race([this.#lines.next(), late]);
      if (done) throw new Error(`${this.#name} ended:\n${this.output}`);
      return JSON.parse(value);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Tells it something by its stdin. */
  say(message) {
    this.#child.stdin.write(`${JSON.stringify(message)}\n`);
  }

  async stop() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGTERM');
      await once(this.#child, 'exit');
    }
    this.#home.remove();
  }
}
