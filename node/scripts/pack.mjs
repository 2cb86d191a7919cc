// Packs what npm publishes into a folder: `flyte-auth-VERSION.tgz`, and with a native library the package of its platform.
//
//   node scripts/pack.mjs --out DIR [--library FILE [--triple TRIPLE]]
//
// `dist/` must be built. The packages of all platforms become optional dependencies of the exact same version here and not
// in `package.json`, so that a lock file for development asks no registry for them.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { here, PLATFORMS } from './platforms.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** `npm pack` of a folder with these files. */
function pack(out, description, files) {
  const folder = mkdtempSync(join(tmpdir(), 'flyte-auth-pack-'));
  try {
    for (const [name, from] of Object.entries(files)) cpSync(from, join(folder, name), { recursive: true });
    writeFileSync(join(folder, 'package.json'), `${JSON.stringify(description, null, 2)}\n`);
    const npm = ['pack', '--silent', '--ignore-scripts', '--pack-destination', out];
    const packed = execFileSync('npm', npm, { cwd: folder, encoding: 'utf8', shell: process.platform === 'win32' });
    return join(out, packed.trim());
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The package itself. */
export function packRoot(out) {
  const { scripts: _scripts, devDependencies: _devDependencies, ...published } = manifest;
  const names = Object.keys(PLATFORMS).map((triple) => `flyte-auth-${triple}`);
  published.optionalDependencies = Object.fromEntries(names.map((name) => [name, manifest.version]));
  return pack(out, published, {
    'README.md': join(root, 'README.md'),
    LICENSE: join(root, '../LICENSE'),
    bin: join(root, 'bin'),
    dist: join(root, 'dist'),
  });
}

/** The package of one platform, with its library. */
export function packPlatform(out, triple, library) {
  const platform = PLATFORMS[triple];
  if (!platform) throw new Error(`${triple} is none of ${Object.keys(PLATFORMS).join(', ')}`);
  const { version, homepage, bugs, repository, license, author, engines } = manifest;
  const file = `flyte-auth.${triple}.node`;
  const description = {
    name: `flyte-auth-${triple}`,
    version,
    description: `The native half of flyte-auth for ${triple}`,
    ...{ homepage, bugs, repository, license, author, engines },
    ...platform,
    main: file,
    files: [file],
    // pnpm and Yarn: a shared library is loaded from a real file.
    preferUnplugged: true,
  };
  return pack(out, description, {
    'README.md': join(root, 'npm/README.md'),
    LICENSE: join(root, '../LICENSE'),
    [file]: library,
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const texts = { out: { type: 'string' }, library: { type: 'string' }, triple: { type: 'string' } };
  const { out, library, triple } = parseArgs({ options: texts }).values;
  if (!out) throw new Error('node scripts/pack.mjs --out DIR [--library FILE [--triple TRIPLE]]');
  mkdirSync(out, { recursive: true });
  console.log(packRoot(resolve(out)));
  if (library) console.log(packPlatform(resolve(out), triple ?? here(), library));
}
