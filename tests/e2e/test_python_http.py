"""`flyte_auth.requests` and `flyte_auth.httpx` in their clients, against servers that judge real tokens."""

import asyncio
import io
import threading
import time
from urllib.parse import quote

import flyte_auth
import flyte_auth.httpx
import flyte_auth.requests
import httpx
import pytest
import requests
import trio
from flyte_auth._hosts import Hosts
from harness.in_process import moves_in
from harness.peers import Sandbox
from harness.rest_service import RestService

ROBOT = {"auth_type": "ClientSecret", "client_id": "flytepropeller", "client_secret": "foobar", "store": "memory"}
CUSTOM = "flyte-authorization"


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    moves_in(monkeypatch, tmp_path / "program")


class Place:
    """A service, and a robot's session with the sandbox whose endpoint the service is."""

    def __init__(self, sandbox, folder, header):
        self.sandbox = sandbox
        self.service = RestService(sandbox.accepts, header)
        self.elsewhere = RestService(header=header)
        self.url = self.service.url
        self._config = folder / "config.yaml"
        self._config.write_text(f"admin:\n  authorizationHeader: {header}\n")
        self.session = self.another_session()
        self._before = self._counted()

    def another_session(self):
        issuer = self.sandbox.ready["issuer"]
        return flyte_auth.Session.from_config(self._config, endpoint=self.url, issuer=issuer, scopes=["all"], **ROBOT)

    def revoked(self):
        """The token that the session has now is refused from now on."""
        self.service.revoked.add(self.session.token().value)
        return self.grants()

    def grants(self) -> int:
        """How many tokens this test has taken from the issuer."""
        return self._counted() - self._before

    def _counted(self) -> int:
        return self.sandbox.stats()["grants"].get("client_credentials", 0)

    def redirect(self, to, status=302):
        return f"{self.url}/redirect?status={status}&to={quote(to, safe='')}"

    def end(self):
        self.service.end()
        self.elsewhere.end()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One sandbox for every test that leaves it as it was."""
    server = Sandbox(tmp_path_factory.mktemp("shared"))
    yield server
    server.end()


@pytest.fixture(params=["authorization", CUSTOM])
def place(request, shared, tmp_path):
    made = Place(shared, tmp_path, request.param)
    yield made
    made.end()


@pytest.fixture
def plain(shared, tmp_path):
    """A place whose header is `authorization`."""
    made = Place(shared, tmp_path, "authorization")
    yield made
    made.end()


class Requests:
    """The three clients, alike."""

    make = flyte_auth.requests.FlyteAuth

    def send(self, auth, method, url, body=None, headers=None, follow=True):
        with requests.Session() as client:
            return client.request(
                method, url, data=body, headers=headers, auth=auth, timeout=10, allow_redirects=follow
            )


class Httpx:
    make = flyte_auth.httpx.FlyteAuth

    def send(self, auth, method, url, body=None, headers=None, follow=True):
        with httpx.Client(auth=auth, timeout=10, follow_redirects=follow, trust_env=False) as client:
            return client.request(method, url, content=body, headers=headers)


class HttpxAsync(Httpx):
    def send(self, auth, method, url, body=None, headers=None, follow=True):
        async def run():
            async with httpx.AsyncClient(auth=auth, timeout=10, follow_redirects=follow, trust_env=False) as client:
                return await client.request(method, url, content=_asynchronous(body), headers=headers)

        return asyncio.run(run())


class HttpxTrio(HttpxAsync):
    def send(self, auth, method, url, body=None, headers=None, follow=True):
        async def run():
            async with httpx.AsyncClient(auth=auth, timeout=10, follow_redirects=follow, trust_env=False) as client:
                return await client.request(method, url, content=_asynchronous(body), headers=headers)

        return trio.run(run)


def _asynchronous(body):
    """A generator, as an `AsyncClient` takes one."""
    if body is None or isinstance(body, (str, bytes)):
        return body

    async def parts():
        for part in body:
            yield part

    return parts()


@pytest.fixture(params=[Requests(), Httpx(), HttpxAsync()], ids=["requests", "httpx", "httpx-async"])
def client(request):
    return request.param


def test_the_header_is_there_once_and_replaces_the_programs_own(place, client):
    auth = client.make(place.session)
    name = place.service.header
    answer = client.send(auth, "GET", f"{place.url}/me", headers={name.title(): "Bearer mine", "X-Other": "stays"})
    assert answer.status_code == 200
    assert place.service.tokens() == [place.session.token().header_value]
    assert place.service.seen[0].values("x-other") == ["stays"]


def test_another_authorization_header_stays(shared, tmp_path, client):
    place = Place(shared, tmp_path, CUSTOM)
    client.send(client.make(place.session), "GET", f"{place.url}/me", headers={"Authorization": "for the proxy"})
    assert place.service.seen[0].values("authorization") == ["for the proxy"]
    assert place.service.tokens() == [place.session.token().header_value]
    place.end()


def test_a_rejected_token_is_replaced_once(place, client):
    before = place.revoked()
    answer = client.send(client.make(place.session), "GET", f"{place.url}/me")
    assert answer.status_code == 200
    assert [each.status_code for each in answer.history] == [401]
    first, second = place.service.tokens()
    assert first != second and second == place.session.token().header_value
    assert answer.history[0].request.headers[place.service.header] == first, "history tells what was sent"
    assert answer.request.headers[place.service.header] == second
    assert place.grants() == before + 1
    assert place.service.seen[1].values("cookie") == ["balancer=one"], "the retry goes to the same server"


def test_a_second_rejection_is_the_callers(plain, client):
    plain.service.refuses_all = True
    plain.session.token()
    before = plain.grants()
    assert client.send(client.make(plain.session), "GET", f"{plain.url}/me").status_code == 401
    assert len(plain.service.seen) == 2
    assert plain.grants() == before + 1


def test_forbidden_is_an_answer(plain, client):
    before = plain.revoked()
    answer = client.send(client.make(plain.session), "GET", f"{plain.url}/forbidden")
    assert answer.status_code == 403 and answer.history in ([], ())
    assert len(plain.service.seen) == 1 and plain.grants() == before


@pytest.mark.parametrize("body", [b"bytes \x00", "text", b""])
def test_a_body_at_hand_is_sent_again(plain, client, body):
    plain.revoked()
    answer = client.send(client.make(plain.session), "POST", f"{plain.url}/post", body)
    assert answer.status_code == 200
    bodies = [seen.body for seen in plain.service.seen]
    assert bodies == [body.encode() if isinstance(body, str) else body] * 2


@pytest.mark.parametrize("client", [Requests(), Httpx()], ids=["requests", "httpx"])
def test_a_file_is_sent_again_from_where_it_was(plain, client, tmp_path):
    plain.revoked()
    (tmp_path / "body").write_bytes(b"already read|the body")
    with (tmp_path / "body").open("rb") as file:
        file.seek(len("already read|"))
        answer = client.send(client.make(plain.session), "PUT", f"{plain.url}/put", file, {"Content-Length": "8"})
    assert answer.status_code == 200
    assert [seen.body for seen in plain.service.seen] == [b"the body"] * 2


@pytest.mark.parametrize("again", [True, False])
def test_a_multipart_form_is_sent_again_where_its_files_can_seek(plain, again):
    plain.revoked()
    files = {"file": io.BytesIO(b"in the file") if again else OnlyOnce(b"in the file")}
    auth = flyte_auth.httpx.FlyteAuth(plain.session)
    with httpx.Client(auth=auth, timeout=10, trust_env=False) as http:
        answer = http.post(f"{plain.url}/post", files=files, data={"name": "value"})
    assert answer.status_code == (200 if again else 401)
    assert [b"in the file" in seen.body and b"value" in seen.body for seen in plain.service.seen] == [True] * (
        1 + again
    )


class OnlyOnce(io.RawIOBase):
    """A pipe."""

    def __init__(self, content):
        self._rest = content

    def readable(self):
        return True

    def readinto(self, buffer):
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def test_a_stream_is_not_sent_again_but_its_token_is_not_used_again(plain, client):
    before = plain.revoked()
    answer = client.send(client.make(plain.session), "POST", f"{plain.url}/post", (part for part in (b"a", b"b")))
    assert answer.status_code == 401
    assert [seen.body for seen in plain.service.seen] == [b"ab"]
    assert plain.grants() == before, "nobody refreshes for a request that is not sent again"
    assert client.send(client.make(plain.session), "GET", f"{plain.url}/me").status_code == 200
    assert len(plain.service.seen) == 2 and plain.grants() == before + 1


@pytest.mark.parametrize("client", [Requests(), Httpx()], ids=["requests", "httpx"])
def test_a_pipe_is_not_sent_again(plain, client):
    plain.revoked()
    answer = client.send(client.make(plain.session), "POST", f"{plain.url}/post", OnlyOnce(b"ab"))
    assert answer.status_code == 401 and [seen.body for seen in plain.service.seen] == [b"ab"]


def test_a_redirect_within_the_endpoint_arrives_with_the_token(place, client):
    answer = client.send(client.make(place.session), "GET", place.redirect("/me"))
    assert answer.status_code == 200
    assert place.service.tokens()[-1] == place.session.token().header_value
    assert place.grants() == 1


def test_a_redirect_without_a_scheme_stays_too(place, client):
    answer = client.send(client.make(place.session), "GET", place.redirect(f"{place.url.removeprefix('http:')}/me"))
    assert answer.status_code == 200
    if place.service.header == "authorization" or client.make is flyte_auth.requests.FlyteAuth:
        assert place.service.paths() == ["GET /redirect", "GET /me"], "the token stayed with it"


def test_a_post_goes_on_where_it_was_redirected_to(place, client):
    place.revoked()
    answer = client.send(client.make(place.session), "POST", place.redirect("/post", 307), b"body")
    assert answer.status_code == 200
    assert place.service.paths()[0] == "POST /redirect" and set(place.service.paths()[1:]) == {"POST /post"}
    assert {seen.body for seen in place.service.seen} == {b"body"}
    assert place.grants() == 2


def test_what_a_post_was_answered_with_is_read_and_the_post_is_not_repeated(place, client):
    place.revoked()
    answer = client.send(client.make(place.session), "POST", place.redirect("/me", 303), b"body")
    assert answer.status_code == 200
    assert place.service.paths()[0] == "POST /redirect" and set(place.service.paths()[1:]) == {"GET /me"}


@pytest.mark.parametrize("status", [302, 303, 307, 308])
@pytest.mark.parametrize("to", ["another port", "another name", "no scheme", "login"])
def test_a_redirect_to_elsewhere_goes_without_the_token(place, client, to, status):
    url = {
        "another port": f"{place.elsewhere.url}/open",
        "another name": f"http://localhost:{place.elsewhere.port}/open",
        "no scheme": f"//127.0.0.1:{place.elsewhere.port}/open",
        # A page that answers 401: no reason to show it the token.
        "login": f"{place.elsewhere.url}/login",
    }[to]
    place.elsewhere.refuses_all = True
    answer = client.send(client.make(place.session), "GET", place.redirect(url, status))
    assert answer.status_code == (401 if to == "login" else 200)
    assert place.service.tokens() == [place.session.token().header_value]
    assert place.elsewhere.tokens() == [None]
    assert place.grants() == 1


def test_the_same_port_of_another_name_is_elsewhere(place, client):
    url = f"http://localhost:{place.service.port}/open"
    client.send(client.make(place.session), "GET", place.redirect(url))
    assert place.service.tokens() == [place.session.token().header_value, None]


def test_elsewhere_and_back_is_with_the_token_again(place, client):
    back = f"{place.url}/me"
    url = f"{place.elsewhere.url}/redirect?to={quote(back, safe='')}"
    answer = client.send(client.make(place.session), "GET", place.redirect(url))
    assert answer.status_code == 200
    assert place.elsewhere.tokens() == [None]
    assert place.service.tokens()[-1] == place.session.token().header_value
    assert place.grants() == 1, "the token was left behind, not rejected"


def test_a_redirect_after_a_rejection_has_the_new_token(place, client, monkeypatch):
    """The first request is rejected, its second sending is redirected to elsewhere."""
    place.revoked()
    answer = RestService._answer
    there = place.elsewhere.url

    def moved(service, handler):
        if handler.path == "/moved" and service is place.service:
            new = handler.headers.get(service.header).removeprefix("Bearer ") not in service.revoked
            handler.path = f"/redirect?to={quote(f'{there}/open', safe='')}" if new else "/rejected"
        answer(service, handler)

    monkeypatch.setattr(RestService, "_answer", moved)
    assert client.send(client.make(place.session), "GET", f"{place.url}/moved").status_code == 200
    assert place.service.paths() == ["GET /rejected", "GET /redirect"]
    assert place.elsewhere.tokens() == [None]
    there = place.url
    # A session whose fresh tokens are rejected twice in a row asks for no third.
    place.session = place.another_session()
    place.revoked()
    assert client.send(client.make(place.session), "GET", f"{place.url}/moved").status_code == 200
    assert place.service.tokens()[-2:-1] == [place.session.token().header_value]


def test_a_redirect_that_is_not_followed_shows_no_way_to_leak(place, client):
    answer = client.send(client.make(place.session), "GET", place.redirect(f"{place.elsewhere.url}/open"), follow=False)
    assert answer.status_code == 302
    following = answer.next if isinstance(answer, requests.Response) else answer.next_request
    assert place.service.header not in following.headers


@pytest.mark.parametrize("what", ["port", "name", "user", "host header"])
def test_a_request_to_elsewhere_is_not_sent(plain, client, what):
    url = {
        "port": plain.elsewhere.url,
        "name": f"http://localhost:{plain.service.port}",
        "user": plain.url.replace("http://", "http://user:hunter2hunter2@"),
        "host header": plain.url,
    }[what]
    headers = {"Host": "elsewhere.example"} if what == "host header" else {}
    with pytest.raises(flyte_auth.ConfigError) as refused:
        client.send(client.make(plain.session), "GET", f"{url}/me", headers=headers)
    assert refused.value.code == "foreign_host" and refused.value.next_step
    assert "hunter2" not in str(refused.value)
    assert plain.service.seen == plain.elsewhere.seen == []


def test_a_host_that_was_named_gets_the_token(place, client):
    auth = client.make(place.session, hosts=[f"{place.elsewhere.url}/"])
    assert client.send(auth, "GET", f"{place.elsewhere.url}/me").status_code == 200
    assert client.send(auth, "GET", place.redirect(f"{place.elsewhere.url}/me")).status_code == 200
    assert place.elsewhere.tokens()[-1] == place.session.token().header_value


def test_an_endpoint_without_auth_gets_the_request_as_it_is(client, tmp_path):
    service = RestService()
    session = flyte_auth.Session.for_endpoint(service.url, auth_type="none")
    answer = client.send(client.make(session), "POST", f"{service.url}/me", b"body", {"Authorization": "mine"})
    assert answer.status_code == 401 and len(service.seen) == 1
    assert service.tokens() == ["mine"]
    service.end()


def test_a_token_that_stays_the_same_is_not_sent_again(client, plain, monkeypatch):
    value = plain.session.token().value
    monkeypatch.setenv("FLYTE_TOKEN", value)
    plain.service.refuses_all = True
    session = flyte_auth.Session.for_endpoint(plain.url, issuer=plain.sandbox.ready["issuer"], store="memory")
    assert session.token().value == value
    assert client.send(client.make(session), "GET", f"{plain.url}/me").status_code == 401
    assert len(plain.service.seen) == 1


def test_nobody_signed_in_is_said_and_nothing_is_sent(client, plain):
    session = flyte_auth.Session.for_endpoint(plain.url, issuer=plain.sandbox.ready["issuer"], store="memory")
    with pytest.raises(flyte_auth.LoginRequiredError):
        client.send(client.make(session), "GET", f"{plain.url}/me")
    assert plain.service.seen == []


def test_the_error_of_the_second_token_comes_out(client, sandbox, tmp_path):
    place = Place(sandbox, tmp_path, "authorization")
    place.revoked()
    sandbox.end()
    with pytest.raises(flyte_auth.NetworkError):
        client.send(client.make(place.session), "GET", f"{place.url}/me")
    assert len(place.service.seen) == 1
    place.end()


@pytest.mark.parametrize("client", [Requests(), Httpx(), HttpxAsync(), HttpxTrio()])
def test_the_sandbox_rejects_a_token_that_is_over_by_its_clock(client, start):
    server = start(Sandbox, "--tls")
    session = flyte_auth.Session.for_endpoint(server.https, ca_cert=server.ca_cert, **ROBOT)
    auth = client.make(session, hosts=[server.http])
    assert client.send(auth, "GET", f"{server.http}/me").status_code == 200
    server.clock(3600)
    before = server.stats()["grants"]["client_credentials"]
    answer = client.send(auth, "GET", f"{server.http}/me")
    assert answer.status_code == 200 and answer.json()["subject"] == "flytepropeller"
    assert [each.status_code for each in answer.history] == [401]
    assert server.stats()["grants"]["client_credentials"] == before + 1


def test_tls_with_the_sandboxs_ca(start):
    server = start(Sandbox, "--tls")
    session = flyte_auth.Session.for_endpoint(server.https, ca_cert=server.ca_cert, **ROBOT)
    answer = requests.get(
        f"{server.https}/me", auth=flyte_auth.requests.FlyteAuth(session), verify=server.ca_cert, timeout=10
    )
    assert answer.status_code == 200


def test_a_hundred_rejected_requests_refresh_once(plain):
    before = plain.revoked()

    async def run():
        limits = httpx.Limits(max_connections=100)
        auth = flyte_auth.httpx.FlyteAuth(plain.session)
        async with httpx.AsyncClient(auth=auth, timeout=30, limits=limits, trust_env=False) as http:
            return await asyncio.gather(*(http.get(f"{plain.url}/me") for _ in range(100)))

    assert {answer.status_code for answer in asyncio.run(run())} == {200}
    assert plain.grants() == before + 1


def test_threads_share_a_session_and_refresh_once(plain):
    before = plain.revoked()
    statuses = []
    with requests.Session() as http:
        http.auth = flyte_auth.requests.FlyteAuth(plain.session)

        def get():
            statuses.append(http.get(f"{plain.url}/me", timeout=20).status_code)

        threads = [threading.Thread(target=get) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert statuses == [200] * 16 and plain.grants() == before + 1


@pytest.mark.parametrize("run", [lambda main: asyncio.run(main()), trio.run], ids=["asyncio", "trio"])
def test_the_event_loop_goes_on_while_a_token_is_fetched(plain, run):
    plain.sandbox.fault("delay-700", 1, path="/oauth2/token")
    sleep = trio.sleep if run is trio.run else asyncio.sleep
    longest = 0.0
    done = False

    async def watch():
        nonlocal longest
        while not done:
            began = time.monotonic()
            await sleep(0.01)
            longest = max(longest, time.monotonic() - began)

    async def get():
        nonlocal done
        # trio starts tasks in any order.
        await sleep(0.05)
        async with httpx.AsyncClient(auth=flyte_auth.httpx.FlyteAuth(plain.session), trust_env=False) as http:
            began = time.monotonic()
            assert (await http.get(f"{plain.url}/me", timeout=10)).status_code == 200
            assert time.monotonic() - began > 0.6
        done = True

    async def main():
        if run is trio.run:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch)
                nursery.start_soon(get)
        else:
            await asyncio.gather(watch(), get())

    run(main)
    assert longest < 0.4


def test_a_prepared_request_is_watched_once_however_often_it_is_sent(place):
    auth = flyte_auth.requests.FlyteAuth(place.session)
    with requests.Session() as http:
        prepared = http.prepare_request(requests.Request("POST", f"{place.url}/post", data=b"body", auth=auth))
        for _ in range(3):
            auth(prepared)
        assert len(prepared.hooks["response"]) == 1
        place.revoked()
        assert http.send(prepared, timeout=10).status_code == 200
        assert len(place.service.seen) == 2
        for _ in range(2):
            assert http.send(prepared, timeout=10).status_code == 200
        assert len(place.service.seen) == 4, "it goes on with the new token"


def test_a_program_sees_the_last_answer_in_its_own_hook(plain):
    plain.revoked()
    seen = []
    answer = requests.get(
        f"{plain.url}/me",
        auth=flyte_auth.requests.FlyteAuth(plain.session),
        hooks={"response": lambda reply, **_: seen.append(reply.status_code)},
        timeout=10,
    )
    assert answer.status_code == 200 and seen == [200]


def test_a_streamed_answer_is_still_to_be_read(plain):
    plain.revoked()
    auth = flyte_auth.requests.FlyteAuth(plain.session)
    with requests.get(f"{plain.url}/me", auth=auth, stream=True, timeout=10) as answer:
        assert answer.status_code == 200 and answer.raw.read(5) == b'{"sta'
    plain.session = plain.another_session()
    plain.revoked()
    with (
        httpx.Client(auth=flyte_auth.httpx.FlyteAuth(plain.session), trust_env=False) as http,
        http.stream("GET", f"{plain.url}/me") as streamed,
    ):
        assert streamed.status_code == 200 and not streamed.is_stream_consumed


def test_an_httpx_request_is_sent_twice(place):
    with httpx.Client(auth=flyte_auth.httpx.FlyteAuth(place.session), timeout=10, trust_env=False) as http:
        request = http.build_request("POST", f"{place.url}/post", content=b"body")
        assert http.send(request).status_code == 200
        place.revoked()
        assert http.send(request).status_code == 200
        assert http.send(request).status_code == 200
    assert [seen.body for seen in place.service.seen] == [b"body"] * 4
    assert len(set(place.service.tokens())) == 2


def test_no_repr_shows_the_token(place):
    value = place.session.token().value
    with httpx.Client(auth=flyte_auth.httpx.FlyteAuth(place.session), timeout=10, trust_env=False) as http:
        by_httpx = http.get(f"{place.url}/me").request.headers
    auth = flyte_auth.requests.FlyteAuth(place.session)
    by_requests = requests.get(f"{place.url}/me", auth=auth, timeout=10).request.headers
    assert len(place.service.seen) == 2
    for shown in (repr(by_httpx), repr(by_requests), str(by_requests), repr(auth)):
        assert (value in shown) is False


def test_headers_of_one_request_are_headers():
    """What is private to the request reads and changes like any other header."""
    headers = flyte_auth.httpx._Headers(httpx.Headers({"Host": "h", CUSTOM: "old"}), CUSTOM, "Bearer made-up")
    assert headers[CUSTOM.title()] == "Bearer made-up" and CUSTOM in headers and len(headers) == 2
    assert dict(headers) == dict(headers.items()) == {"host": "h", CUSTOM: "Bearer made-up"}
    assert [key for key, _ in headers.raw] == [b"Host", CUSTOM.encode()]
    assert headers.get_list(CUSTOM) == ["Bearer made-up"] and "Bearer made-up" in list(headers.values())
    headers["x-added"] = "1"
    headers.update({"x-more": "2"})
    del headers["host"]
    assert dict(httpx.Headers(headers)) == dict(headers.copy()) == {"x-added": "1", "x-more": "2"}
    assert "made-up" not in repr(headers)


HTTPS = "https://flyte.example"


@pytest.mark.parametrize(
    ("endpoint", "url", "code"),
    [
        (HTTPS, "https://flyte.example/path?x=http://evil.example", None),
        (HTTPS, "https://FLYTE.example:443/", None),
        (HTTPS, "https://flyte.example./", None),
        (HTTPS, "HTTPS://flyte.example/", None),
        (HTTPS, "http://flyte.example:443/", "plaintext_refused"),
        (HTTPS, "http://flyte.example/", "foreign_host"),
        (HTTPS, "https://flyte.example:8443/", "foreign_host"),
        (HTTPS, "https://flyte.example.evil.example/", "foreign_host"),
        (HTTPS, "https://evil.example/flyte.example", "foreign_host"),
        (HTTPS, "https://flyte.example@evil.example/", "foreign_host"),
        (HTTPS, "https://user@flyte.example/", "foreign_host"),
        (HTTPS, "https://evil.example\\@flyte.example/", "foreign_host"),
        (HTTPS, "https://flyte.example\\.evil.example/", "foreign_host"),
        (HTTPS, "https://flyte.example\t.evil.example/", "foreign_host"),
        (HTTPS, "https://flyte.example:notaport/", "foreign_host"),
        (HTTPS, "https://flyte.example:99999/", "foreign_host"),
        (HTTPS, "https://fl\u0443te.example/", "foreign_host"),
        # The sign of the kelvin is a k in lower case.
        ("https://kite.example", "https://\u212aite.example/", "foreign_host"),
        # A slash to some parsers.
        (HTTPS, "https://flyte.example/a\\b", "foreign_host"),
        (HTTPS, "https://[::1/", "foreign_host"),
        (HTTPS, "ftp://flyte.example/", "foreign_host"),
        (HTTPS, "//flyte.example/", "foreign_host"),
        (HTTPS, "/path", "foreign_host"),
        (HTTPS, "", "foreign_host"),
        ("http://flyte.example", "http://flyte.example:80/", None),
        ("http://flyte.example", "https://flyte.example:80/", None),
        ("http://flyte.example", "https://flyte.example/", "foreign_host"),
        ("https://localhost:8443", "http://localhost:8443/", None),
        ("https://[::1]:8443", "http://[0:0:0:0:0:0:0:1]:8443/", None),
        ("https://[2001:db8::1]", "https://[2001:DB8:0::1]/", None),
        ("https://[2001:db8::1]", "http://[2001:db8::1]:443/", "plaintext_refused"),
        ("https://bücher.example", "https://xn--bcher-kva.example/", None),
    ],
)
def test_where_a_token_may_go(endpoint, url, code):
    hosts = Hosts(flyte_auth.Session.for_endpoint(endpoint, insecure=endpoint.startswith("http:") or None), ())
    assert hosts.allow(url) is (code is None)
    if code is not None:
        with pytest.raises(flyte_auth.ConfigError) as refused:
            hosts.check(url)
        assert refused.value.code == code and refused.value.kind == "config" and not refused.value.retryable
        assert refused.value.next_step in str(refused.value) and refused.value.message in str(refused.value)


def test_an_issuer_alone_has_no_hosts_but_those_that_are_named():
    session = flyte_auth.Session(issuer="https://idp.example")
    with pytest.raises(flyte_auth.ConfigError) as refused:
        Hosts(session, ()).check("https://idp.example/")
    assert refused.value.code == "no_endpoint"
    assert Hosts(session, ["https://api.example"]).allow("https://api.example/x")
    assert not Hosts(session, ["https://api.example"]).allow("https://idp.example/x")


@pytest.mark.parametrize("make", [flyte_auth.requests.FlyteAuth, flyte_auth.httpx.FlyteAuth])
def test_wrong_arguments_are_named_at_once(make):
    session = flyte_auth.Session.for_endpoint(HTTPS)
    with pytest.raises(TypeError, match="session must be"):
        make("https://flyte.example")
    for hosts in ("https://other.example", 1, None, [1]):
        with pytest.raises(TypeError, match="hosts must be"):
            make(session, hosts=hosts)
    for host in (
        "other.example",
        "dns:///other.example",
        "https://other.example/path",
        "https://u:p@other.example",
        "",
    ):
        with pytest.raises(flyte_auth.ConfigError) as refused:
            make(session, hosts=[host])
        assert refused.value.code == "endpoint_invalid" and refused.value.setting == "hosts"
        assert "u:p" not in str(refused.value)
