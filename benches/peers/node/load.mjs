// One process that does nothing but load a package: `node load.mjs [PACKAGE [native]]`. With `native` the native
// library too, which flyte-auth loads with its first use: a session is made.
const [, , name, native] = process.argv;
if (name) {
  const { Session } = await import(name);
  if (native) Session.forEndpoint('http://127.0.0.1:9');
}
