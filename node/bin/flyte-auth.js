#!/usr/bin/env node
'use strict';

// `npx flyte-auth …`: the command line of the native half. The argv that starts it again names this file, by which Flyte's
// clients, and flyte-auth itself, find it whatever their PATH is.
const { addon } = require('../dist/addon.js');

process.exitCode = addon().runCli([process.execPath, __filename], process.argv.slice(2));
