// Signs tokens with npm's jose: reads {"algorithms": [...], "tokens": [{"alg", "header", "claims"}]} from stdin and prints
// {"keys": [public JWKs], "tokens": [...]}. The kid of each key is "jose-" and its algorithm.
import { SignJWT, exportJWK, generateKeyPair } from 'jose';

let input = '';
for await (const chunk of process.stdin) input += chunk;
const { algorithms, tokens } = JSON.parse(input);

const pairs = {};
for (const alg of algorithms) pairs[alg] = await generateKeyPair(alg);
const keys = [];
for (const [alg, { publicKey }] of Object.entries(pairs)) {
  keys.push({ ...(await exportJWK(publicKey)), alg, use: 'sig', kid: `jose-${alg}` });
}
const signed = [];
for (const { alg, header, claims } of tokens) {
  signed.push(await new SignJWT(claims).setProtectedHeader(header).sign(pairs[alg].privateKey));
}
console.log(JSON.stringify({ keys, tokens: signed }));
