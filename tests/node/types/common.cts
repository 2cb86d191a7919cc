// As CommonJS sees the package.
import flyteAuth = require('flyte-auth');
import testing = require('flyte-auth/testing');

export const session: flyteAuth.Session = flyteAuth.Session.fromConfig();
export const server: Promise<testing.Sandbox> = testing.sandbox();
