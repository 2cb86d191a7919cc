"""The files of the token store: other owners, links, older and newer programs, full disks, no locks, no home."""

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest
from harness.peers import Sandbox
from harness.scenes import ALICE, machine, signed_in_quickly, token_of

CI = machine("flytepropeller", "foobar")
HERE = Path(__file__).parent
SOMEBODY_ELSE = 12345
# Another owner, and a user without a home, are root's to make.
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away or become a user without a home")


@pytest.fixture(scope="session")
def faults(tmp_path_factory):
    """The library that makes system calls fail; `faults("write", errno.ENOSPC)` is the environment for it."""
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    source = HERE / "harness/faults.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)

    def environment(call, number, path="/state/sessions/"):
        return {"LD_PRELOAD": str(library), "FAULT": call, "FAULT_ERRNO": str(number), "FAULT_PATH": path}

    return environment


def token(cli, server, *arguments, env=None):
    return cli.run("token", "--endpoint", server.http, *arguments, env={**CI, **(env or {})})


def the_record(cli) -> Path:
    [path] = (cli.home / "state/sessions").glob("*.json")
    return path


def refused(result, *words):
    assert (result.code, result.stdout) == (7, ""), result
    for word in words:
        assert word in result.stderr, result.stderr


def test_links_are_refused(cli, sandbox, home):
    token_of(token(cli, sandbox))
    record, elsewhere = the_record(cli), home / "elsewhere"
    record.rename(elsewhere)
    record.symlink_to(elsewhere)
    precious = elsewhere.read_bytes()
    refused(token(cli, sandbox), "symbolic link", str(record))
    refused(token(cli, sandbox, "--force-refresh"), "symbolic link")
    record.unlink()
    # The folder itself: whoever can swap it can swap every file in it.
    folder = record.parent
    folder.rename(home / "moved")
    folder.symlink_to(home / "moved")
    refused(token(cli, sandbox), "symbolic link", str(folder), "FLYTE_AUTH_HOME")
    assert elsewhere.read_bytes() == precious


@as_root
@pytest.mark.parametrize("what", ["record", "folder"])
def test_foreign_owners_are_refused(cli, sandbox, what):
    token_of(token(cli, sandbox))
    record = the_record(cli)
    theirs = record if what == "record" else record.parent
    os.chown(theirs, SOMEBODY_ELSE, SOMEBODY_ELSE)
    refused(token(cli, sandbox), "belongs to another user", str(theirs))


def test_an_older_record_is_migrated(cli, sandbox):
    first = token_of(token(cli, sandbox))
    record = the_record(cli)
    old = json.loads(record.read_text())
    old["schema_version"] = 0
    del old["generation"], old["header_name"]
    for name in ("expires_at", "obtained_at"):
        old[name] //= 1000
    record.write_text(json.dumps(old))
    assert token_of(token(cli, sandbox)) == first
    assert json.loads(record.read_text())["schema_version"] == 0, "reading changes nothing"
    second = token_of(token(cli, sandbox, "--force-refresh"))
    new = json.loads(record.read_text())
    assert (new["schema_version"], new["generation"], new["access_token"]) == (2, 2, second)


def test_a_newer_record_is_left_untouched(cli, sandbox):
    token_of(token(cli, sandbox))
    record = the_record(cli)
    newer = json.dumps({"schema_version": 99, "session": "in a form to come"})
    record.write_text(newer)
    for arguments in ([], ["--force-refresh"], ["--store", "file"]):
        refused(token(cli, sandbox, *arguments), "newer flyte-auth")
    assert record.read_text() == newer


@pytest.mark.parametrize("call, number", [("write", errno.ENOSPC), ("fsync", errno.EIO), ("write", errno.EDQUOT)])
def test_a_full_disk_loses_nothing(cli, person, start, faults, call, number):
    server = start(Sandbox, "--auto-approve", ALICE)
    signed_in_quickly(cli, person, server)
    record = the_record(cli)
    before = record.read_bytes()
    asked = server.requests_to("/token")
    refreshed = cli.run("token", "--endpoint", server.http, "--force-refresh", env=faults(call, number))
    if call == "write":
        # No room is seen before the refresh token is spent.
        refused(refreshed, "cannot be written", "disk space")
        assert server.requests_to("/token") == asked
        token_of(cli.run("token", "--endpoint", server.http, env=faults(call, number)))
    else:
        # A refresh whose result cannot be kept still serves, says so, and the old record is whole.
        assert server.accepts(token_of(refreshed)) and "could not be saved" in refreshed.stderr
    assert record.read_bytes() == before and len(list(record.parent.glob("*.json"))) == 1
    assert not [path for path in record.parent.iterdir() if path.name.startswith(".tmp")], (
        "nothing half written is left"
    )
    # A login whose result cannot be kept is told so.
    terminal = cli.terminal("login", server.http, env={**person.quick_browser(), **faults(call, number)})
    assert terminal.wait(30) == 7, terminal.seen
    assert "cannot be written" in terminal.seen and "disk space" in terminal.seen
    assert record.read_bytes() == before


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(cli, sandbox, home, faults, number):
    """NFS without its lock service."""
    env = faults("flock", number)
    refused(token(cli, sandbox, env=env), "no file locks", str(home / "state/sessions"), "FLYTE_AUTH_HOME")
    token_of(token(cli, sandbox))
    assert token_of(token(cli, sandbox, env=env)), "what is stored and fresh needs no lock"


def read_only(cli, *arguments, env=None):
    """With a state folder that is mounted read-only, in a mount name space of its own."""
    state = cli.home / "state"
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
    argv = ["unshare", "--map-root-user", "--mount", "/bin/sh", "-c", script, "sh", state, cli.binary, *arguments]
    return cli.run_any(argv, env={**CI, **(env or {})})


def test_a_read_only_home(cli, sandbox):
    result = read_only(cli, "token", "--endpoint", sandbox.http)
    assert sandbox.accepts_at_me(token_of(result))
    shown = read_only(cli, "status", "--endpoint", sandbox.http, "--json").json
    assert (shown["store"], "cannot be written" in shown["store_reason"]) == ("memory", True), shown
    refused(read_only(cli, "token", "--endpoint", sandbox.http, "--store", "file"), "FLYTE_AUTH_HOME")
    # What was stored before serves, and is left as it is.
    stored = token_of(token(cli, sandbox))
    before = the_record(cli).read_bytes()
    assert token_of(read_only(cli, "token", "--endpoint", sandbox.http)) == stored
    fresh = token_of(read_only(cli, "token", "--endpoint", sandbox.http, "--force-refresh"))
    assert fresh != stored and the_record(cli).read_bytes() == before
    assert read_only(cli, "logout", "--endpoint", sandbox.http).code == 7, "it cannot be signed out of"
    assert token_of(token(cli, sandbox)) == stored


@as_root
def test_no_home(cli, sandbox):
    folder = Path("/tmp") / f"flyte-auth-no-home-{os.getpid()}"
    folder.mkdir(mode=0o755)
    try:
        binary = folder / "flyte-auth"
        binary.write_bytes(cli.binary.read_bytes())
        binary.chmod(0o755)

        def without_home(*arguments):
            become = ["setpriv", f"--reuid={SOMEBODY_ELSE}", f"--regid={SOMEBODY_ELSE}", "--clear-groups"]
            unset = ["env", "-u", "HOME", "-u", "FLYTE_AUTH_HOME", "-u", "XDG_CONFIG_HOME"]
            return cli.run_any([*unset, *become, binary, *arguments], env=CI, cwd="/")

        assert sandbox.accepts_at_me(token_of(without_home("token", "--endpoint", sandbox.http)))
        shown = without_home("status", "--endpoint", sandbox.http, "--json").json
        assert (shown["store"], "no home folder" in shown["store_reason"]) == ("memory", True), shown
        usage = without_home("token", "--endpoint", sandbox.http, "--store", "file")
        assert usage.code == 2 and "FLYTE_AUTH_HOME" in usage.stderr
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
