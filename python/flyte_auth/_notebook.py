"""A login in a notebook: a link beneath the cell, and a line that says how it stands."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._native import LoginEvent, LoginOutcome
    from .session import PendingLogin


def is_here() -> bool:
    """Whether this is a notebook's kernel (not IPython in a terminal)."""
    import sys

    ipython = sys.modules.get("IPython")
    if ipython is None:
        return False
    shell = ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


class Panel:
    """What is shown beneath the cell; each event changes it."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.link: str | None = None
        self.code: str | None = None
        self.state = "Signing in…"
        self._handle: Any = None

    def show(self, event: LoginEvent) -> None:
        """Takes in an event of the login and shows it."""
        if event.kind == "url":
            self.link = event.url
            self.state = "Waiting for the browser…"
        elif event.kind == "user_code":
            self.link = event.verification_uri_complete or event.verification_uri
            self.code = event.user_code
        else:
            self.state = event.message
        self.update()

    def ended(self, how: LoginOutcome | BaseException) -> None:
        """The login is over: nothing is left to click."""
        self.link = self.code = None
        if isinstance(how, BaseException):
            # An interrupt has no words.
            self.state = str(how) or f"The login ended: {type(how).__name__}"
        else:
            who = how.email or how.subject
            self.state = f"Signed in as {who}" if who else "Signed in"
        self.update()

    def html(self) -> str:
        """The panel; every text of a server is escaped."""
        from html import escape

        parts = [f"<b>Sign in to {escape(self.place)}</b>"]
        # The core only gives http and https addresses; nothing else becomes a link.
        if self.link and self.link.startswith(("https://", "http://")):
            link = escape(self.link, quote=True)
            parts.append(f'<a href="{link}" target="_blank" rel="noopener noreferrer">Open the sign-in page</a>')
        if self.code:
            parts.append(f"Code: <code>{escape(self.code)}</code>")
        parts.append(f"<small>{escape(self.state)}</small>")
        return "<div>" + "<br>".join(parts) + "</div>"

    def update(self) -> None:
        """Shows the panel as it is now, in its place."""
        from IPython import display

        shown: Any = display.HTML(self.html())  # type: ignore[no-untyped-call]
        if self._handle is None:
            self._handle = display.display(shown, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(shown)


def follow(pending: PendingLogin) -> None:
    """Shows a pending login, and goes on showing how it stands while other cells run."""
    import threading

    from .errors import FlyteAuthError

    panel = Panel(pending.endpoint)
    panel.link, panel.code = pending.url, pending.user_code
    panel.state = "Waiting for you…"
    panel.update()

    def wait() -> None:
        try:
            panel.ended(pending.finish())
        except FlyteAuthError as error:
            panel.ended(error)

    threading.Thread(target=wait, name="flyte-auth-notebook", daemon=True).start()
