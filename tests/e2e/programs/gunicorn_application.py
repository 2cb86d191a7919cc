"""A WSGI application that asks for a header at its import (with `--preload` in the master) and at each request."""

import json
import os

import flyte_auth
from telling import digest_of

session = flyte_auth.Session.from_config()
session.headers()


def application(environ, start_response):
    """`POST`: the token was rejected; the answer tells the next one's hash."""
    if environ["REQUEST_METHOD"] == "POST":
        session.invalidate()
    body = json.dumps({"pid": os.getpid(), "hash": digest_of(session.headers())}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
