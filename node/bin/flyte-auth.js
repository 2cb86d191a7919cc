#!/usr/bin/env node
'use strict';

// `npx flyte-auth …`: the command line of the native half. The argv that starts it again names this file, by which Flyte's
// clients, and flyte-auth itself, find it whatever their PATH is.
const { addon } = require('../dist/addon.js');

// Node's own handlers raise the signal again, for ever where somebody else's handler comes first. Without them the command
// line ends by it, or catches it itself: libuv restores the default when the last listener goes.
for (const signal of ['SIGINT', 'SIGTERM']) {
  const listener = () => {};
  process.on(signal, listener).off(signal, listener);
}

process.exitCode = addon().runCli([process.execPath, __filename], process.argv.slice(2));
