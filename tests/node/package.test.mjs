// The packages as a user gets them: packed, installed by npm into an empty folder, and used only from there.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Home } from './harness/home.mjs';
import { Registry } from './harness/registry.mjs';
import { MACHINE, Sandbox } from './harness/sandbox.mjs';

const require = createRequire(import.meta.url);
/** What `scripts/node.sh install` packed. */
const PACKED = fileURLToPath(new URL('../../target/npm/', import.meta.url));
const home = new Home();
const files = readdirSync(PACKED).map((name) => join(PACKED, name));
const manifestOf = (file) =>
  JSON.parse(execFileSync('tar', ['-xOzf', file, 'package/package.json'], { encoding: 'utf8' }));
const [main] = files.filter((file) => manifestOf(file).name === 'flyte-auth');
const [native] = files.filter((file) => file !== main);
const manifest = manifestOf(main);
const { name: nativeName } = manifestOf(native);
let registry, server;
before(async () => {
  registry = await Registry.start([main, native, ...others()]);
  server = await Sandbox.start();
});
after(async () => {
  registry.stop();
  await server.stop();
  home.remove();
});

/** Packages of the other platforms, which npm must leave alone. */
function others() {
  const platforms = { 'flyte-auth-darwin-arm64': ['darwin', 'arm64'], 'flyte-auth-win32-x64-msvc': ['win32', 'x64'] };
  return Object.entries(platforms).map(([name, [os, cpu]]) => {
    const folder = join(home.path, name);
    mkdirSync(folder);
    writeFileSync(
      join(folder, 'package.json'),
      JSON.stringify({ name, version: manifest.version, os: [os], cpu: [cpu] }),
    );
    execFileSync('npm', ['pack', '--silent', '--pack-destination', home.path], { cwd: folder, env: home.env() });
    return join(home.path, `${name}-${manifest.version}.tgz`);
  });
}

/** A command's exit code and what it said. */
function run(command, args, { cwd, env = {} }) {
  return new Promise((resolve) =>
    execFile(command, args, { cwd, env: home.env(env), timeout: 120_000 }, (error, stdout, stderr) =>
      resolve({ code: error ? (error.code ?? 1) : 0, stdout, stderr }),
    ),
  );
}

/** An empty folder into which npm has installed that. */
async function installed(...args) {
  const cwd = mkdtempSync(join(home.path, 'user-'));
  writeFileSync(join(cwd, 'package.json'), '{"name":"user","private":true}');
  const npm = [
    'install',
    '--no-audit',
    '--no-fund',
    '--no-update-notifier',
    '--fetch-retries=0',
    '--registry',
    registry.url,
    ...args,
  ];
  const { code, stderr } = await run('npm', npm, { cwd });
  assert.equal(code, 0, stderr);
  return cwd;
}

const USES = `
  const session = Session.forEndpoint(process.argv[2], { ...${JSON.stringify(MACHINE)}, store: 'memory' });
  session.token().then((token) => console.log(JSON.stringify({ has: token.value.length > 100 })));
`;

/** Everything through public imports, and the command. */
async function works(cwd) {
  const programs = {
    'esm.mjs': `import { Session } from 'flyte-auth';${USES}`,
    'common.cjs': `const { Session } = require('flyte-auth');${USES}`,
    'typed.mts': `import { Session, type Token } from 'flyte-auth';
      const token: Token | null = await Session.forEndpoint(process.argv[2] ?? '').token(); console.log(token?.expiresAt);`,
  };
  for (const [name, source] of Object.entries(programs)) writeFileSync(join(cwd, name), source);
  for (const name of ['esm.mjs', 'common.cjs']) {
    const { code, stdout, stderr } = await run(process.execPath, [name, server.http], { cwd });
    assert.deepEqual([code, stdout], [0, '{"has":true}\n'], stderr);
  }
  const shown = await run('npx', ['--no-install', 'flyte-auth', '--version'], { cwd });
  assert.equal(shown.stdout, `flyte-auth ${manifest.version}\n`, shown.stderr);
  const nobody = await run('npx', ['--no-install', 'flyte-auth', 'token', '--endpoint', server.http], { cwd });
  assert.deepEqual([nobody.code, nobody.stdout], [4, ''], nobody.stderr);
  assert.match(nobody.stderr, /not signed in/);
}

test('from the registry: this platform alone, and nothing else', async () => {
  registry.asked.length = 0;
  const cwd = await installed('flyte-auth');
  const names = readdirSync(join(cwd, 'node_modules')).filter((name) => !name.startsWith('.'));
  assert.deepEqual(names.sort(), ['flyte-auth', nativeName].sort(), 'it needs nothing else');
  // Those of platforms that are not published yet were asked for, and are not there.
  assert(registry.asked.includes('flyte-auth-linux-arm64-musl'));
  await works(cwd);
});

test('from the two files', async () => works(await installed(main, native)));

for (const moduleResolution of ['node16', 'nodenext', 'bundler']) {
  test(`a TypeScript program that is compiled (${moduleResolution}) and run`, async () => {
    const cwd = await installed('flyte-auth');
    const source = `import { Session, type Token } from 'flyte-auth';
      const options = ${JSON.stringify(MACHINE)};
      const token: Token | null = await Session.forEndpoint(process.argv[2] ?? '', { ...options, store: 'memory' }).token();
      console.log(JSON.stringify({ has: (token?.value.length ?? 0) > 100 }));`;
    writeFileSync(join(cwd, 'program.mts'), source);
    const tsc = join(fileURLToPath(new URL('node_modules/typescript/bin/tsc', import.meta.url)));
    const typeRoots = fileURLToPath(new URL('node_modules/@types', import.meta.url));
    const module = moduleResolution === 'bundler' ? 'esnext' : moduleResolution;
    const settings = ['--strict', '--target', 'es2022', '--module', module, '--moduleResolution', moduleResolution];
    const compiled = await run(
      process.execPath,
      [tsc, ...settings, '--typeRoots', typeRoots, '--types', 'node', 'program.mts'],
      { cwd },
    );
    assert.equal(compiled.code, 0, compiled.stdout);
    const { code, stdout, stderr } = await run(process.execPath, ['program.mjs', server.http], { cwd });
    assert.deepEqual([code, stdout], [0, '{"has":true}\n'], stderr);
  });
}

/** What the first use says where the native half cannot be loaded; the import itself works. */
async function saidBy(cwd, prelude = '') {
  const source = `${prelude}
    const { FlyteAuthError, Session } = require('flyte-auth');
    try {
      Session.forEndpoint('http://127.0.0.1:1');
    } catch (error) {
      console.log(JSON.stringify({ message: error.message, cause: String(error.cause), ours: error instanceof FlyteAuthError }));
    }`;
  const { stdout, stderr } = await run(process.execPath, ['-e', source], { cwd });
  assert(stdout, stderr);
  return JSON.parse(stdout);
}

test('the native half was left out', async () => {
  const cwd = await installed('--omit=optional', 'flyte-auth');
  assert(!existsSync(join(cwd, 'node_modules', nativeName)));
  const { message, cause, ours } = await saidBy(cwd);
  assert(message.includes(`the package ${nativeName} is not installed`), message);
  assert.match(message, /install without --omit=optional/);
  assert.match(message, /npm\/cli#4828/);
  assert(!message.includes('\n'));
  assert.match(cause, /Cannot find module/);
  assert.equal(ours, false);
  const command = await run('npx', ['--no-install', 'flyte-auth', '--version'], { cwd });
  assert.equal(command.code, 1);
  assert(command.stderr.includes(`the package ${nativeName} is not installed`));
});

test('the native half is of another version', async () => {
  const cwd = await installed('flyte-auth');
  const path = join(cwd, 'node_modules/flyte-auth/package.json');
  writeFileSync(path, JSON.stringify({ ...manifest, version: '9.9.9' }));
  const { message } = await saidBy(cwd);
  assert(message.includes(`flyte-auth 9.9.9 found ${nativeName} ${manifest.version}`), message);
});

test('the native half is none, or not for this system', async () => {
  const cwd = await installed('flyte-auth');
  const folder = join(cwd, 'node_modules', nativeName);
  const [library] = readdirSync(folder).filter((name) => name.endsWith('.node'));
  writeFileSync(join(folder, library), 'made up');
  const { message, cause } = await saidBy(cwd);
  assert(message.includes(`${nativeName} is installed and this system does not load it`), message);
  assert.match(message, /copied from another system/);
  assert.notEqual(cause, 'undefined');
  rmSync(join(folder, library));
  assert((await saidBy(cwd)).message.includes(`the package ${nativeName} is not installed`));
});

test('a platform that there is no native half for', async () => {
  const cwd = await installed('flyte-auth');
  const { message } = await saidBy(cwd, "Object.defineProperty(process, 'arch', { value: 's390x' });");
  assert.match(message, /no native half for \w+-s390x.*It runs on darwin-arm64, .*linux-x64-gnu/);
});

test('the C library is that of the running executable', { skip: process.platform !== 'linux' }, async () => {
  const cwd = await installed('flyte-auth');
  for (const [linker, libc] of [
    ['/lib/ld-musl-x86_64.so.1', 'musl'],
    ['/lib64/ld-linux-x86-64.so.2', 'gnu'],
  ]) {
    const path = join(cwd, `of-${libc}`);
    writeFileSync(path, executable(linker));
    // The package for musl is in no registry here: its name tells what was looked for.
    const prelude = `Object.defineProperty(process, 'execPath', { value: ${JSON.stringify(path)} });`;
    const source = `${prelude} require('flyte-auth').Session.forEndpoint('http://127.0.0.1:1');`;
    const { code, stderr } = await run(process.execPath, ['-e', source], { cwd });
    if (nativeName.endsWith(libc)) assert.equal(code, 0, stderr);
    else assert.match(stderr, new RegExp(`the package flyte-auth-linux-\\w+-${libc} is not installed`));
  }
});

/** The head of an ELF file that names this dynamic linker. */
function executable(linker) {
  const bytes = Buffer.alloc(256);
  bytes.write('\x7fELF\x02\x01\x01', 'latin1');
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(1, 56);
  bytes.writeUInt32LE(3, 64);
  bytes.writeBigUInt64LE(128n, 72);
  bytes.writeBigUInt64LE(BigInt(linker.length + 1), 96);
  bytes.write(linker, 128, 'latin1');
  return bytes;
}

test("the package's own description", () => {
  assert.equal(manifest.license, 'Apache-2.0');
  assert.equal(manifest.engines.node, '>=20');
  assert.equal(manifest.sideEffects, false);
  for (const name of ['scripts', 'dependencies', 'devDependencies']) assert(!(name in manifest), `no ${name}`);
  for (const version of Object.values(manifest.optionalDependencies)) assert.equal(version, manifest.version);
  assert.equal(Object.keys(manifest.optionalDependencies).length, 7);
  for (const peer of Object.keys(manifest.peerDependencies))
    assert.equal(manifest.peerDependenciesMeta[peer].optional, true);
  const description = manifestOf(native);
  assert.deepEqual([description.os, description.cpu], [[process.platform], [process.arch]]);
  assert.equal(description.version, manifest.version);
  const crates = readFileSync(new URL('../../Cargo.toml', import.meta.url), 'utf8');
  assert(crates.includes(`version = "${manifest.version}"`), 'both halves are of one version');
});

test('what is in the packages, and nothing else', () => {
  const list = (file) =>
    execFileSync('tar', ['-tzf', file], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map((name) => name.slice('package/'.length));
  const inside = list(main);
  for (const name of ['README.md', 'LICENSE', 'package.json', 'bin/flyte-auth.js']) assert(inside.includes(name), name);
  const rest = inside.filter(
    (name) =>
      !/^(README\.md|LICENSE|package\.json|bin\/flyte-auth\.js|dist\/[\w/]+\.(js|mjs|d\.ts|d\.mts))$/.test(name),
  );
  assert.deepEqual(rest, []);
  // Every entry point is there, for both kinds of modules, with types.
  for (const entry of Object.values(manifest.exports)) {
    if (typeof entry === 'string') continue;
    for (const { types, default: code } of [entry.import, entry.require]) {
      for (const name of [types, code]) assert(inside.includes(name.slice(2)), name);
    }
  }
  const [library] = Object.values(list(native)).filter((name) => name.endsWith('.node'));
  assert.deepEqual(list(native).sort(), ['LICENSE', 'README.md', library, 'package.json'].sort());
});

test('every entry point loads, for both kinds of modules, with the same exports', async () => {
  for (const path of Object.keys(manifest.exports)) {
    const name = `flyte-auth${path.slice(1)}`;
    if (name.endsWith('package.json')) continue;
    const { default: _, ...common } = require(name);
    const { default: __, ...modern } = await import(name);
    assert.deepEqual({ ...modern }, { ...common }, name);
    assert(Object.keys(modern).length > 0, name);
  }
});
