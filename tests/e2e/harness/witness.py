"""Watches every run of every test for secrets where none may be.

The programs under test log everything at TRACE into files of their own, theirs and their dependencies' (feature
`testing`); a preloaded library keeps the arguments of every process and all that a program of this project says
(witness.c); whoever makes a secret, server or client, writes it down. After each test all of it is searched for all
secrets, and so are the files that should be encrypted.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from harness.needles import SHORTEST, Secret, search

SEPARATOR = "\x1f"
# Flyte's example secret of flytepropeller, which everybody knows, is looked for although it is short.
KNOWN_SHORT = {"foobar"}
# What a person is shown, and what stands in the address that a browser is given.
SHOWN = {"user_code"}
# Where the environment brings secrets in.
BRINGS = re.compile(r"FLYTE_(AUTH_)?TOKEN|\w*CLIENT_SECRET|\w*API_KEY")
# Stores whose files hold no plain text.
ENCRYPTED = {"encrypted-file", "keyring", "memory", "none"}


def _subcommand(arguments: list[str]) -> set[str]:
    return {word for word in arguments[1:] if not word.startswith("-")}


def prints_secrets(arguments: list[str]) -> bool:
    """Whether stdout of this command is where a secret belongs: the token to whom asked for it, a session on its way to
    another machine, the ready line that tells a test the sandbox's clients, and answers to the conformance peer."""
    words = _subcommand(arguments)
    name = Path(arguments[0]).name
    return bool(words & {"token", "header", "sandbox"} or {"session", "export"} <= words) or "conformance" in name


class Witness:
    """Looks on; `place` is the folder of the test that runs."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.library = folder / "witness.so"
        source = Path(__file__).with_name("witness.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.library, source, "-ldl"], check=True)
        self._homes: list[Path] = []
        self._stores: set[str] = set()
        self._read: dict[Path, int] = {}
        self._count = 0
        self.goes_to("between")

    def goes_to(self, name: str):
        """From now on what starts belongs to `name`."""
        self._count += 1
        self.place = self.folder / f"{self._count:04}-{re.sub(r'[^a-zA-Z0-9_-]+', '-', name)[:80]}"
        self.place.mkdir()
        self._homes.clear()
        self._stores.clear()

    @property
    def env(self) -> dict[str, str]:
        """What a program needs to be watched."""
        return {
            "LD_PRELOAD": str(self.library),
            "FLYTE_AUTH_WITNESS": str(self.place),
            "FLYTE_AUTH_TESTING_LOG": str(self.place),
            **self.secrets_env,
            "RUST_BACKTRACE": "full",
        }

    @property
    def secrets_env(self) -> dict[str, str]:
        """What a server needs to write down its secrets."""
        return {"FLYTE_AUTH_TESTING_SECRETS": str(self.place / "secrets")}

    def watches(self, home: Path):
        """A home in which programs keep files."""
        self._homes.append(home)

    def knows(self, *secrets: str, kind="registered"):
        """Secrets that no program under test would make known."""
        with (self.place / "secrets").open("a") as file:
            file.writelines(f"{kind}\t{secret}\n" for secret in secrets)

    def sees(self, env: dict[str, str]):
        """The environment of a program that starts."""
        self.knows(*(value for name, value in env.items() if BRINGS.fullmatch(name)), kind="environment")
        self._stores.add(env.get("FLYTE_AUTH_STORE", ""))

    def _secrets(self, folders: list[Path], anew=False) -> set[Secret]:
        """What was written down since the last look, or all."""
        found = set()
        for file in (folder / "secrets" for folder in folders):
            if not file.exists():
                continue
            with file.open("rb") as lines:
                lines.seek(0 if anew else self._read.get(file, 0))
                text = lines.read()
                self._read[file] = lines.tell()
            for line in text.decode(errors="replace").splitlines():
                kind, _, value = line.partition("\t")
                if len(value) >= SHORTEST or value in KNOWN_SHORT:
                    found.add(Secret(kind, value))
        return found

    def ends(self) -> list[str]:
        """Looks at all that the test in `place` left, for all secrets of that time."""
        places = [self.place, *(folder for folder in self._between() if folder != self.place)]
        secrets = self._secrets(places)
        return [*self._in_texts(secrets, [self.place]), *self._in_state(secrets)]

    def ends_for_good(self) -> list[str]:
        """Looks at everything of the whole run for all secrets of the whole run."""
        folders = [folder for folder in self.folder.iterdir() if folder.is_dir()]
        return list(self._in_texts(self._secrets(folders, anew=True), folders))

    def _between(self) -> list[Path]:
        return sorted(self.folder.glob("*-between"))

    def _in_texts(self, secrets: set[Secret], folders: list[Path]) -> Iterator[str]:
        files = [file for folder in folders for file in folder.iterdir() if file.name != "secrets"]
        for found in search(secrets, files):
            where = found.file.suffix
            if found.secret.kind in SHOWN and where != ".log":
                continue
            for line in _lines_with(found.file, found.needle):
                yield f"{found.secret.kind} in {found.file.parent.name}/{found.file.name}: {line}"

    def _in_state(self, secrets: set[Secret]) -> Iterator[str]:
        for home in self._homes:
            files = [file for part in ("state", "tmp", "run") for file in (home / part).rglob("*") if file.is_file()]
            # A link leads elsewhere, and a test's own.
            for found in search(secrets, [file for file in files if not file.is_symlink()]):
                if found.secret.kind not in SHOWN and not self._may_be_plain(found.file):
                    yield f"{found.secret.kind} in the file {found.file}"

    def _may_be_plain(self, file: Path) -> bool:
        """A record of the file store, or what a killed process left of one: readable by its owner only."""
        named = {store for arguments in _arguments(self.place / "argv") for store in _stores(arguments)}
        encrypted = named and (named | self._stores - {""}) <= ENCRYPTED
        record = file.parent.name == "sessions" and ".json" in file.name
        return record and file.stat().st_mode & 0o077 == 0 and not encrypted


def _stores(arguments: list[str]) -> Iterator[str]:
    """Which store a command line of ours names; none is `auto`."""
    if not Path(arguments[0]).name.startswith("flyte-auth"):
        return
    given = [after for word, after in zip(arguments, arguments[1:], strict=False) if word == "--store"]
    yield from given or [word.removeprefix("--store=") for word in arguments if word.startswith("--store=")] or ["auto"]


def _arguments(file: Path) -> list[list[str]]:
    if not file.exists():
        return []
    return [line.split(SEPARATOR) for line in file.read_bytes().decode(errors="replace").splitlines() if line]


def _lines_with(file: Path, needle: str) -> Iterator[str]:
    """The lines in which the needle is a leak."""
    text = file.read_bytes().decode(errors="replace")
    lines = text.split("\n")
    if file.suffix == ".out":
        arguments = lines.pop(0).split(SEPARATOR)
        # In the document of an error nothing secret belongs.
        if prints_secrets(arguments) and '"error"' not in text:
            return
    elif file.suffix == ".err":
        lines.pop(0)
    for line in lines:
        if file.name == "argv":
            line = _without_clients(line)
        if needle in line:
            at = line.index(needle)
            yield line[max(0, at - 60) : at].replace(SEPARATOR, " ") + "<HERE>"


def _without_clients(line: str) -> str:
    """The sandbox is given its clients' secrets as arguments: they are made up there."""
    words = line.split(SEPARATOR)
    return SEPARATOR.join(word for before, word in zip(["", *words], words, strict=False) if before != "--client")


class _None:
    """No test runs: nothing is watched."""

    env: dict[str, str] = {}
    secrets_env: dict[str, str] = {}

    def watches(self, home):
        pass

    def sees(self, env):
        pass

    def knows(self, *secrets, kind=""):
        pass


current: Witness | _None = _None()


def begin(folder: Path) -> Witness:
    """Watches from now on."""
    global current
    current = Witness(folder)
    return current


def joined(env: dict[str, str], more: dict[str, str]) -> dict[str, str]:
    """Both environments; a library that a test preloads does not push ours out."""
    both = {**env, **more}
    libraries = [one["LD_PRELOAD"] for one in (more, env) if one.get("LD_PRELOAD")]
    return {**both, "LD_PRELOAD": os.pathsep.join(dict.fromkeys(libraries))} if libraries else both
