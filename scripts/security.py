#!/usr/bin/env python3
"""Runs the security suites and prints one table; what each shows is in SECURITY.md.

security.py [--quick] [SUITE …]    --quick leaves out the long ones (mutations, fuzzing, large model)
"""

import argparse
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTEST = ".venv/bin/python -m pytest -q -p no:cacheprovider"


@dataclass(frozen=True)
class Suite:
    name: str
    shows: str
    command: str
    long: bool = False


SUITES = [
    Suite("verifier", "checks of the verifier, one by one", "cargo test --locked -p flyte-auth --lib verify::"),
    Suite("vectors", "published vectors and the attack matrix", "cargo test --locked -p flyte-auth-vectors"),
    Suite("foreign tokens", "tokens of other implementations", f"{PYTEST} tests/e2e/test_verify_tokens.py"),
    Suite("firewall", "where a secret may go", "cargo test --locked -p flyte-auth --lib --all-features firewall"),
    Suite("attacks", "hostile repositories, servers and redirects", f"{PYTEST} tests/e2e/test_firewall.py"),
    Suite(
        "wiping",
        "no secret in memory that was freed",
        "cargo test --locked -p flyte-auth --features testing --test wiped",
    ),
    Suite("leaks", "a planted leak is seen in every channel", f"{PYTEST} tests/e2e/test_leaks.py"),
    Suite("model", "every history of the refresh protocol", "cargo test --locked -p flyte-auth-model"),
    Suite("crash", "kills, and their traces as paths of the model", f"{PYTEST} tests/e2e/test_crash.py"),
    Suite("corpus", "every parser on every input found so far", "cargo test --locked -p flyte-auth-fuzz"),
    Suite("dependencies", "licences, bans, sources", "scripts/deny.sh"),
    Suite("fuzzing", "every parser, ten minutes each", "scripts/fuzz.sh 600", long=True),
    Suite(
        "three processes",
        "the model with three processes",
        "cargo run --release --locked -p flyte-auth-model -- check --processes 3",
        long=True,
    ),
    Suite("mutations", "the tests notice broken code", "scripts/mutations.py", long=True),
]


def counted(output: str) -> str:
    """How many tests the closing lines of cargo, pytest or the mutations speak of."""
    passed = sum(int(found) for found in re.findall(r"\b(\d+) (?:passed|noticed)\b", output))
    return str(passed) if passed else "-"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("wanted", nargs="*", metavar="SUITE")
    options = parser.parse_args()
    known = [suite.name for suite in SUITES]
    if unknown := [name for name in options.wanted if name not in known]:
        parser.error(f"no suite {unknown[0]!r}; there are: {', '.join(known)}")
    chosen = [suite for suite in SUITES if suite.name in options.wanted or not options.wanted]
    rows = []
    for suite in chosen:
        if options.quick and suite.long:
            rows.append((suite, "not run", "-", 0.0))
            continue
        print(f"security: {suite.name}: {suite.command}", flush=True)
        started = time.monotonic()
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", suite.command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        result = "passed" if done.returncode == 0 else "FAILED"
        rows.append((suite, result, counted(done.stdout), time.monotonic() - started))
        if done.returncode != 0:
            print("\n".join(done.stdout.splitlines()[-60:]), flush=True)
    print(f"\n{'suite':<16} {'what it shows':<48} {'tests':>6} {'seconds':>8}  result")
    for suite, result, tests, seconds in rows:
        print(f"{suite.name:<16} {suite.shows:<48} {tests:>6} {seconds:>8.0f}  {result}")
    failed = sum(result == "FAILED" for _, result, _, _ in rows)
    print(f"security: {len(rows) - failed} of {len(rows)} without a failure")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
