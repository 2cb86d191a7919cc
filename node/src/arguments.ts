/** Names and types of arguments. What their values mean is Rust's to decide. */

import { fileURLToPath } from 'node:url';

const EXPECTED = {
  string: 'a string',
  strings: 'an array of strings',
  texts: 'a string or an array of strings',
  record: 'an object of strings',
  path: 'a string or a file: URL',
  boolean: 'a boolean',
  number: 'a number',
  count: 'a whole number from 0 to 4294967295',
  millis: 'a number of milliseconds from 1 to 2147483647',
  seconds: 'a whole number of seconds, in milliseconds',
  list: 'an array',
  json: 'an object or its JSON',
  function: 'a function',
  signal: 'an AbortSignal',
} as const;

/** What an option takes. */
export type Kind = keyof typeof EXPECTED;

/** An option's name and kind. */
export type Table = Readonly<Record<string, Kind>>;

/**
 * The options that were given, by name; those that are undefined count as not given.
 *
 * @throws {TypeError} no object, an option that is none, a value of another type: the message names it.
 */
export function checked<T extends object>(options: T | undefined, table: Table, called = 'options'): T {
  const given: Record<string, unknown> = {};
  if (options === undefined) return given as T;
  // A list, a map or a signal given in their place has no option by name, and would count as none.
  if (Object.prototype.toString.call(options) !== '[object Object]') {
    throw new TypeError(`${called} must be an object, not ${typeName(options)}`);
  }
  for (const [name, value] of Object.entries(options)) {
    const kind = Object.hasOwn(table, name) ? table[name] : undefined;
    if (kind === undefined) throw new TypeError(unknownOption(name, Object.keys(table)));
    if (value !== undefined) given[name] = checkedValue(name, value, kind);
  }
  return given as T;
}

/** `value` if it is of that kind; a path as text, lists and records as copies. */
export function checkedValue(name: string, value: unknown, kind: Kind): unknown {
  switch (kind) {
    case 'string':
      if (isText(value)) return value;
      break;
    case 'strings':
      if (Array.isArray(value) && value.every(isText)) return [...value];
      break;
    case 'texts':
      if (isText(value)) return [value];
      if (Array.isArray(value) && value.every(isText)) return [...value];
      break;
    case 'record':
      if (isPlainObject(value) && Object.entries(value).flat().every(isText)) return { ...value };
      break;
    case 'path':
      if (isText(value)) return value;
      if (value instanceof URL && value.protocol === 'file:') return fileURLToPath(value);
      break;
    case 'count':
      if (Number.isInteger(value) && value === (value as number) >>> 0) return value;
      break;
    case 'millis':
      // More is what no timer takes.
      if (typeof value === 'number' && value >= 1 && value <= 0x7fffffff) return value;
      break;
    case 'seconds':
      if (Number.isSafeInteger(value) && (value as number) % 1000 === 0) return value;
      break;
    case 'list':
      if (Array.isArray(value)) return [...(value as unknown[])];
      break;
    case 'json':
      if (isText(value)) return value;
      if (isPlainObject(value)) return JSON.stringify(value);
      break;
    case 'signal':
      if (isSignal(value)) return value;
      break;
    default:
      if (typeof value === kind) return value;
  }
  throw new TypeError(`${name} must be ${EXPECTED[kind]}, not ${typeName(value)}`);
}

/** As `checkedValue` for an argument that must be a string. */
export function text(name: string, value: unknown): string {
  return checkedValue(name, value, 'string') as string;
}

// Half a surrogate pair would reach Rust as another character.
function isText(value: unknown): value is string {
  return typeof value === 'string' && value.isWellFormed();
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}

// Not by `instanceof`: another realm's serves as well.
function isSignal(value: unknown): value is AbortSignal {
  return typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value;
}

/** A value's type as a person calls it; never the value, which may be a secret. */
export function typeName(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return value.every(isText) ? 'an array' : 'an array of something else';
  if (typeof value === 'string') return value.isWellFormed() ? 'a string' : 'a string with half a surrogate pair';
  if (typeof value !== 'object') return `a ${typeof value}`;
  const name: unknown = value.constructor?.name;
  return typeof name === 'string' && /^[A-Z]\w{0,40}$/.test(name) && name !== 'Object' ? `${name}` : 'an object';
}

function unknownOption(name: string, names: readonly string[]): string {
  // A long name is no mistyped one, and may be a secret.
  const shown = /^[\w-]{1,40}$/.test(name) ? name : `${name.slice(0, 8).replace(/\W/g, '?')}…`;
  const plain = name.slice(0, 40).toLowerCase().replaceAll(/[_-]/g, '');
  const [near] = names
    .map((each) => ({ each, distance: distance(plain, each.toLowerCase()) }))
    .filter(({ each, distance }) => distance <= (each.length < 5 ? 1 : 2))
    .sort((one, other) => one.distance - other.distance);
  return near ? `there is no option ${shown}; did you mean ${near.each}?` : `there is no option ${shown}`;
}

/** How many letters were left out, added, changed or swapped. */
function distance(one: string, other: string): number {
  let [before, last] = [new Array<number>(), Array.from({ length: other.length + 1 }, (_, index) => index)];
  for (let row = 1; row <= one.length; row += 1) {
    const next = [row];
    for (let column = 1; column <= other.length; column += 1) {
      const same = one[row - 1] === other[column - 1];
      const ways = [last[column]! + 1, next[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1)];
      if (row > 1 && column > 1 && one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1]) {
        ways.push(before[column - 2]! + 1);
      }
      next.push(Math.min(...ways));
    }
    [before, last] = [last, next];
  }
  return last[other.length]!;
}
