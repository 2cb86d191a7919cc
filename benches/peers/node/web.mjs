// What a signed-in session's requests cost through a console's sign-in middleware: `node web.mjs [--quick]`.
//
// The same Express and the same page for all; each app in a process of its own, the load in another, keep-alive over 32
// connections. The cookie is that of a real sign-in at oidc-provider. The apps take turns.
import { fileURLToPath } from 'node:url';

import { Issuer } from '../../../tests/node/harness/issuer.mjs';
import { Program } from '../../../tests/node/harness/program.mjs';
import { Visitor } from '../../../tests/node/harness/visitor.mjs';
import { inTurn, median, quick, ratio, row } from './common.mjs';

const RATE = "a signed-in session's requests";
const CPU = "CPU of a signed-in session's request";
const PEER = 'express-openid-connect';
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

async function started(issuer, kind) {
  const program = new Program(here('web_app.mjs'));
  program.say({ port: 0 });
  const { port } = await program.line();
  const baseURL = `http://localhost:${port}`;
  const client = await issuer.registerApp(baseURL);
  program.say({ kind, issuer: issuer.url, ...client, baseURL, secret: 'only-for-benchmarks-'.repeat(3) });
  await program.line();
  const [visitor, url] = [new Visitor(), `${baseURL}/console`];
  const { status, text } = await visitor.walk(url);
  if (status !== 200 || text !== 'Hello alice') throw new Error(`${kind}: ${status} ${text}\n${program.output}`);
  return { program, url, cookie: visitor.jar.header(url) };
}

const running = [];
try {
  const issuer = await Issuer.start();
  running.push(issuer);
  const apps = {};
  for (const kind of ['flyte-auth', PEER, 'Express alone']) {
    apps[kind] = await started(issuer, kind);
    running.push(apps[kind].program);
  }
  const load = new Program(here('web_load.mjs'));
  running.push(load);

  const cpu = async (program) => {
    program.say({});
    return (await program.line()).cpu;
  };
  const costs = Object.fromEntries(Object.keys(apps).map((kind) => [kind, []]));
  const rates = await inTurn(apps, quick ? 5 : 11, async ({ program, url, cookie }, kind) => {
    const before = await cpu(program);
    load.say({ url, cookie, connections: 32, seconds: quick ? 1 : 3 });
    const { requests, seconds } = await load.line();
    costs[kind].push(((await cpu(program)) - before) / requests);
    return requests / seconds;
  });
  for (const [kind, each] of Object.entries(rates)) row(RATE, kind, median(each), 'per second');
  for (const [kind, each] of Object.entries(costs)) row(CPU, kind, median(each.slice(1)), 'us CPU');
  row(RATE, 'limit', median(rates[PEER]), 'per second');
  row(`${RATE}, times ${PEER}'s rate`, 'flyte-auth', ratio(rates['flyte-auth'], rates[PEER]), 'x');
  row(`${RATE}, times ${PEER}'s rate`, 'limit', 1, 'x');
} finally {
  for (const program of running.reverse()) await program.stop();
}
