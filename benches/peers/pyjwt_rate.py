"""PyJWT on the benchmark's tokens: reads the order on standard input, prints verifications per second (best of 5)."""

import json
import sys
import time

import jwt

order = json.load(sys.stdin)
key = jwt.PyJWK(order["jwk"]).key


def rate() -> float:
    started = time.perf_counter()
    for token in order["tokens"]:
        jwt.decode(
            token,
            key,
            algorithms=[order["algorithm"]],
            audience=order["audience"],
            issuer=order["issuer"],
            options={"require": ["exp", "iat", "iss", "aud"]},
        )
    return len(order["tokens"]) / (time.perf_counter() - started)


print(max(rate() for _ in range(5)))
