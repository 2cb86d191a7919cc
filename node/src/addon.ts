/** Loads the native half: one package for each platform, chosen here, installed by npm as an optional dependency. */

import { closeSync, openSync, readSync } from 'node:fs';

import type * as Native from './native';

/** What the native half exports. */
export type Addon = typeof Native;

/** What this package says of itself; `scripts/pack.mjs` wrote the packages of all platforms into it. */
interface Manifest {
  version: string;
  optionalDependencies: Record<string, string>;
}

let loaded: Addon | undefined;

/**
 * The native half; loaded with the first use, so that importing this package costs nothing and never fails.
 *
 * @throws {Error} It cannot be loaded. The message names the package, why, and what to do.
 */
export function addon(): Addon {
  loaded ??= load();
  return loaded;
}

function load(): Addon {
  const triple = tripleOf();
  const name = `flyte-auth-${triple}`;
  const { version: ours, optionalDependencies } = require('../package.json') as Manifest;
  if (!Object.hasOwn(optionalDependencies, name)) {
    const platforms = Object.keys(optionalDependencies).map((each) => each.slice('flyte-auth-'.length));
    throw new Error(`flyte-auth has no native half for ${triple}. It runs on ${platforms.join(', ')}`);
  }
  let found: Addon;
  try {
    found = require(`${name}/flyte-auth.${triple}.node`) as Addon;
  } catch (cause) {
    throw new Error(whyNot(name, cause), { cause });
  }
  const theirs = found.version();
  if (theirs !== ours) {
    throw new Error(
      `flyte-auth ${ours} found ${name} ${theirs}. Both must be of one version: remove node_modules and the lock ` +
        'file and install again',
    );
  }
  // Here and not above: it is a third of what importing this package would cost.
  const { isMainThread } = require('node:worker_threads') as typeof import('node:worker_threads');
  // Workers end before the main thread; what they began is waited for there.
  if (isMainThread) once(() => process.once('exit', () => found.atExit()));
  return found;
}

/** Does it once in a process: test runners load a package anew for each file, and its native half stays. */
function once(work: () => void): void {
  const done = Symbol.for('flyte-auth.at-exit');
  const flags = globalThis as { [done]?: boolean };
  if (flags[done]) return;
  flags[done] = true;
  work();
}

function whyNot(name: string, cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  // Also a package that is there without its file.
  if (code === 'MODULE_NOT_FOUND' && message.includes(name)) {
    return (
      `flyte-auth cannot load its native half: the package ${name} is not installed. npm installs it as an optional ` +
      'dependency of flyte-auth: install without --omit=optional (--no-optional, --ignore-optional). If the lock file ' +
      'was made on another platform (npm/cli#4828), remove it and node_modules, and install again'
    );
  }
  return (
    `flyte-auth cannot load its native half: ${name} is installed and this system does not load it: ${message}. ` +
    'Was node_modules copied from another system? Then install again here'
  );
}

/** Platform, architecture and C library of this process, as the packages are named. */
function tripleOf(): string {
  const { platform, arch } = process;
  if (platform === 'linux') return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}`;
  if (platform === 'win32') return `win32-${arch}-msvc`;
  return `${platform}-${arch}`;
}

/** Whether this process was started by musl's dynamic linker: its executable says so (ELF, PT_INTERP). */
function isMusl(): boolean {
  try {
    return interpreter(process.execPath)?.includes('musl') ?? false;
  } catch {
    return false;
  }
}

/** The dynamic linker that a 64-bit little-endian ELF file names. */
function interpreter(path: string): string | undefined {
  const file = openSync(path, 'r');
  try {
    const head = Buffer.alloc(4096);
    const length = readSync(file, head, 0, head.length, 0);
    const isElf = length >= 64 && head.readUInt32LE(0) === 0x464c457f && head[4] === 2 && head[5] === 1;
    if (!isElf) return undefined;
    const [table, size, count] = [Number(head.readBigUInt64LE(32)), head.readUInt16LE(54), head.readUInt16LE(56)];
    for (let at = table, left = count; left > 0 && at + 56 <= length; at += size, left -= 1) {
      const isInterpreter = head.readUInt32LE(at) === 3;
      if (isInterpreter) {
        const name = Buffer.alloc(Math.min(256, Number(head.readBigUInt64LE(at + 32))));
        readSync(file, name, 0, name.length, Number(head.readBigUInt64LE(at + 8)));
        return name.toString('latin1');
      }
    }
    return undefined;
  } finally {
    closeSync(file);
  }
}
