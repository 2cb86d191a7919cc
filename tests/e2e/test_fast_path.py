"""`token()` with a fresh token in memory: no system call, shown by `strace`."""

import re

import pytest
from harness.cli import REPOSITORY
from harness.scenes import machine

PROGRAM = REPOSITORY / "target/debug/flyte-auth-fast-path"
CALLS = 1_000_000


def test_a_million_tokens_without_a_system_call(cli, sandbox, tmp_path):
    trace = tmp_path / "trace"
    job = machine("flytepropeller", "foobar")
    result = cli.run_any(["strace", "-f", "-o", trace, PROGRAM, sandbox.http], env=job, timeout=80)
    if "ptrace" in result.stderr and "not permitted" in result.stderr:
        pytest.skip("this machine forbids tracing")
    assert result.code == 0 and result.stdout.strip() == str(CALLS), result
    # Other threads (the timers of a runtime, say) may do as they like: a line begins with the thread's id.
    lines = [line.split(None, 1) for line in trace.read_text().splitlines()]
    caller = next(thread for thread, call in lines if call.startswith("getppid("))
    calls = [re.match(r"\w+", call).group() for thread, call in lines if thread == caller and re.match(r"\w+\(", call)]
    first, last = (index for index, call in enumerate(calls) if call == "getppid")
    assert calls[first + 1 : last] == []
    assert {"connect", "write"} & set(calls[:first]), "the trace shows what the caller did before"
