"""A user's program, for the type checker alone (`test_python_types.py`): what each public name takes and gives."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, assert_type

import flyte_auth
from flyte_auth import (
    AccessDeniedError,
    ConfigError,
    FlyteAuthError,
    LoginEvent,
    LoginOutcome,
    LogoutOutcome,
    NetworkError,
    PendingLogin,
    Session,
    Token,
    VerifiedToken,
    Verifier,
)


def opens() -> None:
    assert_type(Session(endpoint="dns:///flyte.example"), Session)
    assert_type(Session.from_config(), Session)
    assert_type(Session.from_config(Path("config.yaml"), profile="prod", store="memory", interactive="never"), Session)
    assert_type(Session.for_endpoint("dns:///flyte.example", scopes=("all",), extra_params={"a": "b"}), Session)
    with Session.from_config() as session:
        assert_type(session, Session)
        assert_type(session.endpoint, str)
        assert_type(session.warnings, list[str])
    Session.from_config(store="cellar")  # type: ignore[arg-type]
    Session.from_config(interactive="sometimes")  # type: ignore[arg-type]
    Session.from_config(insecure="yes")  # type: ignore[arg-type]
    Session.from_config(endpiont="x")  # type: ignore[call-arg]
    Session.for_endpoint()  # type: ignore[call-arg]


def uses(session: Session) -> None:
    token = session.token()
    assert_type(token, Token | None)
    assert_type(session.headers(), dict[str, str])
    if token is not None:
        assert_type(token.value, str)
        assert_type(token.header_name, str)
        assert_type(token.header_value, str)
        assert_type(token.expires_at, datetime.datetime | None)
        session.invalidate(token)
        token.value = "another"  # type: ignore[misc]
    session.invalidate()
    session.invalidate("text")  # type: ignore[arg-type]
    status = session.status()
    assert_type(status["endpoint"], str)
    assert_type(status["signed_in"], bool)
    assert_type(status["scopes"], list[str])
    assert_type(status["access_token_expires_at"], str | None)
    status["no_such_member"]  # type: ignore[typeddict-item]
    assert_type(session.whoami()["email"], str | None)
    outcome = session.logout(revoke=True)
    assert_type(outcome, LogoutOutcome)
    assert_type(outcome.revoked, bool | None)
    assert_type(outcome.copies_removed, list[str])
    assert_type(outcome.was_signed_in, bool)
    session.close()


def shows(event: LoginEvent) -> None:
    assert_type(event.message, str)
    assert_type(event.url, str | None)
    assert_type(event.remaining, float | None)


async def shows_later(event: LoginEvent) -> None:
    shows(event)


def opens_browser(url: str) -> bool:
    return bool(url)


async def pastes() -> str:
    return "http://localhost:53593/callback?code=x&state=y"


def pastes_number() -> int:
    return 7


def signs_in(session: Session) -> None:
    outcome = session.login(flow="device", timeout=60, on_event=shows, open_browser=opens_browser, paste=input)
    assert_type(outcome, LoginOutcome)
    assert_type(outcome.email, str | None)
    assert_type(outcome.expires_at, datetime.datetime | None)
    assert_type(outcome.has_refresh_token, bool)
    session.login(on_event=shows_later, paste=pastes)
    session.login(on_event=print)
    session.login(flow="carrier-pigeon")  # type: ignore[arg-type]
    session.login(on_event=opens_browser)  # type: ignore[arg-type]
    session.login(paste=pastes_number)  # type: ignore[arg-type]
    assert_type(flyte_auth.login("dns:///flyte.example", flow="paste", client_id="x"), LoginOutcome)
    assert_type(flyte_auth.begin_login("dns:///flyte.example"), PendingLogin | None)
    pending = session.begin_login(flow="pkce", no_browser=True)
    assert_type(pending, PendingLogin | None)
    pending.finish()  # type: ignore[union-attr]
    if pending is not None:
        with pending as same:
            assert_type(same, PendingLogin)
        assert_type(pending.url, str)
        assert_type(pending.user_code, str | None)
        assert_type(pending.expires_at, datetime.datetime)
        assert_type(pending.finish(redirect_url=None, timeout=1.5), LoginOutcome)
        pending.cancel()


async def later() -> None:
    async with Session.from_config() as session:
        assert_type(session, Session)
        assert_type(await session.token_async(), Token | None)
        assert_type(await session.headers_async(), dict[str, str])
        assert_type(await session.logout_async(), LogoutOutcome)
        assert_type(await session.login_async(on_event=shows_later, paste=pastes), LoginOutcome)
        assert_type((await session.status_async())["store"], str)
        assert_type((await session.whoami_async())["subject"], str | None)
        pending = await session.begin_login_async()
        if pending is not None:
            assert_type(await pending.finish_async(), LoginOutcome)
        await session.invalidate_async()
        await session.aclose()


class Mine(Session):
    """A session of one's own class stays one."""

    def name(self) -> str:
        return self.endpoint


def opens_mine() -> None:
    assert_type(Mine.from_config(), Mine)
    assert_type(Mine.for_endpoint("x").name(), str)
    with Mine.from_config() as mine:
        assert_type(mine, Mine)


def verifies(bearer: str) -> None:
    verifier = Verifier(issuer="https://idp.example", audience=["a", "b"], required_scopes=("all",), clock_skew=0)
    assert_type(verifier, Verifier)
    assert_type(verifier.issuer, str)
    token = verifier.verify(bearer)
    assert_type(token, VerifiedToken)
    assert_type(token.subject, str | None)
    assert_type(token.audience, list[str])
    assert_type(token.scopes, list[str])
    assert_type(token.has_scope("all"), bool)
    assert_type(token.expires_at, datetime.datetime | None)
    assert_type(token.claims, dict[str, Any])
    assert_type(verifier.verify_id_token(bearer, client_id="x", nonce="n").subject, str)
    logout = verifier.verify_logout_token(bearer, client_id="x")
    assert_type(logout.token_id, str)
    assert_type(logout.session_id, str | None)
    Verifier(issuer="https://idp.example", audience="a", jwks={"keys": []})
    Verifier(issuer="https://idp.example", audience="a", profile="saml")  # type: ignore[arg-type]
    Verifier("https://idp.example")  # type: ignore[call-arg]
    verifier.verify(bearer.encode())  # type: ignore[arg-type]


async def verifies_later(verifier: Verifier, bearer: str) -> None:
    assert_type(await verifier.verify_async(bearer), VerifiedToken)
    assert_type((await verifier.verify_id_token_async(bearer, client_id="x")).email, str | None)


def fails(session: Session) -> str | None:
    try:
        session.headers()
    except NetworkError as error:
        assert_type(error.retryable, bool)
        assert_type(error.retry_after, float | None)
        as_os_error: OSError = error
        return str(as_os_error)
    except ConfigError as error:
        assert_type(error.setting, str | None)
        as_value_error: ValueError = error
        return str(as_value_error)
    except AccessDeniedError as error:
        return error.oauth_error
    except FlyteAuthError as error:
        assert_type(error.code, str)
        assert_type(error.kind, str)
        return error.next_step
    return None
