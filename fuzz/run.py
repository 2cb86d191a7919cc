"""Runs the coverage-guided binary on every target, two at a time unless told otherwise, and prints one table;
scripts/fuzz.sh calls it."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

FUZZ = Path(__file__).resolve().parent
WORK = FUZZ.parent / "target/fuzz/work"
AT_ONCE = 2
LONGEST_INPUT = 4096
# Without a time: so many executions from a fixed seed and the committed inputs. What is found then was put there by the
# change that is tested, not by the clock.
QUICK = ["-runs=30000", "-seed=1"]
# The committed part of a corpus stays small enough to be read and replayed with every build.
KEPT_BYTES = 32 * 1024


@dataclass(frozen=True)
class Row:
    target: str
    executions: int
    new: int
    findings: list[Path]
    problem: str | None


def escape(data: bytes) -> str:
    """As Rust's `escape_ascii`, which fuzz/src/corpus.rs reads."""
    return "".join(
        {9: r"\t", 10: r"\n", 13: r"\r", 34: r"\"", 39: r"\'", 92: r"\\"}.get(byte) or plain(byte) for byte in data
    )


def plain(byte: int) -> str:
    return chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}"


def unescape(line: str) -> bytes:
    return line.encode("ascii").decode("unicode_escape").encode("latin-1")


def committed(target: str) -> list[bytes]:
    inputs = [path.read_bytes() for path in sorted((FUZZ / "seeds" / target).iterdir())]
    found = FUZZ / "found" / f"{target}.txt"
    return inputs + ([unescape(line) for line in found.read_text().splitlines()] if found.exists() else [])


def unpacked(target: str, name: str, inputs: list[bytes]) -> Path:
    folder = WORK / target / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for index, data in enumerate(inputs):
        (folder / f"{index:05}").write_bytes(data)
    return folder


def dictionary(target: str) -> list[str]:
    """The one whose first line names the target."""
    for path in sorted((FUZZ / "dictionaries").iterdir()):
        if target in path.read_text().splitlines()[0].split():
            return [f"-dict={path}"]
    return []


def engine(binary: Path, target: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [binary, f"-max_len={LONGEST_INPUT}", "-rss_limit_mb=1024", "-timeout=10", *arguments],
        env={**os.environ, "FLYTE_AUTH_FUZZ_TARGET": target},
        capture_output=True,
        text=True,
        errors="replace",
    )


def fuzz(binary: Path, target: str, seconds: int | None) -> Row:
    seeds = unpacked(target, "committed", committed(target))
    corpus = WORK / target / "corpus" if seconds else unpacked(target, "quick", [])
    findings = WORK / target / "findings"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    run = engine(
        binary,
        target,
        *([f"-max_total_time={seconds}"] if seconds else QUICK),
        "-print_final_stats=1",
        f"-artifact_prefix={findings}/",
        *dictionary(target),
        str(corpus),
        str(seeds),
    )
    (WORK / target / "log").write_text(run.stderr)
    counted = {name: int(count) for name, count in re.findall(r"stat::(\w+):\s+(\d+)", run.stderr)}
    found = sorted(set(findings.iterdir()) - before)
    # No slow-unit note is a finding: the machine may be busy.
    found = [path for path in found if not path.name.startswith("slow-unit")]
    problem = None
    if run.returncode != 0 and not found:
        problem = f"{target}: the engine ended with {run.returncode}; see {WORK / target / 'log'}"
    executions = counted.get("number_of_executed_units", 0)
    if run.returncode == 0 and executions == 0:
        problem = f"{target}: the engine ran nothing; see {WORK / target / 'log'}"
    return Row(target, executions, counted.get("new_units_added", 0), found, problem)


def keep(binary: Path, target: str) -> int:
    """Writes the inputs that reach what the seeds do not, the smallest first."""
    seeds = [path.read_bytes() for path in sorted((FUZZ / "seeds" / target).iterdir())]
    chosen = unpacked(target, "chosen", seeds)
    named = set(chosen.iterdir())
    known = unpacked(target, "committed", committed(target))
    merged = engine(binary, target, "-merge=1", str(chosen), str(known), str(WORK / target / "corpus"))
    if merged.returncode != 0:
        sys.exit(f"fuzz: {target} could not be merged: {merged.stderr[-500:]}")
    lines, size = [], 0
    added = [path.read_bytes() for path in set(chosen.iterdir()) - named]
    for data in sorted(added, key=lambda data: (len(data), data)):
        line = escape(data)
        assert unescape(line) == data
        size += len(line) + 1
        if size > KEPT_BYTES:
            break
        lines.append(line + "\n")
    found = FUZZ / "found" / f"{target}.txt"
    found.parent.mkdir(exist_ok=True)
    found.write_text("".join(lines))
    return len(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz.sh")
    parser.add_argument("--binary", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--at-once", type=int, default=AT_ONCE, metavar="N", help="targets that run beside each other")
    parser.add_argument("--keep", action="store_true", help="write what adds coverage to fuzz/found")
    parser.add_argument("seconds", nargs="?", type=int, help="of each target; without it the quick form")
    parser.add_argument("targets", nargs="*")
    options = parser.parse_args()
    known = sorted(path.name for path in (FUZZ / "seeds").iterdir())
    if unknown := [name for name in options.targets if name not in known]:
        parser.error(f"no target {unknown[0]!r}; there are: {' '.join(known)}")
    targets = options.targets or known
    begun = time.monotonic()
    rows = []
    with ThreadPoolExecutor(options.at_once) as pool:
        print(f"{'target':<22}{'executions':>12}{'new':>7}{'findings':>10}", flush=True)
        for row in pool.map(lambda target: fuzz(options.binary, target, options.seconds), targets):
            rows.append(row)
            print(f"{row.target:<22}{row.executions:>12,}{row.new:>7,}{len(row.findings):>10}", flush=True)
        if options.keep:
            kept = sum(pool.map(lambda target: keep(options.binary, target), targets))
            print(f"kept {kept:,} inputs in {FUZZ / 'found'}")
    executions = sum(row.executions for row in rows)
    each = f"{options.seconds} s a target" if options.seconds else "the quick form"
    print(f"{executions:,} executions, {each}, {time.monotonic() - begun:.0f} s in all")
    wrong = [row.problem for row in rows if row.problem]
    wrong += [f"{row.target}: {path}" for row in rows for path in row.findings]
    for line in wrong:
        print(f"FINDING {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
