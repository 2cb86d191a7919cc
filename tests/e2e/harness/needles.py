"""The forms in which a secret can lie in a text, and a quick search for any of many secrets in many files."""

import base64
import json
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

# Of a form this much is looked for: who finds a whole secret finds its beginning, and a cut one is found too.
LENGTH = 24
# Whatever is shorter is found by chance.
SHORTEST = 8
# So many different letters at least: what a secret is made of.
VARIETY = 4
# Bytes, not letters: ten times as quick.
_PLAIN = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


@dataclass(frozen=True)
class Secret:
    """One secret of the run."""

    kind: str
    value: str


def _base64(part: bytes) -> Iterator[str]:
    """Wherever it begins in what was encoded: the letters that its neighbours do not change."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + part).decode().rstrip("=")
        whole = encoded[(0, 2, 3)[shift] : (shift + len(part)) * 8 // 6]
        yield whole
        yield whole.replace("+", "-").replace("/", "_")


def _forms(part: str) -> Iterator[str]:
    raw = part.encode()
    yield part
    yield json.dumps(part)[1:-1]
    for quoted in (quote(part, safe=""), quote_plus(part)):
        yield quoted
        yield quoted.lower() if "%" in quoted else quoted
    if len(part) >= SHORTEST:
        yield raw.hex()
        yield raw.hex().upper()
        # As Rust shows bytes.
        yield ", ".join(str(byte) for byte in raw)
        yield from _base64(raw)


def needles(secret: str) -> set[str]:
    """Every form of `secret`, cut to its first letters; of a long one also of its end, of a JWT of each part."""
    parts = [secret[: 2 * LENGTH]]
    if len(secret) > 2 * LENGTH:
        parts.append(secret[-2 * LENGTH :])
    if secret.count(".") == 2:
        parts += [part[: 2 * LENGTH] for part in secret.split(".") if len(part) > LENGTH]
    # One letter over and over, as in tests of very long values, is found by chance too.
    telling = [part for part in parts if len(set(part[:LENGTH])) >= VARIETY]
    return {form[:LENGTH] for part in telling for form in _forms(part) if len(form) >= min(SHORTEST, len(secret))}


@dataclass(frozen=True)
class Found:
    """A secret, or its beginning, in a file."""

    secret: Secret
    file: Path
    needle: str


def search(secrets: Iterable[Secret], files: Iterable[Path]) -> list[Found]:
    """Which file holds which of the secrets."""
    known = {needle: secret for secret in secrets for needle in needles(secret.value)}
    names = [str(file) for file in files]
    if not known or not names:
        return []
    with tempfile.NamedTemporaryFile("w", suffix=".needles") as patterns:
        patterns.write("".join(f"{needle}\n" for needle in known))
        patterns.flush()
        grep = ["grep", "--files-with-matches", "--null", "--fixed-strings", "--text", f"--file={patterns.name}", "--"]
        done = subprocess.run(["xargs", "-0", *grep], input="\0".join(names).encode(), capture_output=True, env=_PLAIN)
    # grep says 1, and so xargs 123, where nothing is found.
    assert done.returncode in (0, 123) and not done.stderr, done
    found = []
    for name in filter(None, done.stdout.decode().split("\0")):
        text = Path(name).read_bytes().decode(errors="replace")
        found += [Found(secret, Path(name), needle) for needle, secret in known.items() if needle in text]
    return found
