"""A login in a notebook: a real kernel, what its cells display, and a real browser's redirect."""

import re
import subprocess
import time
from queue import Empty

import pytest
from harness.cli import VENV
from harness.peers import Sandbox
from harness.person import CURL
from harness.scenes import ALICE
from jupyter_client.manager import KernelManager


class Notebook:
    """A kernel, and what is shown beneath its cells."""

    def __init__(self, env: dict[str, str]):
        self.manager = KernelManager()
        self.manager.kernel_spec.argv[0] = str(VENV / "python")
        self.manager.start_kernel(env=env)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=30)
        self.displays: dict[str, str] = {}
        self.printed = ""
        self.errors: list[str] = []

    def run(self, code: str) -> str:
        return self.client.execute(code)

    def hears(self, seconds: float) -> dict | None:
        try:
            message = self.client.get_iopub_msg(timeout=seconds)
        except Empty:
            return None
        content = message["content"]
        match message["msg_type"]:
            case "display_data" | "update_display_data":
                self.displays[content["transient"].get("display_id", "")] = content["data"].get("text/html", "")
            case "stream":
                self.printed += content["text"]
            case "error":
                self.errors.append(content["evalue"])
        return message

    def until(self, condition, within=30.0):
        """Listens until the condition holds."""
        end = time.monotonic() + within
        while not condition():
            assert time.monotonic() < end, (self.displays, self.printed, self.errors)
            self.hears(0.2)

    def finished(self, cell: str, within=30.0):
        """Waits for the end of a cell."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            message = self.hears(0.2)
            is_status = message is not None and message["msg_type"] == "status"
            ours = is_status and message["parent_header"].get("msg_id") == cell
            if ours and message["content"]["execution_state"] == "idle":
                return
        raise AssertionError((self.displays, self.printed, self.errors))

    @property
    def html(self) -> str:
        return "\n".join(self.displays.values())

    def link(self) -> str:
        """Where the link beneath the cell leads."""
        self.until(lambda: "href=" in self.html)
        (found,) = re.findall(r'<a href="([^"]+)" target="_blank" rel="noopener noreferrer">', self.html)
        return found.replace("&amp;", "&")

    def end(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def notebook(cli):
    kernel = Notebook(cli.environment())
    yield kernel
    kernel.end()


def visits(url: str):
    """A browser at a server that approves by itself."""
    subprocess.run([CURL, "-skL", "--noproxy", "*", "--max-time", "20", "-o", "/dev/null", url], check=True)


@pytest.fixture
def server(start):
    return start(Sandbox, "--auto-approve", ALICE)


@pytest.mark.parametrize("flow", ["device", "paste"])
def test_a_login_shows_a_link_and_how_it_stands(notebook, server, flow):
    """`paste` listens too, where the browser runs on the kernel's machine."""
    notebook.run(f"import flyte_auth; session = flyte_auth.Session.for_endpoint({server.http!r}, store='memory')")
    cell = notebook.run(f"outcome = session.login(flow={flow!r})")
    link = notebook.link()
    notebook.until(lambda: "Waiting for" in notebook.html)
    assert (flow == "device") == ("<code>" in notebook.html), notebook.html
    visits(link)
    notebook.finished(cell)
    assert not notebook.errors and not notebook.printed
    assert "Signed in" in notebook.html and "href" not in notebook.html
    assert len(notebook.displays) == 1, "one panel that changes"
    notebook.finished(notebook.run("print(session.token() is not None, outcome.has_refresh_token)"))
    assert notebook.printed.split() == ["True", "True"]


def test_a_pending_login_goes_on_while_other_cells_run(notebook, server):
    notebook.run(f"import flyte_auth; session = flyte_auth.Session.for_endpoint({server.http!r}, store='memory')")
    notebook.finished(notebook.run("pending = session.begin_login(flow='device'); pending"))
    link = notebook.link()
    notebook.finished(notebook.run("print(6 * 7)"))
    assert notebook.printed.strip() == "42", "the cell is not blocked"
    visits(link)
    notebook.until(lambda: "Signed in" in notebook.html)
    notebook.finished(notebook.run("print(session.token() is not None, pending.finish().has_refresh_token)"))
    assert notebook.printed.split() == ["42", "True", "True"], "whoever waits too gets the same outcome"


def test_a_cell_that_is_interrupted_ends_its_login(notebook, server):
    notebook.run(f"import flyte_auth; session = flyte_auth.Session.for_endpoint({server.http!r}, store='memory')")
    cell = notebook.run("session.login(flow='device')")
    notebook.link()
    notebook.manager.interrupt_kernel()
    notebook.finished(cell, within=10)
    assert notebook.errors == [""], "KeyboardInterrupt"
    assert "href" not in notebook.html and "ended" in notebook.html, "nothing is left to click"


def test_nobody_is_asked_by_a_call(notebook, server):
    notebook.run(f"import flyte_auth; session = flyte_auth.Session.for_endpoint({server.http!r}, store='memory')")
    begun = time.monotonic()
    notebook.finished(notebook.run("session.token()"))
    assert time.monotonic() - begun < 5 and not notebook.displays
    assert "not signed in" in notebook.errors[0]
