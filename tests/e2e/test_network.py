"""TLS and proxies, for every call and not only for some."""

import pytest
from harness.certificates import Authority
from harness.flyte2 import Flyte2
from harness.peers import Sandbox
from harness.proxy import ConnectProxy
from harness.scenes import ALICE, machine, token_of

JOB = machine("flytepropeller", "foobar")


@pytest.fixture
def tls(start):
    return start(Sandbox, "--tls", "--auto-approve", ALICE)


def dns(sandbox) -> str:
    return f"dns:///{sandbox.https.removeprefix('https://')}"


def test_a_private_authority_must_be_named(cli, tls):
    unknown = cli.run("token", "--endpoint", dns(tls), env=JOB)
    assert unknown.code == 3 and "certificate" in unknown.stderr, unknown
    token_of(cli.run("token", "--endpoint", dns(tls), "--ca-cert", tls.ca_cert, env=JOB))


def test_the_authority_counts_for_every_call_of_a_session(cli, person, tls):
    arguments = [dns(tls), "--ca-cert", tls.ca_cert]
    terminal = cli.terminal("login", *arguments, env=person.quick_browser())
    assert terminal.wait(30) == 0, terminal.seen
    rest = ["--endpoint", *arguments]
    token_of(cli.run("token", "--force-refresh", *rest))
    assert cli.run("whoami", *rest).code == 0
    assert cli.run("logout", "--revoke", *rest).code == 0


def test_checks_can_be_switched_off(cli, tls):
    token_of(cli.run("token", "--endpoint", dns(tls), "--insecure-skip-verify", env=JOB))


@pytest.mark.parametrize("fault", ["expired", "host"])
def test_a_bad_certificate_is_refused(cli, start, shared_issuer, authority, fault):
    leaf = authority.leaf(expired=True) if fault == "expired" else authority.leaf(host="elsewhere.example")
    server = start(Flyte2, shared_issuer, leaf)
    result = cli.run("token", "--endpoint", server.endpoint, "--ca-cert", authority.file, env=JOB)
    assert (result.code, result.stdout) == (3, ""), result
    assert ("expired" if fault == "expired" else "localhost") in result.stderr


def test_the_wrong_authority(cli, tls, tmp_path):
    other = Authority(tmp_path / "other")
    assert cli.run("token", "--endpoint", dns(tls), "--ca-cert", other.file, env=JOB).code == 3


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bad_authority_file_is_a_configuration_error(cli, tls, home, content):
    if content:
        (home / "ca.pem").write_text(content)
    result = cli.run("token", "--endpoint", dns(tls), "--ca-cert", home / "ca.pem", env=JOB)
    assert result.code == 2 and "ca.pem" in result.stderr


def test_plaintext_and_tls_mixed_up(cli, tls, sandbox):
    at_plaintext = cli.run("token", "--endpoint", f"https://{sandbox.http.removeprefix('http://')}", env=JOB)
    assert at_plaintext.code == 3 and at_plaintext.stdout == ""


def test_every_call_passes_the_proxy(cli, start, tls):
    proxy = start(ConnectProxy)
    arguments = ["--endpoint", dns(tls), "--ca-cert", tls.ca_cert]
    environment = {**JOB, "HTTPS_PROXY": proxy.url}
    token_of(cli.run("token", *arguments, env=environment))
    through = len(proxy.passed)
    assert through > 0
    assert cli.run("whoami", *arguments, env=environment).code == 0
    assert len(proxy.passed) > through


def test_no_proxy(cli, start, tls):
    proxy = start(ConnectProxy)
    environment = {**JOB, "HTTPS_PROXY": proxy.url, "NO_PROXY": "localhost,127.0.0.1"}
    token_of(cli.run("token", "--endpoint", dns(tls), "--ca-cert", tls.ca_cert, env=environment))
    assert not proxy.passed


def test_a_proxy_that_is_down(cli, tls):
    environment = {**JOB, "HTTPS_PROXY": "http://127.0.0.1:9"}
    result = cli.run("token", "--endpoint", dns(tls), "--ca-cert", tls.ca_cert, env=environment)
    assert result.code == 3, result


def test_client_certificates(cli, start, shared_issuer, authority):
    """A control plane behind mutual TLS: without a certificate nobody gets in, with one everything works."""
    server = start(Flyte2, shared_issuer, authority.leaf(), client_authority=authority.file)
    job = machine("ci-basic", shared_issuer.secrets["ci-basic"])
    arguments = ["--endpoint", server.endpoint, "--ca-cert", authority.file, "--scopes", "all"]
    refused = cli.run("token", *arguments, env=job)
    assert (refused.code, refused.stdout) == (3, ""), refused
    ours = authority.leaf(host="client.example", client=True)
    certificate = {"FLYTE_AUTH_CLIENT_CERT": str(ours.certificate), "FLYTE_AUTH_CLIENT_KEY": str(ours.key)}
    token_of(cli.run("token", *arguments, env={**job, **certificate}))
    assert cli.run("whoami", *arguments, env={**job, **certificate}).code == 0


def test_every_global_flag_has_a_variable(cli, tls):
    environment = {
        "FLYTE_AUTH_ENDPOINT": dns(tls),
        "FLYTE_AUTH_CA_CERT": tls.ca_cert,
        "FLYTE_AUTH_TYPE": "ClientSecret",
        "FLYTE_AUTH_CLIENT_ID": "flytepropeller",
        "FLYTE_CREDENTIALS_CLIENT_SECRET": "foobar",
        "FLYTE_AUTH_STORE": "memory",
        "FLYTE_AUTH_INTERACTIVE": "never",
        "FLYTE_AUTH_SCOPES": "all",
    }
    token_of(cli.run("token", env=environment))
