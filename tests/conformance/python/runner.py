"""The Python runner: does what the peer says, one JSON line in, one JSON line out (`tests/conformance/README.md`).

Through the public API of `flyte_auth` only; nothing here decides anything. With `--async` every call is the `_async`
twin, all of them in one event loop, which stays awake between the lines.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import flyte_auth

T = TypeVar("T")


class Threads:
    """Calls as they are; several at once are from threads."""

    async def call(self, on: object, method: str, **arguments: Any) -> Any:
        return getattr(on, method)(**arguments)

    async def many(self, on: object, method: str, count: int) -> list[Any]:
        with ThreadPoolExecutor(count) as pool:
            calls = [pool.submit(getattr(on, method)) for _ in range(count)]
        return [call.result() for call in calls]


class Tasks:
    """The twin of every call; several at once are tasks."""

    async def call(self, on: object, method: str, **arguments: Any) -> Any:
        return await getattr(on, f"{method}_async")(**arguments)

    async def many(self, on: object, method: str, count: int) -> list[Any]:
        return await asyncio.gather(*(self.call(on, method) for _ in range(count)))


class Runner:
    """What the commands name: sessions, logins that were begun, tokens that were kept."""

    def __init__(self, calls: Threads | Tasks) -> None:
        self.calls = calls
        self.sessions: dict[str, flyte_auth.Session] = {}
        self.logins: dict[str, flyte_auth.PendingLogin] = {}
        self.tokens: dict[str, flyte_auth.Token | None] = {}

    async def answer(self, line: bytes) -> str:
        """The answer to one line."""
        try:
            return json.dumps({"ok": await self.perform(json.loads(line))})
        except flyte_auth.FlyteAuthError as error:
            names = ("kind", "code", "retryable")
            return json.dumps({"error": {**{name: getattr(error, name) for name in names}, "message": str(error)}})

    async def perform(self, command: dict[str, Any]) -> Any:
        name, call = command.get("session", "main"), self.calls.call
        match command["do"]:
            case "open":
                options = dict(command.get("options") or {})
                self.sessions[name] = flyte_auth.Session.from_config(options.pop("config", None), **options)
            case "token" if count := command.get("count"):
                return [shown(token) for token in await self.calls.many(self.sessions[name], "token", count)]
            case "token":
                token = await call(self.sessions[name], "token")
                if keep := command.get("keep"):
                    self.tokens[keep] = token
                return shown(token)
            case "headers" | "status" | "whoami":
                return await call(self.sessions[name], command["do"])
            case "invalidate":
                kept = command.get("token")
                await call(self.sessions[name], "invalidate", token=None if kept is None else self.tokens[kept])
            case "begin_login":
                login = await call(self.sessions[name], "begin_login", flow=command["flow"], timeout=120.0)
                if login is None:
                    return None
                self.logins[name] = login
                return {"url": login.url, "user_code": login.user_code, "expires_at": login.expires_at.isoformat()}
            case "finish":
                await call(self.logins.pop(name), "finish", redirect_url=command.get("redirect_url"))
            case "cancel":
                self.logins.pop(name).cancel()
            case "logout":
                outcome = await call(self.sessions[name], "logout", revoke=bool(command.get("revoke")))
                if outcome.problem is not None:
                    raise outcome.problem
                return {"was_signed_in": outcome.was_signed_in}
            case other:
                raise ValueError(f"no command is called {other}")
        return {}


def shown(token: flyte_auth.Token | None) -> dict[str, str | None] | None:
    if token is None:
        return None
    until = token.expires_at
    shown_until = None if until is None else until.isoformat()
    return {"value": token.value, "expires_at": shown_until, "header_name": token.header_name}


async def read_on(runner: Runner, next_line: Callable[[], Awaitable[bytes]]) -> None:
    while line := await next_line():
        print(await runner.answer(line), flush=True)


def without_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """Runs what never waits for an event loop."""
    try:
        work.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    raise RuntimeError("a call without a twin waited for an event loop")


async def line_now() -> bytes:
    return sys.stdin.buffer.readline()


async def line_from_a_thread() -> bytes:
    return await asyncio.to_thread(sys.stdin.buffer.readline)


if __name__ == "__main__":
    if sys.argv[1:] == ["--async"]:
        asyncio.run(read_on(Runner(Tasks()), line_from_a_thread))
    else:
        without_a_loop(read_on(Runner(Threads()), line_now))
