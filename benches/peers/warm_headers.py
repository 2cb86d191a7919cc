"""Nanoseconds for a warm header, one subject after another in turn, and the rate of 32 threads beside one.

    warm_headers.py ENDPOINT CLIENT_ID CLIENT_SECRET [--quick]

Prints JSON lines: {"case", "subject", "value", "unit"}. Every subject has its token before it is measured; what each
does to answer (an expiry check, a copy of a request) is its own affair.
"""

import json
import statistics
import sys
import threading
import time


def flyte_auth_headers(endpoint, client_id, secret):
    import flyte_auth

    session = flyte_auth.Session.for_endpoint(endpoint, client_id=client_id, client_secret=secret, store="memory")
    session.headers()
    return session.headers


def flytekit_headers(endpoint, client_id, secret):
    from flytekit.clients.auth.authenticator import Authenticator

    class Ready(Authenticator):
        """What flytekit answers with once it has its token."""

        def refresh_credentials(self):
            raise AssertionError

    from flytekit.clients.auth.keyring import Credentials

    ready = Ready(endpoint, "authorization", credentials=Credentials(access_token="x" * 900))
    ready._creds = Credentials(access_token="x" * 900)
    return ready.fetch_grpc_call_auth_metadata


def google_auth_headers(endpoint, client_id, secret):
    import datetime

    from google.oauth2.credentials import Credentials

    expiry = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(hours=2)
    ready = Credentials("x" * 900, expiry=expiry)

    def headers():
        found = {}
        ready.before_request(None, "GET", endpoint, found)
        return found

    return headers


def authlib_headers(endpoint, client_id, secret):
    from authlib.integrations.requests_client import OAuth2Session

    token = {"access_token": "x" * 900, "token_type": "Bearer", "expires_at": int(time.time()) + 7200}
    ready = OAuth2Session(client_id, secret, token=token, token_endpoint=f"{endpoint}/oauth2/token")

    def headers():
        ready.ensure_active_token(ready.token)
        return {"Authorization": f"Bearer {ready.token['access_token']}"}

    return headers


# msal and azure-identity speak to Microsoft's addresses alone: what answers them here is a stand-in, and asked once.
HOST = "https://login.example/tenant"
METADATA = {"authorization_endpoint": f"{HOST}/authorize", "token_endpoint": f"{HOST}/token", "issuer": f"{HOST}/v2.0"}
GRANT = {"access_token": "x" * 900, "expires_in": 7200, "token_type": "Bearer"}


def msal_headers(endpoint, client_id, secret):
    import msal

    class Answer:
        status_code, headers = 200, {}

        def __init__(self, members):
            self.text = json.dumps(members)

        def raise_for_status(self):
            return None

    class Http:
        def get(self, _url, **_options):
            return Answer(METADATA)

        def post(self, _url, **_options):
            return Answer(GRANT)

        def close(self):
            return None

    ready = msal.ConfidentialClientApplication(
        client_id, client_credential=secret, authority=HOST, instance_discovery=False, http_client=Http()
    )

    def headers():
        return {"Authorization": f"Bearer {ready.acquire_token_for_client(['all'])['access_token']}"}

    return headers


def azure_identity_headers(endpoint, client_id, secret):
    from azure.core.pipeline.transport import HttpTransport
    from azure.identity import ClientSecretCredential

    class Answer:
        status_code, content_type, reason, context = 200, "application/json", "OK", {}

        def __init__(self, request, members):
            self.http_request = request
            self.headers = {"content-type": "application/json"}
            self.members = members

        def body(self):
            return json.dumps(self.members).encode()

        def text(self, encoding=None):
            return json.dumps(self.members)

        def raise_for_status(self):
            return None

    class Transport(HttpTransport):
        def __exit__(self, *_error):
            return None

        def open(self):
            return None

        def close(self):
            return None

        def send(self, request, **_options):
            return Answer(request, METADATA if request.method == "GET" else GRANT)

    ready = ClientSecretCredential(
        "tenant",
        client_id,
        secret,
        authority="https://login.example",
        transport=Transport(),
        disable_instance_discovery=True,
    )

    def headers():
        return {"Authorization": f"Bearer {ready.get_token('all/.default').token}"}

    return headers


SUBJECTS = {
    "flyte-auth": flyte_auth_headers,
    "flytekit (no expiry check)": flytekit_headers,
    "authlib": authlib_headers,
    "google-auth": google_auth_headers,
    "msal": msal_headers,
    "azure-identity": azure_identity_headers,
}


def nanoseconds(call, count):
    begun = time.perf_counter_ns()
    for _ in range(count):
        call()
    return (time.perf_counter_ns() - begun) / count


def rate(call, threads, seconds):
    """Calls a second of all threads together."""
    counts = [0] * threads
    go, stop = threading.Event(), threading.Event()

    def work(index):
        go.wait()
        done = 0
        while not stop.is_set():
            for _ in range(500):
                call()
            done += 500
        counts[index] = done

    workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    begun = time.perf_counter()
    go.set()
    time.sleep(seconds)
    stop.set()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - begun)


def main():
    endpoint, client_id, secret = sys.argv[1:4]
    quick = "--quick" in sys.argv
    ready, problems = {}, {}
    for name, make in SUBJECTS.items():
        try:
            call = make(endpoint, client_id, secret)
            call()
        except Exception as problem:
            problems[name] = repr(problem)
        else:
            ready[name] = call
    if problems:
        print(json.dumps(problems), file=sys.stderr)
    if "flyte-auth" in problems:
        sys.exit(1)
    taken = {name: [] for name in ready}
    for _ in range(5 if quick else 11):
        for name, call in ready.items():
            taken[name].append(nanoseconds(call, 2_000 if name in ("msal", "azure-identity") else 20_000))
    for name, times in taken.items():
        row = {"case": "warm headers()", "subject": name, "value": statistics.median(times), "unit": "ns"}
        print(json.dumps(row))
    call = ready["flyte-auth"]
    shares = []
    for _ in range(3 if quick else 7):
        one, many = rate(call, 1, 0.3), rate(call, 32, 0.3)
        shares.append(many / one)
    row = {
        "case": "32 threads' rate over one's",
        "subject": "flyte-auth",
        "value": statistics.median(shares),
        "unit": "x",
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
