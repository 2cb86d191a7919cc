"""Files, environment, profiles and trust; and the configuration that `configure` writes for the real clients."""

import json
import os
import subprocess

import pytest
from harness.callers import config, flyte_whoami, pyflyte_run
from harness.peers import Sandbox
from harness.scenes import ALICE, machine, signs_in, token_of


def flyte_home(home):
    (home / ".flyte").mkdir(exist_ok=True)
    return home / ".flyte/config.yaml"


def test_the_users_own_file_is_found(cli, sandbox, home):
    flyte_home(home).write_text(f"admin:\n  endpoint: {sandbox.http}\n")
    token_of(cli.run("token", env=machine("flytepropeller", "foobar")))


def test_flytekits_ini(cli, sandbox, home):
    ini = f"""
[platform]
url = {sandbox.grpc}
insecure = true

[credentials]
auth_mode = ClientSecret
client_id = flytepropeller
client_secret = foobar
"""
    (home / "flytekit.cfg").write_text(ini)
    token_of(cli.run("token", "--config", home / "flytekit.cfg"))


def test_a_flag_beats_the_environment_beats_the_file(cli, sandbox, home):
    path = flyte_home(home)
    path.write_text("admin:\n  endpoint: http://127.0.0.1:9\n  clientId: of-the-file\n")
    environment = {"FLYTE_AUTH_CLIENT_ID": "of-the-environment"}
    rows = cli.run("config", "explain", "--json", "--config", path, env=environment).json
    assert row(rows, "client")["value"] == "of-the-environment"
    rows = cli.run("config", "explain", "--json", "--config", path, "--client-id", "of-the-flag", env=environment).json
    assert row(rows, "client")["value"] == "of-the-flag"


def row(rows, part):
    """The explained setting whose key contains `part` and `id`."""
    rows = rows if isinstance(rows, list) else list(rows.values())
    return next(row for row in rows if part in row["key"].lower() and "id" in row["key"].lower())


def test_explain_names_origins_and_masks_secrets(cli, home):
    path = flyte_home(home)
    path.write_text("admin:\n  endpoint: dns:///flyte.example\n")
    environment = {"FLYTE_CREDENTIALS_CLIENT_SECRET": "very-secret-value"}
    result = cli.run("config", "explain", "--json", env=environment)
    assert result.code == 0, result.stderr
    assert "very-secret-value" not in result.stdout
    assert "FLYTE_CREDENTIALS_CLIENT_SECRET" in result.stdout
    assert ".flyte/config.yaml" in result.stdout and "flyte.example" in result.stdout


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_a_named_file_that_is_missing(cli, how):
    arguments, environment = (
        (["--config", "/nowhere.yaml"], {}) if how == "flag" else ([], {"FLYTECTL_CONFIG": "/nowhere.yaml"})
    )
    result = cli.run("token", *arguments, env=environment)
    assert result.code == 2 and "/nowhere.yaml" in result.stderr
    assert ("--config" if how == "flag" else "FLYTECTL_CONFIG") in result.stderr


@pytest.mark.parametrize(
    "text", ["admin:\n\tendpoint: x\n", "admin: [1, 2]\n", "admin:\n  endpoint: [a]\n", "admin: {\n", "\x00\x01\x02"]
)
def test_a_bad_file_is_named(cli, home, text):
    path = home / "bad.yaml"
    path.write_text(text)
    result = cli.run("token", "--config", path)
    assert (result.code, result.stdout) == (2, ""), result
    assert "bad.yaml" in result.stderr


@pytest.mark.parametrize("text", ["\ufeffadmin:\n  endpoint: {0}\n", "admin:\r\n  endpoint: {0}\r\n"])
def test_what_windows_editors_write_is_read(cli, sandbox, home, text):
    path = home / "windows.yaml"
    path.write_bytes(text.format(sandbox.http).encode())
    token_of(cli.run("token", "--config", path, env=machine("flytepropeller", "foobar")))


def test_an_unknown_key_is_a_warning(cli, sandbox, home):
    path = home / "config.yaml"
    path.write_text(f"admin:\n  endpoint: {sandbox.http}\n  clientSecretLocatoin: /x\n")
    result = cli.run("token", "--config", path, env=machine("flytepropeller", "foobar"))
    token_of(result)
    assert "clientSecretLocatoin" in result.stderr


def test_false_means_false(cli, start):
    server = start(Sandbox, "--tls")
    environment = {**machine("flytepropeller", "foobar"), "FLYTE_ADMIN_INSECURE": "false"}
    host = server.https.removeprefix("https://")
    token_of(cli.run("token", "--endpoint", f"dns:///{host}", "--ca-cert", server.ca_cert, env=environment))


def test_two_endpoints_are_named(cli, home):
    flyte_home(home).write_text("admin:\n  endpoint: dns:///one.example\n")
    result = cli.run("token", env={"FLYTE_PLATFORM_URL": "two.example"})
    assert (result.code, result.stdout) == (2, ""), result
    assert "one.example" in result.stderr and "two.example" in result.stderr


def test_a_pinned_endpoint_needs_no_agreement(cli, sandbox, home):
    flyte_home(home).write_text("admin:\n  endpoint: dns:///one.example\n")
    environment = {"FLYTE_PLATFORM_URL": "two.example", **machine("flytepropeller", "foobar")}
    token_of(cli.run("token", "--endpoint", sandbox.http, env=environment))


@pytest.fixture
def hostile_folder(home, sandbox):
    """A checked-out repository whose configuration wants to run a program and collect secrets."""
    folder = home / "repository"
    (folder / ".flyte").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", folder], check=True, env={**os.environ, "HOME": str(home)})
    config(folder / ".flyte/config.yaml", sandbox.http, ["/usr/bin/touch", str(home / "it-ran")])
    return folder


def test_a_discovered_command_is_not_run(cli, home, hostile_folder):
    cli.run("token", cwd=hostile_folder)
    assert not (home / "it-ran").exists()


@pytest.mark.parametrize("secret", [{"FLYTE_TOKEN": "my-precious-token"}, machine("flytepropeller", "foobar")])
def test_secrets_do_not_follow_a_discovered_file(cli, sandbox, hostile_folder, secret):
    before = sandbox.stats()
    result = cli.run("token", cwd=hostile_folder, env=secret)
    assert (result.code, result.stdout) == (2, ""), result
    assert ".flyte/config.yaml" in result.stderr
    assert sandbox.stats() == before


def test_a_trusted_file_may(cli, sandbox, hostile_folder):
    path = hostile_folder / ".flyte/config.yaml"
    path.write_text(f"admin:\n  endpoint: {sandbox.http}\n")
    environment = {**machine("flytepropeller", "foobar"), "FLYTE_AUTH_TRUST": str(path)}
    token_of(cli.run("token", cwd=hostile_folder, env=environment))


def test_configure_prints_the_block(cli, sandbox):
    result = cli.run("configure", sandbox.http)
    assert result.code == 0, result.stderr
    assert "ExternalCommand" in result.stdout and str(cli.binary) in result.stdout


def test_configure_write_keeps_the_rest_of_the_file(cli, home):
    path = flyte_home(home)
    path.write_text("# mine\nadmin:\n  endpoint: dns:///old.example\nlogger:\n  level: 2  # quiet\n")
    result = cli.run("configure", "dns:///new.example", "--write")
    assert result.code == 0, result.stderr
    text = path.read_text()
    assert "# mine" in text and "level: 2  # quiet" in text
    assert "dns:///new.example" in text and "old.example" not in text


def test_pyflyte_runs_on_what_configure_wrote(cli, person, flyte1, home):
    signs_in(cli, person, flyte1.endpoint, "--insecure", "--flow", "pkce")
    assert cli.run("configure", flyte1.endpoint, "--insecure", "--write").code == 0
    command = [part for part in pyflyte_run(home, "x") if part not in ("--config", "x")]
    result = cli.run_any(command, timeout=60)
    assert result.code == 0, (result.stdout + result.stderr, flyte_home(home).read_text())
    assert flyte1.admin.executions == 1


def test_flyte_runs_on_what_configure_wrote(cli, person, flyte2, authority, home):
    tls = ["--ca-cert", str(authority.file)]
    signs_in(cli, person, flyte2.endpoint, *tls, "--flow", "pkce")
    path = flyte_home(home)
    path.write_text(f"admin:\n  caCertFilePath: {json.dumps(str(authority.file))}\n")
    assert cli.run("configure", flyte2.endpoint, *tls, "--write").code == 0
    result = cli.run_any(flyte_whoami(path), timeout=60)
    assert result.code == 0 and ALICE in result.stdout, (result, path.read_text())
