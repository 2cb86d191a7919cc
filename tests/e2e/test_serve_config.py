"""The configuration of `serve`: files as flyteadmin takes them, `--check`, changes while it runs, and what is kept."""

import json
import os
import signal
import sqlite3
import threading
import time

import pytest
import requests
import yaml
from harness import plane as planes
from harness.plane import Visitor
from harness.ports import closed_port


@pytest.fixture
def keys(tmp_path):
    return planes.Keys(tmp_path / "secrets")


@pytest.fixture
def config(tmp_path, keys):
    return planes.configuration(closed_port(), keys, "http://127.0.0.1:9", tmp_path)


def check(*paths, stdin: str | None = None):
    argv = [part for path in paths for part in ("--config", path)]
    return planes.run("serve", *argv, "--check", "--json", input=stdin)


def rows(done) -> dict[str, dict]:
    return {row["key"]: row for row in json.loads(done.stdout)}


def test_files_globs_folders_and_standard_input_lay_over_each_other(tmp_path, config):
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "000-base.yaml").write_text(yaml.safe_dump(config))
    (folder / "010-over.yaml").write_text("AUTH:\n  appauth:\n    selfAuthServer:\n      accessTokenLifespan: 5m\n")
    (folder / "020.json").write_text('{"server": {"readHeaderTimeoutSeconds": 7}}')
    (folder / "ignored.txt").write_text("nonsense: [")
    for paths in ([folder], [folder / "*.yaml", folder / "020.json"], [folder / "000-base.yaml", folder / "0[12]0*"]):
        found = rows(check(*paths))
        assert found["auth.appAuth.selfAuthServer.accessTokenLifespan"]["value"] == "5m", paths
        assert found["server.readHeaderTimeoutSeconds"]["value"] == "7"
    by_stdin = check(folder, "-", stdin="auth: {appAuth: {selfAuthServer: {accessTokenLifespan: 9m}}}")
    assert rows(by_stdin)["auth.appAuth.selfAuthServer.accessTokenLifespan"]["value"] == "9m"


def test_the_table_says_what_becomes_of_each_key(tmp_path, config):
    config["server"]["security"]["insecureCookieHeader"] = True
    config["auth"]["userAuth"]["openId"]["clientSecretNmae"] = "canary-of-a-misspelt-key"
    config["flyteadmin"] = {"roleNameKey": "x"}
    config["auth"]["httpProxyURL"] = "http://user:canary-of-a-proxy@127.0.0.1:3128"
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(config))
    found = rows(check(file))
    assert found["server.security.insecureCookieHeader"]["verdict"] == "insecure"
    assert found["flyteadmin"]["verdict"] == "ignored"
    unknown = found["auth.userAuth.openId.clientSecretNmae"]
    assert unknown["verdict"] == "unknown" and "clientSecretName" in unknown["note"]
    responses = found["auth.appAuth.selfAuthServer.staticClients.flytectl.response_types"]
    assert responses["verdict"] == "differs-on-purpose"
    table = planes.run("serve", "--config", file, "--check")
    assert table.returncode == 0, table.stderr
    assert table.stdout.startswith("KEY") and "the configuration can be used" in table.stderr
    for word in ("honoured", "ignored", "differs on purpose", "insecure", "unknown"):
        assert word in table.stdout
    for text in (table.stdout, table.stderr, json.dumps(found)):
        assert "canary" not in text and planes.CONSOLE_SECRET not in text


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"auth": {"appAuth": {"authServerType": "external"}}}, "auth.appAuth.authServerType"),
        ({"auth": {"appAuth": {"authServerType": "Internal"}}}, "Self"),
        ({"auth": {"authorizedUris": ["localhost:8088"]}}, "auth.authorizedUris"),
        ({"auth": {"userAuth": {"openId": {"baseUrl": "idp.example"}}}}, "auth.userAuth.openId.baseUrl"),
        ({"auth": {"userAuth": {"cookieSetting": {"sameSitePolicy": "Loose"}}}}, "sameSitePolicy"),
        ({"auth": {"grpcAuthorizationHeader": "a b"}}, "auth.grpcAuthorizationHeader"),
        ({"auth": {"appAuth": {"selfAuthServer": {"accessTokenLifespan": "soon"}}}}, "accessTokenLifespan"),
        ({"auth": {"appAuth": {"selfAuthServer": {"signingAlgorithm": "none"}}}}, "signingAlgorithm"),
        (
            {
                "auth": {
                    "appAuth": {"selfAuthServer": {"staticClients": {"flytepropeller": {"client_secret": "foobar"}}}}
                }
            },
            "bcrypt",
        ),
        (
            {
                "auth": {
                    "appAuth": {
                        "selfAuthServer": {"staticClients": {"flytectl": {"grant_types": ["client_credentials"]}}}
                    }
                }
            },
            "flytectl",
        ),
        (
            {
                "auth": {
                    "appAuth": {"selfAuthServer": {"staticClients": {"flytectl": {"redirect_uris": ["javascript:x"]}}}}
                }
            },
            "flytectl",
        ),
        ({"server": {"httpPort": 70000}}, "server.httpPort"),
        ({"server": {"security": {"secure": True}}}, "server.security.ssl"),
        ({"server": {"security": {"useAuth": "maybe"}}}, "server.security.useAuth"),
        ({"gateway": {"mode": "ext-authz"}}, "gateway.mode"),
        ({"gateway": {"upstreams": [{"match": "x", "url": "http://a"}]}}, "gateway.upstreams"),
        ({"gateway": {"upstreams": [{"match": "/x", "url": "ftp://a"}]}}, "gateway.upstreams"),
        ({"gateway": {"identityHeaders": {"subject": "a b"}}}, "gateway.identityHeaders"),
        ({"gateway": {"database": "postgres://x"}}, "gateway.database"),
        ({"secrets": {"secrets-prefix": "/nowhere"}}, "secrets init"),
    ],
)
def test_a_wrong_setting_is_named_with_the_next_step(tmp_path, config, changes, named):
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(planes.merged(config, changes)))
    for flags in (["--check"], []):
        done = planes.run("serve", "--config", file, *flags)
        assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
        assert named in done.stderr, done.stderr
        assert "panicked" not in done.stderr


@pytest.mark.parametrize("text", ["a: b: c", "- a\n- b", "just text", "a: 1\na: 2", "a: \xff", "{" * 100])
def test_what_is_no_configuration_is_named(tmp_path, text):
    file = tmp_path / "broken.yaml"
    file.write_bytes(text.encode("latin-1"))
    done = planes.run("serve", "--config", file)
    assert done.returncode == 2 and "broken.yaml" in done.stderr, done.stderr
    assert planes.run("serve", "--config", tmp_path / "nowhere.yaml").returncode == 2
    assert planes.run("serve", "--config", tmp_path / "no*match.yaml").returncode == 2
    assert planes.run("serve").returncode == 2


def test_a_taken_port_and_an_unusable_database_are_named(tmp_path, config):
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(planes.merged(config, {"gateway": {"database": str(tmp_path)}})))
    done = planes.run("serve", "--config", file)
    assert done.returncode == 7 and "gateway.database" in done.stderr, done.stderr
    running = planes.Plane(tmp_path / "first", config)
    try:
        config["gateway"]["database"] = str(tmp_path / "second.db")
        file.write_text(yaml.safe_dump(config))
        done = planes.run("serve", "--config", file)
        assert done.returncode == 2 and "server.httpPort" in done.stderr, done.stderr
    finally:
        running.end()


def test_a_change_is_read_without_losing_a_request(tmp_path):
    with planes.scene(tmp_path) as plane:
        token = plane.machine_token()
        failures, stop = [], threading.Event()

        def ask():
            with requests.Session() as session:
                while not stop.is_set():
                    reply = session.get(
                        f"{plane.url}/api/v1/x", headers={"authorization": f"Bearer {token}"}, timeout=10
                    )
                    if reply.status_code != 200:
                        failures.append(reply.status_code)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for lifetime in (60, 120):
                own = {"accessTokenLifespan": f"{lifetime}s"}
                plane.write(planes.merged(plane.config, {"auth": {"appAuth": {"selfAuthServer": own}}}))
                plane.service.process.send_signal(signal.SIGHUP)
                until = time.monotonic() + 10
                while plane.token().json()["expires_in"] != lifetime:
                    assert time.monotonic() < until, "the change is not read"
                    time.sleep(0.1)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert failures == []
        # A configuration that is wrong changes nothing.
        plane.write(planes.merged(plane.config, {"auth": {"appAuth": {"authServerType": "Nonsense"}}}))
        plane.service.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 10
        while 'status="refused"' not in plane.metrics():
            assert time.monotonic() < until
            time.sleep(0.1)
        assert plane.token().json()["expires_in"] == 120
        assert "auth.appAuth.authServerType" in plane.service.logged()


def test_a_configuration_that_is_emptied_opens_nothing(tmp_path):
    with planes.scene(tmp_path) as plane:
        assert plane.get("/api/v1/x").status_code == 401
        whole = plane.file.read_text()
        plane.file.write_text("# written by somebody who was interrupted")
        until = time.monotonic() + 10
        while 'status="refused"' not in plane.metrics():
            assert time.monotonic() < until
            time.sleep(0.1)
        assert plane.get("/api/v1/x").status_code == 401
        assert "would turn auth off" in plane.service.logged()
        plane.file.write_text(whole)
        assert plane.get("/api/v1/x", plane.machine_token()).status_code == 200


def test_a_secret_that_comes_after_its_configuration_is_found(tmp_path):
    with planes.scene(tmp_path) as plane:
        own = {"tokenSigningRSAKeySecretName": "new_key.pem", "accessTokenLifespan": "60s"}
        plane.write(planes.merged(plane.config, {"auth": {"appAuth": {"selfAuthServer": own}}}))
        until = time.monotonic() + 10
        while "new_key.pem is missing" not in plane.service.logged():
            assert time.monotonic() < until
            time.sleep(0.1)
        time.sleep(2.5)
        assert plane.service.logged().count("new_key.pem is missing") == 1, "said once"
        folder = plane.keys.folder
        (folder / "new_key.pem").write_bytes((folder / "token_rsa_key.pem").read_bytes())
        (folder / "new_key.pem").chmod(0o600)
        until = time.monotonic() + 10
        while plane.token().json()["expires_in"] != 60:
            assert time.monotonic() < until, "the change is not read"
            time.sleep(0.1)


def test_a_secret_that_was_taken_away_opens_nothing_any_more(tmp_path):
    with planes.scene(tmp_path) as plane:
        assert plane.token().status_code == 200
        other = planes.run("secrets", "hash", input="another secret").stdout.strip()
        client = {"flytepropeller": {"client_secret": other}}
        plane.write(planes.merged(plane.config, {"auth": {"appAuth": {"selfAuthServer": {"staticClients": client}}}}))
        until = time.monotonic() + 10
        while plane.token().status_code != 401:
            assert time.monotonic() < until
            time.sleep(0.2)
        rotated = {"flytepropeller": {"client_secret": other, "rotated_secrets": [plane.keys.propeller_hash]}}
        plane.write(planes.merged(plane.config, {"auth": {"appAuth": {"selfAuthServer": {"staticClients": rotated}}}}))
        until = time.monotonic() + 10
        while plane.token().status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.2)


def test_new_cookie_keys_sign_nobody_out(tmp_path):
    with planes.scene(tmp_path) as plane:
        alice = Visitor(plane).signs_in()
        for name in ("cookie_hash_key", "cookie_block_key"):
            plane.keys.put(f"{name}_old", (plane.keys.folder / name).read_text())
            (plane.keys.folder / name).unlink()
        assert planes.run("secrets", "init", plane.keys.folder).returncode == 0
        until = time.monotonic() + 10
        while "was read again" not in plane.service.logged():
            assert time.monotonic() < until
            time.sleep(0.2)
        reply = alice.step("GET", f"{plane.url}/api/v1/x", headers={"accept": "*/*"})
        assert reply.status_code == 200
        assert "set-cookie" in reply.headers, "the cookie is sealed anew with the new key"
        # Once the old ones are gone, the new cookie is still good.
        for name in ("cookie_hash_key_old", "cookie_block_key_old"):
            (plane.keys.folder / name).unlink()
        before = plane.service.logged().count("was read again")
        until = time.monotonic() + 10
        while plane.service.logged().count("was read again") == before:
            assert time.monotonic() < until
            time.sleep(0.2)
        assert alice.step("GET", f"{plane.url}/api/v1/x", headers={"accept": "*/*"}).status_code == 200


def test_a_new_certificate_is_shown_without_a_restart(tmp_path, authority, config):
    import socket
    import ssl

    first, second = authority.leaf(), None
    certificate, key = tmp_path / "tls.pem", tmp_path / "tls.key"
    certificate.write_bytes(first.certificate.read_bytes())
    key.write_bytes(first.key.read_bytes())
    port = config["server"]["httpPort"]
    files = {"certificateFile": str(certificate), "keyFile": str(key)}
    config = planes.merged(config, {"server": {"security": {"secure": True, "ssl": files}}})
    config["auth"]["authorizedUris"] = [f"https://localhost:{port}"]
    running = planes.Plane(tmp_path / "plane", config)

    def shown() -> bytes:
        context = ssl.create_default_context(cafile=str(authority.file))
        connection = socket.create_connection(("127.0.0.1", port), timeout=5)
        with context.wrap_socket(connection, server_hostname="localhost") as secured:
            return secured.getpeercert(binary_form=True)

    try:
        before = shown()
        second = authority.leaf()
        key.write_bytes(second.key.read_bytes())
        certificate.write_bytes(second.certificate.read_bytes())
        until = time.monotonic() + 15
        while shown() == before:
            assert time.monotonic() < until, "the old certificate stays"
            time.sleep(0.3)
        # Half a change is none: the present one stays.
        key.write_text("garbage")
        time.sleep(3)
        assert shown() != before
    finally:
        running.end()


def test_sessions_and_refresh_tokens_outlive_a_restart_and_no_secret_is_in_the_file(tmp_path):
    with planes.scene(tmp_path) as plane:
        alice = Visitor(plane).signs_in()
        tokens = alice.tokens()
        revoked = alice.tokens()
        plane.post("/oauth2/revoke", token=revoked["refresh_token"])
        assert plane.end() == 0
        database = tmp_path / "serve.db"
        for file in (database, database.with_name("serve.db-wal")):
            if file.exists():
                content = file.read_bytes()
                for secret in (tokens["access_token"], tokens["refresh_token"], planes.PROPELLER_SECRET):
                    assert secret.encode() not in content
        assert os.stat(database).st_mode & 0o777 == 0o600
        again = planes.Plane(tmp_path / "again", plane.config)
        try:
            alice.plane = again
            assert alice.step("GET", f"{again.url}/me").json()["subject"] == "alice@example.org"
            assert again.get("/me", tokens["access_token"]).status_code == 200
            assert again.get("/me", revoked["access_token"]).status_code == 401, "a revocation outlives it too"
            assert alice.refreshes(tokens["refresh_token"]).status_code == 200
        finally:
            again.end()


def test_the_audit_trail_has_sign_ins_grants_and_refusals(tmp_path):
    with planes.scene(tmp_path) as plane:
        alice = Visitor(plane).signs_in()
        tokens = alice.tokens()
        plane.machine_token()
        plane.get("/me", "garbage")
        requests.post(
            f"{plane.url}/oauth2/token",
            data={"grant_type": "client_credentials"},
            auth=("flytepropeller", "no"),
            timeout=20,
        )
        plane.post("/oauth2/revoke", token=tokens["refresh_token"])
        alice.browser.headers["sec-fetch-site"] = "same-origin"
        alice.step("GET", f"{plane.url}/logout")
        plane.end()
        with sqlite3.connect(tmp_path / "serve.db") as database:
            events = database.execute(
                "SELECT kind, outcome, client_id, subject, detail FROM audit ORDER BY id"
            ).fetchall()
            peers = {peer for (peer,) in database.execute("SELECT peer FROM audit")}
    assert peers <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"} and peers, peers
    text = json.dumps(events)
    for kind in ("sign_in", "consent", "grant", "refusal", "revocation", "sign_out"):
        assert kind in [event[0] for event in events], (kind, events)
    assert ("sign_in", "success", None, "alice@example.org", "") in [tuple(event) for event in events]
    assert ("grant", "success", "flytepropeller", None, "client_credentials") in [tuple(event) for event in events]
    for secret in (tokens["access_token"], tokens["refresh_token"], planes.PROPELLER_SECRET, "garbage"):
        assert secret not in text


def test_guessing_a_secret_is_slowed_and_whoever_knows_it_is_not(tmp_path):
    with planes.scene(tmp_path) as plane:
        assert plane.token().status_code == 200

        def guess(number):
            return requests.post(
                f"{plane.url}/oauth2/token",
                data={"grant_type": "client_credentials", "scope": "all"},
                auth=("flytepropeller", f"guess-{number}"),
                timeout=60,
            )

        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(8) as threads:
            replies = list(threads.map(guess, range(60)))
        statuses = [reply.status_code for reply in replies]
        assert set(statuses) <= {401, 429} and 429 in statuses, statuses
        assert all(reply.headers["retry-after"] for reply in replies if reply.status_code == 429)
        assert plane.token().status_code == 200
