"""Makes every object and provokes every kind of error with canaries for secrets, and looks for them in every text.

Arguments: an endpoint, its issuer, an address where nobody listens. CANARY: what no text may hold.
"""

import io
import os
import sys
import traceback

from flyte_auth import Session, Verifier
from telling import tell

endpoint, issuer, closed = sys.argv[1:]
canary = os.environ["CANARY"]
HALF_A_CHARACTER = chr(0xD800)
said = io.StringIO()


def says(*things):
    for thing in things:
        inside = [thing], {"x": thing}, getattr(thing, "__dict__", None)
        print(str(thing), repr(thing), f"{thing}", f"{thing!r}", *inside, sep="\n", file=said)


def tells(error):
    """All that is in an error and in its causes."""
    while error is not None:
        says(error, error.args, *getattr(error, "__notes__", []), error.__reduce__())
        names = [name for name in dir(error) if not name.startswith("__")]
        says(*(value for name in names if not callable(value := getattr(error, name, None))))
        # Without the lines of this program, which name what it passes.
        traceback.print_exception(error, file=said, limit=0)
        error = error.__cause__ or error.__context__


def fails(work):
    try:
        says(work())
    except Exception as error:
        tells(error)


def opens(**options):
    try:
        session = Session(**{"endpoint": endpoint, "store": "memory", **options})
    except Exception as error:
        tells(error)
    else:
        says(session, *session.warnings)
        for method in ("status", "token", "whoami", "logout"):
            fails(getattr(session, method))


machine = {"client_id": "flytepropeller", "client_secret": f"{canary}-secret", "auth_type": "ClientSecret"}
opens(**machine)
opens(**{**machine, "auth_type": "Pkce"})
opens(**machine, http_proxy_url=f"http://somebody:{canary}@{closed.removeprefix('http://')}")
opens(**{**machine, "endpoint": closed})
opens(**{**machine, "client_secret": [canary]})
opens(**{**machine, "client_secret": canary.encode()})
opens(**{**machine, "client_secret": canary + HALF_A_CHARACTER})
opens(**{**machine, "client_secret": canary + "\n\0"})
opens(**{**machine, "client_id": None})
opens(**{**machine, "auth_type": "wrong"})
opens(**{**machine, "endpoint": f"http://somebody:{canary}@127.0.0.1:1"})
opens(http_proxy_url=f"ftp://somebody:{canary}@x")
opens(issuer=f"https://somebody:{canary}@x")
opens(extra_params={"client_secret": canary})
opens(extra_params=[canary])
opens(extra_params={canary: 1})
opens(extra_params={"x": canary + HALF_A_CHARACTER})

asking = {"issuer": issuer, "any_audience": True, "introspection_client_id": "x", "introspection_client_secret": canary}
verifier = Verifier(**asking)
says(verifier)
for token in (
    canary,
    f"{canary}.{canary}.{canary}",
    f"eyJhbGciOiJub25lIn0.{canary}.",
    canary + HALF_A_CHARACTER,
    [canary],
):
    fails(lambda token=token: verifier.verify(token))
    fails(lambda token=token: verifier.verify_id_token(token, client_id="x"))
    fails(lambda token=token: verifier.verify_id_token("a.b.c", client_id="x", nonce=token, access_token=token))
    fails(lambda token=token: verifier.verify_logout_token(token, client_id="x"))
for wrong in (
    {"introspection_client_secret": [canary]},
    {"introspection_client_secret": canary + HALF_A_CHARACTER},
    {"introspection_client_id": None},
    {"introspection_endpoint": f"http://somebody:{canary}@x"},
    {"jwks": {"keys": [{"kty": "oct", "k": canary}]}},
    {"jwks": canary},
):
    fails(lambda wrong=wrong: Verifier(**{**asking, **wrong}))

texts = said.getvalue().splitlines()
tell(texts=len(texts), leaks=[line.replace(canary, "<HERE>") for line in texts if canary in line])
