"""`examples/*/list_projects`: one small client in three languages, as a user runs it, against Flyte's admin service.

tests/node/list_projects.test.mjs has the TypeScript one.
"""

import json
import os

import grpc
import pytest
import requests
from flyteidl.admin import project_pb2
from flyteidl.service import admin_pb2_grpc
from harness.admin import Admin
from harness.cli import REPOSITORY, VENV
from harness.forms import sign_in
from harness.herd import WORKER, digest
from harness.peers import Sandbox
from harness.ports import closed_port
from harness.scenes import ALICE, machine, one_line
from harness.service import Service

PROGRAM = REPOSITORY / "tests/e2e/programs/admin_service.py"
EXAMPLES = {
    "python": [VENV / "python", REPOSITORY / "examples/python/list_projects.py"],
    # `scripts/jvm.sh example` builds it, with the packed jar.
    "kotlin": ["java", f"@{REPOSITORY}/examples/kotlin/target/run.args"],
    "rust": [REPOSITORY / "target/debug/flyte-auth-example-list-projects"],
}
LISTED = "flytesnacks  Examples\nflyteexamples  More examples\npayments  Payments\nsearch  Search\n"
ROBOT = machine("flytepropeller", "foobar")
# A person on a machine without a display.
SSH = {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"}


class AdminService(Admin):
    """`programs/admin_service.py`, driven as `Admin` is."""

    def __init__(self, folder, sandbox: Sandbox):
        folder.mkdir()
        self.service = Service([VENV / "python", PROGRAM, sandbox.grpc], os.environ, folder / "admin.log")
        self.endpoint: str = self.service.ready["endpoint"]
        self.header: str = self.service.ready["header"]
        self._control = self.service.ready["control"]

    @property
    def served(self) -> list[tuple[str | None, str | None]]:
        """Of each call: who made it, and why it was refused."""
        return [(call["subject"], call["refused"]) for call in self.calls]


@pytest.fixture
def issuer(start):
    return start(Sandbox, "--auto-approve", ALICE)


@pytest.fixture
def admin(start, tmp_path, issuer):
    return start(AdminService, tmp_path / "admin", issuer)


@pytest.fixture(params=EXAMPLES)
def example(request):
    return EXAMPLES[request.param]


def signed_in(cli, issuer, admin) -> str:
    """Alice's session, as a login would have left it; gives her token."""
    record = {**sign_in(issuer, ALICE, "all offline"), "header_name": admin.header}
    env = {"FLYTE_AUTH_ENDPOINT": admin.endpoint}
    done = cli.run_any([WORKER, "seed"], env=env, input=json.dumps(record))
    assert done.code == 0, done.stdout
    return record["access_token"]


def fails(result) -> str:
    """What a program that failed says: one line, and nothing was listed."""
    assert (result.code, result.stdout) == (1, ""), result
    line = one_line(result.stderr)
    assert line.startswith("list_projects: ")
    return line


def test_the_first_run_signs_in_and_the_next_asks_nobody(cli, admin, example):
    terminal = cli.terminal_any([*example, admin.endpoint], env=SSH)
    url = terminal.expect(r"http\S+user_code=\S+(?=\s)").group()
    # The sandbox approves by itself.
    requests.get(url, timeout=10).raise_for_status()
    assert terminal.wait(30) == 0, terminal.seen
    assert terminal.seen.endswith(LISTED)
    result = cli.run_any([*example, admin.endpoint])
    assert (result.code, result.stdout, result.stderr) == (0, LISTED, "")
    assert admin.served == [(ALICE, None)] * 4, "each run asks for two pages"


def test_it_uses_the_machines_login(cli, issuer, admin, example):
    token = signed_in(cli, issuer, admin)
    result = cli.run_any([*example, admin.endpoint])
    assert (result.code, result.stdout, result.stderr) == (0, LISTED, "")
    assert [call["tokens"] for call in admin.calls] == [[digest(token)]] * 2


def test_the_endpoint_of_the_configuration(cli, admin, example):
    file = cli.home / ".flyte/config.yaml"
    file.parent.mkdir()
    file.write_text(f"admin:\n  endpoint: {admin.endpoint}\n")
    result = cli.run_any(example, env=ROBOT)
    assert (result.code, result.stdout, result.stderr) == (0, LISTED, "")
    assert admin.served == [("flytepropeller", None)] * 2


def test_nobody_to_ask(cli, admin, example):
    """Within seconds, with the next step, and without a call that would be refused."""
    result = cli.run_any([*example, admin.endpoint])
    assert f"not signed in to {admin.endpoint.removeprefix('http://')}" in fails(result)
    assert f"Run: flyte-auth login {admin.endpoint}" in result.stderr
    assert result.seconds < 10 and admin.calls == []


def test_a_revoked_token_is_replaced_once(cli, issuer, admin, example):
    token = signed_in(cli, issuer, admin)
    admin.revokes(digest(token))
    before = issuer.requests_to("/oauth2/token")
    result = cli.run_any([*example, admin.endpoint])
    assert (result.code, result.stdout, result.stderr) == (0, LISTED, "")
    assert admin.served == [(None, "UNAUTHENTICATED"), (ALICE, None), (ALICE, None)]
    tokens = [call["tokens"] for call in admin.calls]
    assert tokens[0] == [digest(token)] and tokens[1] == tokens[2] != tokens[0]
    assert issuer.requests_to("/oauth2/token") == before + 1


def test_a_token_that_has_expired_for_the_service_is_replaced_once(cli, issuer, admin, example):
    """The server that issued it had a slow clock: for the client, which counts from now, it is good."""
    issuer.clock(-7200)
    signed_in(cli, issuer, admin)
    issuer.clock(0)
    result = cli.run_any([*example, admin.endpoint])
    assert (result.code, result.stdout, result.stderr) == (0, LISTED, "")
    assert admin.served == [(None, "UNAUTHENTICATED"), (ALICE, None), (ALICE, None)]


def test_a_service_that_takes_no_token(cli, admin, example):
    admin.refuses("UNAUTHENTICATED", 10)
    line = fails(cli.run_any([*example, admin.endpoint], env=ROBOT))
    assert "UNAUTHENTICATED" in line.upper()
    assert len(admin.calls) == 2, "a call is made once more, and not again"


def test_what_the_service_says(cli, admin, example):
    admin.refuses("PERMISSION_DENIED", 1)
    line = fails(cli.run_any([*example, admin.endpoint], env=ROBOT))
    assert line.replace("PermissionDenied", "PERMISSION_DENIED") == (
        "list_projects: PERMISSION_DENIED: as the test wants it"
    )
    assert len(admin.calls) == 1


def test_a_wrong_endpoint(cli, example):
    endpoint = f"http://127.0.0.1:{closed_port()}"
    line = fails(cli.run_any([*example, endpoint], env=ROBOT))
    assert f"no answer from {endpoint.removeprefix('http://')}" in line and "Check host and port" in line


def test_no_endpoint(cli, example):
    assert "which Flyte endpoint?" in fails(cli.run_any(example))


# ------------------------------------------------------------------------------------------------ the service itself


@pytest.fixture
def flyte(admin):
    with grpc.insecure_channel(admin.endpoint.removeprefix("http://")) as channel:
        yield admin_pb2_grpc.AdminServiceStub(channel)


def listed(flyte, admin, access_token: str, **request):
    metadata = [(admin.header, f"Bearer {access_token}")]
    return flyte.ListProjects(project_pb2.ProjectListRequest(**request), metadata=metadata, timeout=10)


def test_pages(flyte, admin, issuer):
    good = issuer.client_credentials("flytepropeller", "foobar")

    def pages(limit: int):
        begin = ""
        while True:
            page = listed(flyte, admin, good, limit=limit, token=begin)
            yield [project.id for project in page.projects]
            if not (begin := page.token):
                return

    first, second, third, fourth = (line.split()[0] for line in LISTED.splitlines())
    assert list(pages(1)) == [[first], [second], [third], [fourth]]
    assert list(pages(2)) == [[first, second], [third, fourth]]
    assert list(pages(0)) == list(pages(100)) == [[first, second, third], [fourth]]
    for wrong in ("4", "x", "-1"):
        with pytest.raises(grpc.RpcError) as raised:
            listed(flyte, admin, good, limit=1, token=wrong)
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_who_is_refused(flyte, admin, issuer, start):
    def credentials(of: Sandbox, scope="all") -> str:
        return of.client_credentials("flytepropeller", "foobar", scope=scope)

    good = credentials(issuer)
    issuer.clock(-7200)
    expired = credentials(issuer)
    issuer.clock(0)
    header, _, signature = good.split(".")
    _, claims, _ = (others := credentials(start(Sandbox))).split(".")
    for token in (expired, credentials(issuer, scope="offline"), others, f"{header}.{claims}.{signature}", ""):
        with pytest.raises(grpc.RpcError) as raised:
            listed(flyte, admin, token)
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert listed(flyte, admin, good).projects
    assert [refused for _, refused in admin.served] == ["UNAUTHENTICATED"] * 5 + [None]


def test_it_ends_with_its_input(start, tmp_path, issuer):
    service = start(AdminService, tmp_path / "admin", issuer).service
    service.process.stdin.close()
    assert service.process.wait(10) == 0
