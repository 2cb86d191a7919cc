// Builds `dist/`: one implementation in CommonJS by tsc, and beside each entry point a wrapper for ES modules, so that both
// get the same classes.
import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);

rmSync(join(root, 'dist'), { recursive: true, force: true });
try {
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc')], { cwd: root, stdio: 'inherit' });
} catch {
  // It has said why.
  process.exit(1);
}

const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
for (const { require: entry } of Object.values(exports).filter((each) => typeof each === 'object')) {
  const file = join(root, entry.default);
  const name = entry.default.replace(/^.*\//, './');
  // By name: what a static reading of CommonJS finds differs between Node, Deno, Bun and bundlers.
  const names = Object.keys(require(file)).filter((each) => each !== 'default' && each !== '__esModule');
  const lines = names.map((each) => `export const ${each} = module.${each};`);
  writeFileSync(file.replace(/\.js$/, '.mjs'), [`import module from '${name}';`, ...lines, ''].join('\n'));
  writeFileSync(file.replace(/\.js$/, '.d.mts'), `export * from '${name}';\n`);
}

// What the modules say to each other names the native half's types; tsc does not copy them.
copyFileSync(join(root, 'src/native.d.ts'), join(root, 'dist/native.d.ts'));
