"""A session bus of its own with a real Secret Service (gnome-keyring) on it, or with something worse."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import jeepney
import secretstorage
from jeepney.io.blocking import open_dbus_connection

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
SECRETS = "org.freedesktop.secrets"
PROMPTER = "org.gnome.keyring.SystemPrompter"
PASSWORD = b"a login password"


class Bus:
    """A session bus on which nothing is started by asking for it."""

    def __init__(self):
        # Not below the test's folder: the path of a socket has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="bus-"))
        self.socket = self.folder / "socket"
        self.address = f"unix:path={self.socket}"
        config = self.folder / "bus.conf"
        config.write_text(BUS_CONFIG.format(socket=self.socket))
        self._children: list[subprocess.Popen] = []
        self.spawn(["/usr/bin/dbus-daemon", f"--config-file={config}", "--nofork"])
        until(self.socket.exists, "the bus did not start")

    @property
    def env(self) -> dict[str, str]:
        """What a program needs to find the bus."""
        return {"DBUS_SESSION_BUS_ADDRESS": self.address}

    def spawn(self, argv, stdin: bytes | None = None) -> subprocess.Popen:
        folders = ("home", "run")
        for folder in folders:
            (self.folder / folder).mkdir(mode=0o700, exist_ok=True)
        env = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder / "home"),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "DBUS_SESSION_BUS_ADDRESS": self.address,
        }
        log = (self.folder / f"{Path(argv[0]).name}.log").open("w")
        child = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
        log.close()
        if stdin is not None:
            child.stdin.write(stdin)
        child.stdin.close()
        self._children.append(child)
        return child

    def has(self, name: str) -> bool:
        with contextlib.closing(open_dbus_connection(bus=self.address)) as connection:
            call = jeepney.new_method_call(jeepney.message_bus, "NameHasOwner", "s", (name,))
            return bool(connection.send_and_get_reply(call).body[0])

    def end(self):
        for child in reversed(self._children):
            child.terminate()
            try:
                child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class SecretService(Bus):
    """gnome-keyring with an unlocked login keyring."""

    def __init__(self):
        super().__init__()
        self._start(["--unlock"], PASSWORD)
        until(lambda: not self.locked, "the login keyring was not unlocked")

    def _start(self, arguments, stdin=None):
        argv = ["/usr/bin/gnome-keyring-daemon", "--foreground", "--components=secrets", *arguments]
        self.daemon = self.spawn(argv, stdin)
        until(lambda: self.has(SECRETS), "gnome-keyring did not start")

    @contextlib.contextmanager
    def _collection(self):
        with contextlib.closing(open_dbus_connection(bus=self.address)) as connection:
            yield secretstorage.get_default_collection(connection)

    @property
    def locked(self) -> bool:
        try:
            with self._collection() as collection:
                return collection.is_locked()
        except secretstorage.exceptions.SecretStorageException:
            return True

    def lock(self):
        with self._collection() as collection:
            collection.lock()
        until(lambda: self.locked, "the keyring was not locked")

    def unlock(self):
        """As a new desktop session does: another daemon, with the password. What is kept is kept."""
        self.daemon.terminate()
        self.daemon.wait(timeout=5)
        until(lambda: not self.has(SECRETS), "gnome-keyring did not end")
        self._start(["--unlock"], PASSWORD)
        until(lambda: not self.locked, "the login keyring was not unlocked")

    def items(self, **attributes) -> list[dict[str, str]]:
        """Attributes, label and secret of the items of service `flyte-auth`, as secret-tool sees them."""
        wanted = {"service": "flyte-auth", **attributes}
        argv = ["/usr/bin/secret-tool", "search", "--all"]
        argv += [word for pair in wanted.items() for word in pair]
        done = subprocess.run(argv, env={**self.env, "HOME": "/tmp"}, capture_output=True, text=True, timeout=20)
        found: list[dict[str, str]] = []
        # It prints the attributes to stderr and the rest to stdout, each in the items' order.
        names = [
            line.removeprefix("attribute.username = ")
            for line in done.stderr.splitlines()
            if line.startswith("attribute.username = ")
        ]
        for line in done.stdout.splitlines():
            if line.startswith("["):
                found.append({"path": line.strip("[]")})
            elif " = " in line and found:
                name, _, value = line.partition(" = ")
                found[-1][name] = value
        for item, name in zip(found, names, strict=True):
            item["username"] = name
        return found

    def keys(self) -> list[dict[str, str]]:
        """The items that hold a key of encrypted files."""
        return [item for item in self.items() if item["username"].startswith("file-key-")]

    def forget(self, username: str):
        """Deletes an item, as a person does in the desktop's own window."""
        argv = ["/usr/bin/secret-tool", "clear", "service", "flyte-auth", "username", username]
        subprocess.run(argv, env={**self.env, "HOME": "/tmp"}, check=True, timeout=20)


class SilentPrompter:
    """Takes every question of gnome-keyring to the person, and nobody ever answers."""

    def __init__(self, bus: Bus):
        self.connection = open_dbus_connection(bus=bus.address)
        reply = self.connection.send_and_get_reply(jeepney.message_bus.RequestName(PROMPTER))
        assert reply.body[0] == 1, "somebody else answers prompts"

    def asked(self, within: float) -> bool:
        """Whether a prompt arrives; it is taken, and that is all that ever happens to it."""
        try:
            while True:
                message = self.connection.receive(timeout=within)
                if message.header.fields.get(jeepney.HeaderFields.member) == "BeginPrompting":
                    self.connection.send(jeepney.new_method_return(message))
                    return True
        except TimeoutError:
            return False

    def end(self):
        self.connection.close()


class BlackHole:
    """A bus that accepts and never says a word."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="bus-"))
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.folder / "socket"))
        # The kernel accepts for whoever listens; nobody ever reads.
        self._socket.listen(128)
        self._socket.setblocking(False)
        self._callers: list[socket.socket] = []
        self.env = {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.folder}/socket"}

    def calls(self) -> int:
        """How many have connected so far. They wait on."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._callers.append(self._socket.accept()[0])
        return len(self._callers)

    def end(self):
        for caller in self._callers:
            caller.close()
        self._socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def until(condition, otherwise: str, within=20.0):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)
