"""Signing in without a browser or a port: authorization code with PKCE, forms filled in by a program."""

import base64
import hashlib
import re
import secrets
import time
from html import unescape
from urllib.parse import parse_qs, urljoin, urlsplit

import requests

from harness.issuer import Issuer

# Never listened on: the code is read from the redirect's own address.
REDIRECT = "http://127.0.0.1/callback"
_FORM = re.compile(r"<form[^>]*action=\"([^\"]+)\"")
_HIDDEN = re.compile(r"<input[^>]*type=\"hidden\"[^>]*name=\"([^\"]+)\"[^>]*value=\"([^\"]*)\"")


def sign_in(issuer: Issuer, user: str, scopes: str, client_id="flytectl") -> dict:
    """A record for `flyte-auth-worker seed`: the tokens of a person who has just signed in."""
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": REDIRECT,
        "scope": scopes,
        "state": secrets.token_urlsafe(8),
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        # oidc-provider grants offline access to those only who are asked for it.
        "prompt": "consent",
    }
    with requests.Session() as browser:
        browser.trust_env = False
        browser.verify = issuer.verify
        reply = browser.get(issuer.metadata["authorization_endpoint"], params=asked, allow_redirects=False, timeout=30)
        for _ in range(20):
            if reply.is_redirect:
                target = urljoin(reply.url, reply.headers["location"])
                if target.startswith(REDIRECT):
                    break
                reply = browser.get(target, allow_redirects=False, timeout=30)
            else:
                reply.raise_for_status()
                form = dict(_HIDDEN.findall(reply.text))
                form.update({"login": user, "password": "any"} if form.get("prompt") == "login" else {})
                action = urljoin(reply.url, unescape(_FORM.search(reply.text).group(1)))
                reply = browser.post(action, data=form, allow_redirects=False, timeout=30)
        code = parse_qs(urlsplit(target).query)["code"][0]
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT,
            "client_id": client_id,
            "code_verifier": verifier,
        }
        asked_at = time.time()
        reply = browser.post(issuer.metadata["token_endpoint"], data=form, timeout=30)
        reply.raise_for_status()
    tokens = reply.json()
    return {
        "issuer": issuer.metadata["issuer"],
        "client_id": client_id,
        "scopes": scopes.split(),
        "access_token": tokens["access_token"],
        "refresh_token": tokens["refresh_token"],
        "obtained_at": int(asked_at * 1000),
        "expires_at": int((asked_at + tokens["expires_in"]) * 1000),
    }


def expired(record: dict) -> dict:
    """The record a day later: its access token is over, its refresh token is not."""
    day = 86_400_000
    return {**record, "obtained_at": record["obtained_at"] - day, "expires_at": record["expires_at"] - day}
