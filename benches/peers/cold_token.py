"""One process from cold to a client-credentials token: what each library's user would write.

    cold_token.py SUBJECT

From the environment: BENCH_TOKEN_ENDPOINT, BENCH_CLIENT_ID, BENCH_CLIENT_SECRET; for msal and azure-identity
BENCH_AUTHORITY (`https://HOST/TENANT`) and REQUESTS_CA_BUNDLE; for flyte-auth its own variables. Only the subject's own
modules are imported.
"""

import os
import sys


def settings():
    return (os.environ[f"BENCH_{name}"] for name in ("TOKEN_ENDPOINT", "CLIENT_ID", "CLIENT_SECRET"))


def empty():
    return True


def flyte_auth():
    from flyte_auth import Session

    return Session.from_config().headers()


def authlib():
    from authlib.integrations.requests_client import OAuth2Session

    endpoint, client_id, secret = settings()
    return OAuth2Session(client_id, secret).fetch_token(endpoint, grant_type="client_credentials")


def requests_oauthlib():
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    from oauthlib.oauth2 import BackendApplicationClient
    from requests_oauthlib import OAuth2Session

    endpoint, client_id, secret = settings()
    session = OAuth2Session(client=BackendApplicationClient(client_id=client_id))
    return session.fetch_token(endpoint, client_id=client_id, client_secret=secret)


def flytekit():
    from flytekit.clients.auth.token_client import get_basic_authorization_header, get_token

    endpoint, client_id, secret = settings()
    return get_token(endpoint, None, get_basic_authorization_header(client_id, secret))


def flyte():
    import asyncio

    from flyte.remote._client.auth._authenticators.client_credentials import ClientCredentialsAuthenticator
    from flyte.remote._client.auth._client_config import ClientConfig, StaticClientConfigStore

    endpoint, client_id, secret = settings()
    # Discovery's answer is given, and no keyring is looked for: that alone would be 230 ms.
    config = ClientConfig(token_endpoint=endpoint, authorization_endpoint="", redirect_uri="", client_id=client_id)
    ready = ClientCredentialsAuthenticator(
        client_id=client_id,
        client_credentials_secret=secret,
        endpoint=endpoint,
        cfg_store=StaticClientConfigStore(config),
        disable_keyring=True,
    )

    async def run():
        await ready.refresh_credentials()
        return await ready.get_auth_headers()

    return asyncio.run(run())


def msal():
    from msal import ConfidentialClientApplication

    _, client_id, secret = settings()
    app = ConfidentialClientApplication(
        client_id, client_credential=secret, authority=os.environ["BENCH_AUTHORITY"], instance_discovery=False
    )
    return app.acquire_token_for_client(["all/.default"])["access_token"]


def azure_identity():
    from azure.identity import ClientSecretCredential

    _, client_id, secret = settings()
    authority, _, tenant = os.environ["BENCH_AUTHORITY"].rpartition("/")
    ready = ClientSecretCredential(tenant, client_id, secret, authority=authority, disable_instance_discovery=True)
    return ready.get_token("all/.default").token


SUBJECTS = [empty, flyte_auth, authlib, requests_oauthlib, flytekit, flyte, msal, azure_identity]

found = next(subject for subject in SUBJECTS if subject.__name__.replace("_", "-") == sys.argv[1])()
assert found, f"{sys.argv[1]} got no token"
