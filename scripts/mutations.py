#!/usr/bin/env python3
"""Breaks the code in listed ways, one at a time, and shows that the tests notice each.

mutations.py --check           every mutation still applies to the code as it is (quick; part of `make test`)
mutations.py [AREA | NAME …]   runs them, all or some, in a copy of the tree below target/mutations

A mutation is an entry of tests/mutations/AREA.json: name, file, search (occurs once), replace, and test, a command that
passes on the code as it is and must fail on the broken one. A mutation that does not compile proves nothing and is an
error.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPY = ROOT / "target/mutations/tree"
LIMIT = 900  # seconds, of one command


@dataclass(frozen=True)
class Mutation:
    area: str
    name: str
    file: str
    search: str
    replace: str
    test: str

    def problem(self, root: Path) -> str | None:
        """Why it cannot be applied to the tree at `root`; None if it can."""
        path = root / self.file
        if not path.is_file():
            return f"{self.file} is not there"
        found = path.read_text().count(self.search)
        if found != 1:
            return f"the text to break occurs {found} times in {self.file}"
        if self.search == self.replace:
            return "it changes nothing"
        return None


def all_mutations() -> list[Mutation]:
    files = sorted((ROOT / "tests/mutations").glob("*.json"))
    return [Mutation(area=file.stem, **entry) for file in files for entry in json.loads(file.read_text())]


def check(mutations: list[Mutation]) -> int:
    problems = [(mutation, why) for mutation in mutations if (why := mutation.problem(ROOT))]
    for mutation, why in problems:
        print(f"mutations: {mutation.area}: {mutation.name}: {why}", file=sys.stderr)
    print(f"mutations: {len(mutations)} listed, {len(problems)} do not apply")
    return 1 if problems or not mutations else 0


def copy_tree() -> None:
    """The tracked files as they are in the working tree; what was built in the copy before stays."""
    COPY.mkdir(parents=True, exist_ok=True)
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    wanted = {name.decode() for name in tracked.split(b"\0") if name}
    for name in wanted:
        source, target = ROOT / name, COPY / name
        if not source.is_file():
            continue
        content = source.read_bytes()
        # A file that did not change keeps its time, so that cargo builds only what did.
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(source.stat().st_mode)
    for name in [".venv", "tests/e2e/peers/node_modules", "tests/vectors/wycheproof/vectors"]:
        link = COPY / name
        if (ROOT / name).exists() and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(ROOT / name)


def run(command: str) -> tuple[bool, str]:
    """Whether `command` succeeded in the copy, and what it printed."""
    try:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=COPY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT,
            env={**os.environ, "CARGO_TERM_COLOR": "never"},
        )
    except subprocess.TimeoutExpired as expired:
        return False, (expired.stdout or b"").decode(errors="replace") + "\n(timed out)"
    return done.returncode == 0, done.stdout.decode(errors="replace")


def judge(mutation: Mutation, passing: dict[str, bool]) -> tuple[str, str]:
    """`noticed`, or what is wrong, and what the command printed."""
    if mutation.test not in passing:
        passing[mutation.test], output = run(mutation.test)
        if not passing[mutation.test]:
            return "FAILS WITHOUT IT", output
    if not passing[mutation.test]:
        return "FAILS WITHOUT IT", ""
    path = COPY / mutation.file
    before = path.read_text()
    path.write_text(before.replace(mutation.search, mutation.replace))
    try:
        good, output = run(mutation.test)
    finally:
        path.write_text(before)
    if good:
        return "MISSED", output
    if "could not compile" in output:
        return "DOES NOT COMPILE", output
    return "noticed", output


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("wanted", nargs="*", metavar="AREA|NAME")
    options = parser.parse_args()
    mutations = all_mutations()
    if options.check:
        return check(mutations)
    if options.wanted:
        mutations = [one for one in mutations if one.area in options.wanted or one.name in options.wanted]
    copy_tree()
    if problem := check(mutations):
        return problem
    passing: dict[str, bool] = {}
    verdicts = []
    for number, mutation in enumerate(mutations, 1):
        started = time.monotonic()
        verdict, output = judge(mutation, passing)
        seconds = time.monotonic() - started
        verdicts.append(verdict)
        print(
            f"[{number}/{len(mutations)}] {verdict:<16} {mutation.area}: {mutation.name} ({seconds:.0f} s)", flush=True
        )
        if verdict != "noticed":
            print("\n".join(output.splitlines()[-30:]), flush=True)
    noticed = verdicts.count("noticed")
    print(f"mutations: {noticed} noticed, {len(verdicts) - noticed} not")
    return 0 if noticed == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
