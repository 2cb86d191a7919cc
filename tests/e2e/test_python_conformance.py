"""The shared cases of tests/conformance with the Python runner, sync and async: one test for each case.

The peer plays and judges them; each line that it prints is the verdict of one test here. `-k` selects cases by name.
"""

import json
import re
import subprocess
from functools import cache

import pytest
from harness.cli import REPOSITORY

PEER = REPOSITORY / "target/debug/flyte-auth-peer"
FOLDER = REPOSITORY / "tests/conformance"
VERDICT = re.compile(r"(pass|FAIL) (\S+) ?(.*)")
LANGUAGES = ("Python", "Python (async)")

# The first test of a language waits for all its cases.
pytestmark = pytest.mark.timeout(600)


def case_names() -> list[str]:
    """Every case, in the order of its file."""
    documents = (json.loads(file.read_text()) for file in sorted(FOLDER.glob("cases/**/*.json")))
    cases = (case for document in documents for case in (document if isinstance(document, list) else [document]))
    return [case["name"] for case in cases]


@pytest.fixture(scope="module")
def verdicts(request):
    """`verdicts(language)`: what the peer says of every case that was selected, by name."""

    @cache
    def of(language: str) -> dict[str, str | None]:
        asked = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
        names = [params["case"] for params in asked if params.get("language") == language]
        some = [word for name in names for word in ("--case", name)] if len(names) < len(case_names()) else []
        argv = [PEER, "--folder", FOLDER, "--language", language, *some]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=550, cwd=REPOSITORY)
        lines = (VERDICT.fullmatch(line) for line in done.stdout.splitlines())
        found = {line[2]: None if line[1] == "pass" else line[3] for line in lines if line}
        assert found, f"the peer played nothing: {done.stderr}"
        return found

    return of


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", case_names())
def test_case(verdicts, language, case):
    found = verdicts(language)
    assert case in found, "the peer did not play it"
    if found[case] is not None:
        pytest.fail(found[case], pytrace=False)


def test_the_runner_uses_the_public_api_alone():
    source = (FOLDER / "python/runner.py").read_text()
    assert not re.search(r"\bflyte_auth\._|\._[a-z]|import _", source)
