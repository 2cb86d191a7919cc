"""`flyte login`, `flyte logout`, `flyte status`: those of `flyte-auth`, for the endpoint that this `flyte` talks to.

flyte finds them by the entry points in the group `flyte.plugins.cli.commands` (flyte/cli/_plugins.py).
"""

from __future__ import annotations

import signal
import sys

import rich_click as click

from ._native import run_cli
from .errors import FlyteAuthError
from .session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from flyte.cli._common import CLIConfig


def _typed(flyte: CLIConfig) -> list[str]:
    """The options that stand before the command, in the words of `flyte-auth`."""
    from flyte.cli._common import sanitize_auth_type

    file = flyte.ctx.params.get("config_file")
    found = {
        "--config": file,
        "--endpoint": flyte.endpoint,
        "--auth-type": sanitize_auth_type(flyte.auth_type) if flyte.auth_type else None,
    }
    words = [word for name, value in found.items() if value for word in (name, value)]
    if not file and not flyte.endpoint:
        _require_same_file(flyte)
    return words + (["--insecure"] if flyte.insecure else [])


def _require_same_file(flyte: CLIConfig) -> None:
    """flyte lets the working folder's file go before its variables, flyte-auth the other way round. A login elsewhere
    than where flyte goes would help nobody; and to name flyte's file would trust it unseen."""
    import os

    try:
        ours = Session().status()["config_file"]
    except FlyteAuthError:
        # The command says it better.
        return
    theirs = flyte.config.source
    if ours and theirs and not os.path.samefile(ours, theirs):
        raise click.UsageError(f"flyte reads {theirs}, flyte-auth {ours}; name one: flyte --config FILE …")


def _run(context: click.Context, command: str, *words: str | None, **flags: bool) -> None:
    arguments = [command, *_typed(context.obj), *(word for word in words if word is not None)]
    arguments += [f"--{name.replace('_', '-')}" for name, wanted in flags.items() if wanted]
    sys.stdout.flush()
    sys.stderr.flush()
    # Python's own handler only notes a Ctrl-C for later; the command ends by it, or catches it itself.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        code = run_cli([sys.executable, "-m", "flyte_auth"], arguments)
    finally:
        # None: one that was not set by Python.
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
    context.exit(code)


def _option(name: str, value: str | None) -> tuple[str | None, str | None]:
    return (name, value) if value is not None else (None, None)


_json = click.option("--json", "json", is_flag=True, help="Data as JSON, errors too.")


@click.command()
@click.argument("endpoint", required=False)
@click.option("--flow", help="How to sign in: auto, pkce, device or paste; `auto` looks at where this runs.")
@click.option("--no-browser", is_flag=True, help="Open no browser: print the URL.")
@click.option("--timeout", metavar="SECONDS", help="Give up after so many seconds; 300 unless said.")
@_json
@click.pass_context
def login(
    context: click.Context, endpoint: str | None, flow: str | None, no_browser: bool, timeout: str | None, json: bool
) -> None:
    """Sign in; the session is kept and refreshed for every tool."""
    words = (*_option("--flow", flow), *_option("--timeout", timeout))
    _run(context, "login", *words, endpoint, no_browser=no_browser, json=json)


@click.command()
@click.argument("endpoint", required=False)
@click.option("--revoke", is_flag=True, help="Revoke the tokens at the server too.")
@_json
@click.pass_context
def logout(context: click.Context, endpoint: str | None, revoke: bool, json: bool) -> None:
    """End the session on this machine; --revoke ends it at the server too."""
    _run(context, "logout", endpoint, revoke=revoke, json=json)


@click.command()
@click.option("--verify", is_flag=True, help="Ask the server whether it accepts the token.")
@_json
@click.pass_context
def status(context: click.Context, verify: bool, json: bool) -> None:
    """What is stored and what would be used; no network unless --verify."""
    _run(context, "status", verify=verify, json=json)
