"""The real clients against `serve`: flytekit and flyte from PyPI with every way to sign in, our own command line, and a
person in Chromium."""

import json
from urllib.parse import urlsplit

import pytest
from harness import plane as planes
from harness.callers import config, flyte_program, flytekit_program
from harness.plane import PROPELLER_SECRET
from harness.scenes import CODE, URL, token_of


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with planes.scene(tmp_path_factory.mktemp("serve")) as running:
        yield running


def admin_file(folder, plane, **settings):
    """Flyte's own configuration file for the plane's gRPC port."""
    port = plane.grpc.split(":")[1]
    whole = {"endpoint": f"dns:///localhost:{port}", "insecure": True, **settings}
    path = folder / "config.yaml"
    path.write_text("admin:\n" + "".join(f"  {key}: {json.dumps(value)}\n" for key, value in whole.items()))
    return path


def lists_projects(cli, plane, file, subject, env=None, timeout=120):
    before = len(plane.admin.calls)
    done = cli.run_any(flytekit_program(cli.home, file), env=env, timeout=timeout)
    assert done.code == 0 and "projects: flytesnacks" in done.stdout, done.stderr[-3000:]
    method, sent = plane.admin.calls[-1]
    assert len(plane.admin.calls) > before and method == "ListProjects" and sent["x-user-subject"] == subject


def test_flytekit_with_a_client_secret(cli, plane):
    secret = cli.home / "client_secret"
    secret.write_text(PROPELLER_SECRET)
    settings = {"authType": "ClientSecret", "clientId": "flytepropeller", "clientSecretLocation": str(secret)}
    # flytekit quotes a secret in its Basic header as in an address; ours has characters that differ in a form.
    lists_projects(cli, plane, admin_file(cli.home, plane, **settings), "flytepropeller")


def test_flytekit_with_a_browser(cli, person, plane):
    file = admin_file(cli.home, plane, authType="Pkce")
    lists_projects(cli, plane, file, "alice@example.org", env=person.browser())


def test_flytekit_with_a_device_code(cli, person, plane):
    terminal = cli.terminal_any(flytekit_program(cli.home, admin_file(cli.home, plane, authType="DeviceFlow")))
    code = terminal.expect(CODE.pattern, within=60).group()
    url = next(url for url in URL.findall(terminal.seen) if "device" in url).rstrip(".,)")
    assert person.visits(url, code=code) == "done"
    terminal.expect("projects: flytesnacks", within=60)


def test_flytekit_with_our_command(cli, person, plane):
    port = plane.grpc.split(":")[1]
    endpoint = f"dns:///localhost:{port}"
    command = [cli.binary, "token", "--endpoint", endpoint, "--insecure"]
    login = cli.terminal("login", endpoint, "--insecure", env=person.browser())
    assert login.wait(60) == 0, login.seen
    file = config(cli.home / "config.yaml", endpoint, command, insecure=True)
    lists_projects(cli, plane, file, "alice@example.org")


def test_our_command_line_whole(cli, person, plane):
    login = cli.terminal("login", plane.url, env=person.browser())
    assert login.wait(60) == 0, login.seen
    token = token_of(cli.run("token", "--endpoint", plane.url))
    assert plane.get("/me", token).json()["subject"] == "alice@example.org"
    whoami = cli.run("whoami", "--endpoint", plane.url, "--json")
    assert json.loads(whoami.stdout)["subject"] == "alice@example.org"
    refreshed = token_of(cli.run("token", "--endpoint", plane.url, "--force-refresh"))
    assert refreshed != token and plane.get("/me", refreshed).status_code == 200
    assert cli.run("logout", plane.url, "--revoke").code == 0
    assert plane.get("/me", refreshed).status_code == 401, "the session is revoked at the server"


def test_our_command_line_with_a_device_code(cli, person, plane):
    terminal = cli.terminal("login", plane.url, "--flow", "device")
    code = terminal.expect(CODE.pattern, within=20).group()
    url = next(url for url in URL.findall(terminal.seen) if "device" in url).rstrip(".,)")
    assert person.visits(url, code=code) == "done"
    assert terminal.wait(60) == 0, terminal.seen


@pytest.fixture(scope="module")
def secured(tmp_path_factory, authority):
    """The plane with TLS, as flyte 2 demands it."""
    folder = tmp_path_factory.mktemp("secured")
    leaf = authority.leaf()
    ssl = {"certificateFile": str(leaf.certificate), "keyFile": str(leaf.key)}
    with planes.scene(folder / "plain") as plain:
        config = planes.merged(plain.config, {"server": {"security": {"secure": True, "ssl": ssl}}})
        port = int(urlsplit(plain.url).port)
        config["gateway"]["database"] = str(folder / "secured.db")
        config["auth"]["authorizedUris"] = [f"https://localhost:{port}"]
        # The provider knows the console of this port; the first plane makes room for it.
        plain.end()
        running = planes.Plane(folder / "plane", config)
        running.web, running.ca = plain.web, authority.file
        yield running
        running.end()


def flyte2_file(folder, secured, **settings):
    port = urlsplit(secured.url).port
    whole = {"endpoint": f"dns:///localhost:{port}", "insecure": False, "caCertFilePath": str(secured.ca), **settings}
    path = folder / "config.yaml"
    path.write_text("admin:\n" + "".join(f"  {key}: {json.dumps(value)}\n" for key, value in whole.items()))
    return path


def flyte2_lists_projects(cli, secured, file, subject, env=None):
    before = len(secured.web.calls)
    # flyte takes its own CA file for its calls, and not for the token endpoint.
    env = {"SSL_CERT_FILE": str(secured.ca), **(env or {})}
    done = cli.run_any(flyte_program(cli.home, file), env=env, timeout=120)
    assert done.code == 0 and "projects:" in done.stdout, done.stderr[-3000:]
    calls = [sent for _, path, sent, _ in secured.web.calls[before:] if path.startswith("/flyteidl2.")]
    assert calls and calls[-1]["x-amzn-oidc-identity"] == subject


def test_flyte_2_with_a_client_secret(cli, secured):
    secret = cli.home / "client_secret"
    secret.write_text(PROPELLER_SECRET)
    settings = {"authType": "ClientSecret", "clientId": "flytepropeller", "clientSecretLocation": str(secret)}
    flyte2_lists_projects(cli, secured, flyte2_file(cli.home, secured, **settings), "flytepropeller")


def test_flyte_2_with_a_browser(cli, person, secured):
    file = flyte2_file(cli.home, secured, authType="Pkce")
    flyte2_lists_projects(cli, secured, file, "alice@example.org", env=person.browser())


def test_flyte_2_with_our_command(cli, person, secured):
    endpoint = f"dns:///localhost:{urlsplit(secured.url).port}"
    login = cli.terminal("login", endpoint, "--ca-cert", str(secured.ca), env=person.browser())
    assert login.wait(60) == 0, login.seen
    command = [cli.binary, "token", "--endpoint", endpoint, "--ca-cert", str(secured.ca)]
    file = config(cli.home / "config.yaml", endpoint, command, insecure=False, caCertFilePath=str(secured.ca))
    flyte2_lists_projects(cli, secured, file, "alice@example.org")
