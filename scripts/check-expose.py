#!/usr/bin/env python3
"""Every `expose()` of a secret says why: `// EXPOSE: why` on its line, or on the lines of comment above its statement.

Tests are free. Examples and the programs of the suites are not: they are read as examples.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = [
    "core/src",
    "cli/src",
    "server/src",
    "testkit/src",
    "benches/src",
    "examples/rust",
    "tests/conformance/rust/src",
]
CALL = re.compile(r"\.expose\(\)|::expose\b|\.expose_secret\(\)")
REASON = re.compile(r"// EXPOSE: \S")
# How many lines a reason may stand above its call: a statement is not always one line.
REACH = 4


def unexplained(text: str) -> list[int]:
    """Lines (from 1) that expose a secret and do not say why."""
    lines = re.split(r"^\s*#\[cfg\(test\)\]\n\s*(?:pub(?:\([a-z: ]+\))? )?mod \w+ \{", text, flags=re.M)[0].splitlines()
    missing = []
    for at, line in enumerate(lines):
        code = line.split("//")[0]
        if not CALL.search(code):
            continue
        # Up to the end of the statement before, or of a call that has its own reason.
        above = []
        for before in reversed(lines[max(0, at - REACH) : at]):
            if not before.strip().startswith("//") and before.rstrip().endswith((";", "}")):
                break
            above.append(before)
        if not any(REASON.search(near) for near in [line, *above]):
            missing.append(at + 1)
    return missing


def sources() -> list[Path]:
    found = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.rs"))]
    return [file for file in found if not _is_free(file.relative_to(ROOT))]


def _is_free(file: Path) -> bool:
    """The types themselves, and tests."""
    inside = file.parts[file.parts.index("src") + 1 :] if "src" in file.parts else file.parts
    return str(file) == "core/src/protocol/secret.rs" or file.stem == "tests" or "tests" in inside[:-1]


def main() -> int:
    # The check must be able to fail.
    assert unexplained("let a = b.expose();\n") == [1] and unexplained("let a = b.expose(); // EXPOSE:\n") == [1]
    assert not unexplained("// EXPOSE: shown.\nlet a = b\n    .expose();\n")
    files = sources()
    missing = [f"{file.relative_to(ROOT)}:{line}" for file in files for line in unexplained(file.read_text())]
    for place in missing:
        print(f"{place}: expose() without `// EXPOSE: why`", file=sys.stderr)
    assert len(files) > 100, "the rooms have moved"
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
