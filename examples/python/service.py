"""A service of your own that takes Flyte's tokens.

    python service.py ISSUER AUDIENCE
    flyte-auth header --endpoint HOST | curl -H @- http://127.0.0.1:PORT/me

ISSUER is the `iss` of the tokens, AUDIENCE their `aud` (`flyte-auth status` and `flyte-auth token` tell). Prints the
address that it listens on.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import flyte_auth


class Refused(Exception):
    """What a refused request is told (RFC 6750 section 3)."""

    def __init__(self, status: int, error: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.error = error


def verified(verifier: flyte_auth.Verifier, authorization: str) -> flyte_auth.VerifiedToken:
    """The token of a request's `Authorization` header."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(401, "invalid_request", "a bearer token is required")
    try:
        return verifier.verify(token)
    except flyte_auth.AccessDeniedError as error:
        if error.code == "insufficient_scope":
            raise Refused(403, "insufficient_scope", str(error)) from error
        raise Refused(401, "invalid_token", str(error)) from error
    except flyte_auth.FlyteAuthError as error:
        # The issuer does not answer: that says nothing of the caller.
        raise Refused(503, "temporarily_unavailable", "try again") from error


def handler(verifier: flyte_auth.Verifier) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                token = verified(verifier, self.headers.get("Authorization", ""))
            except Refused as refused:
                self.send_response(refused.status)
                self.send_header("WWW-Authenticate", f'Bearer error="{refused.error}"')
                text = str(refused)
            else:
                self.send_response(200)
                text = f"{token.subject} by {token.client_id} may {' '.join(token.scopes)}"
            self.end_headers()
            self.wfile.write(f"{text}\n".encode())

    return Handler


def main(issuer: str, audience: str) -> None:
    verifier = flyte_auth.Verifier(issuer=issuer, audience=audience, required_scopes=["all"])
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(verifier))
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:3])
