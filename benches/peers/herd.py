"""The shipped Flyte clients in the benchmark's herd, and the login that all subjects start from.

herd.py sign-in ISSUER           signs Alice in without a browser; prints a record for `flyte_auth_testkit::seed`
herd.py flytekit|flyte ENDPOINT  one process: reads its stored tokens, says it is ready, waits for a line, then does
                                 what the client does with an expired token. Exit 4: it would open a browser.

Both clients run their own PKCE authenticator on their own keyring code; the keyring behind it is a file
(HERD_KEYRING), and discovery's answer is given, so that the refresh alone is measured.
"""

import asyncio
import fcntl
import json
import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SCOPES = "all offline"
WANTS_A_BROWSER = 4


def sign_in(url: str):
    sys.path.insert(0, str(REPOSITORY / "tests/e2e"))
    from harness.forms import expired, sign_in
    from harness.issuer import Issuer

    print(json.dumps(expired(sign_in(Issuer(url), "alice@example.org", SCOPES))))


def use_the_file_as_keyring():
    import keyring
    from keyring.backend import KeyringBackend

    class File(KeyringBackend):
        priority = 1
        path = os.environ["HERD_KEYRING"]

        def _edit(self, change):
            with open(self.path, "r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                items = json.load(file)
                answer = change(items)
                file.seek(0)
                file.truncate()
                json.dump(items, file)
                return answer

        def get_password(self, service, username):
            return self._edit(lambda items: items.get(f"{service} {username}"))

        def set_password(self, service, username, password):
            self._edit(lambda items: items.update({f"{service} {username}": password}))

        def delete_password(self, service, username):
            self._edit(lambda items: items.pop(f"{service} {username}", None))

    keyring.set_keyring(File())


def settings(endpoint: str) -> dict:
    return {
        "token_endpoint": f"{endpoint}/oauth2/token",
        "authorization_endpoint": f"{endpoint}/oauth2/authorize",
        "redirect_uri": "http://localhost:53593/callback",
        "client_id": "flytectl",
        "scopes": SCOPES.split(),
    }


def at_the_gate():
    print("ready", flush=True)
    sys.stdin.readline()


def would_open_a_browser(*_arguments):
    os._exit(WANTS_A_BROWSER)


def flytekit(endpoint: str):
    from flytekit.clients.auth.auth_client import AuthorizationClient
    from flytekit.clients.auth.authenticator import ClientConfig, PKCEAuthenticator, StaticClientConfigStore

    AuthorizationClient.get_creds_from_remote = would_open_a_browser
    client = PKCEAuthenticator(endpoint, StaticClientConfigStore(ClientConfig(**settings(endpoint))))
    assert client.get_credentials() is not None, "nobody is signed in"
    at_the_gate()
    client.refresh_credentials()


def flyte(endpoint: str):
    from flyte.remote._client.auth._authenticators.pkce import AuthorizationClient, PKCEAuthenticator
    from flyte.remote._client.auth._client_config import ClientConfig, StaticClientConfigStore

    AuthorizationClient.get_creds_from_remote = would_open_a_browser

    async def run():
        store = StaticClientConfigStore(ClientConfig(**settings(endpoint)))
        client = PKCEAuthenticator(endpoint=endpoint, cfg_store=store)
        credentials = client.get_credentials()
        assert credentials is not None, "nobody is signed in"
        at_the_gate()
        await client.refresh_credentials(credentials.id)

    asyncio.run(run())


def main():
    subject, place = sys.argv[1:]
    if subject == "sign-in":
        sign_in(place)
        return
    use_the_file_as_keyring()
    {"flytekit": flytekit, "flyte": flyte}[subject](place)


main()
