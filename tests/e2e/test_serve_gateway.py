"""What `serve` carries: gRPC of every kind, Connect, REST, the console; and what it says of the caller."""

import http.client
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import grpc
import httpx
import jwt
import pytest
import requests
from flyteidl.admin import project_pb2
from flyteidl.service import admin_pb2_grpc
from harness import plane as planes
from harness.plane import Visitor, channel


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with planes.scene(tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture(scope="module")
def token(plane):
    return plane.machine_token()


@pytest.fixture
def wire(plane, token):
    wire, metadata = channel(plane, token)
    with wire:
        yield wire, metadata


def test_unary_calls_with_flytes_own_messages(plane, wire):
    wire, metadata = wire
    reply = admin_pb2_grpc.AdminServiceStub(wire).ListProjects(project_pb2.ProjectListRequest(), metadata=metadata)
    assert [project.id for project in reply.projects] == ["flytesnacks"]


def test_messages_of_a_server_stream_arrive_one_by_one(plane, wire):
    wire, metadata = wire
    plane.admin.gate.clear()
    stream = wire.unary_stream("/flyteidl.test.Echo/Down")(b"m", metadata=metadata, timeout=20)
    assert next(stream) == b"m-1"
    plane.admin.gate.set()
    assert list(stream) == [b"m-2"]


def test_a_client_stream(wire):
    wire, metadata = wire
    parts = [bytes([65 + i]) * 1000 for i in range(20)]
    assert wire.stream_unary("/flyteidl.test.Echo/Up")(iter(parts), metadata=metadata, timeout=20) == b"".join(parts)


def test_a_conversation_in_both_directions(wire):
    wire, metadata = wire
    said, answered = [], threading.Event()

    def talk():
        for i in range(5):
            said.append(i)
            yield str(i).encode()
            # The next word waits for the answer to this one: nothing is held back on the way.
            assert answered.wait(10)
            answered.clear()

    heard = []
    for reply in wire.stream_stream("/flyteidl.test.Echo/Both")(talk(), metadata=metadata, timeout=30):
        heard.append(reply)
        answered.set()
    assert heard == [f"{i}!".encode() for i in range(5)] and said == list(range(5))


def test_status_message_and_trailers_of_a_failure_come_through(wire):
    wire, metadata = wire
    with pytest.raises(grpc.RpcError) as caught:
        wire.unary_unary("/flyteidl.test.Echo/Fails")(b"", metadata=metadata, timeout=10)
    error = caught.value
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION and error.details() == "no: 50% är"
    assert ("x-trailing", "kept") in [(key, value) for key, value in error.trailing_metadata()]


def test_large_messages(wire):
    wire, metadata = wire
    large = bytes(range(256)) * (16 << 12)
    assert wire.unary_unary("/flyteidl.test.Echo/Unary")(large, metadata=metadata, timeout=60) == large


def test_a_caller_that_goes_away_ends_the_call_behind(plane, wire):
    wire, metadata = wire
    plane.admin.gate.clear()
    stream = wire.unary_stream("/flyteidl.test.Echo/Down")(b"m", metadata=metadata)
    assert next(stream) == b"m-1"
    stream.cancel()
    plane.admin.gate.set()
    # Nothing hangs: the next call is answered at once.
    assert wire.unary_unary("/flyteidl.test.Echo/Unary")(b"x", metadata=metadata, timeout=5) == b"x"


def test_two_hundred_calls_at_once(plane, wire):
    wire, metadata = wire
    call = wire.unary_unary("/flyteidl.test.Echo/Unary")
    with ThreadPoolExecutor(64) as threads:
        sent = [str(i).encode() for i in range(200)]
        assert list(threads.map(lambda message: call(message, metadata=metadata, timeout=30), sent)) == sent


def test_who_calls_is_told_in_headers(plane, token):
    plane.get("/api/v1/projects?limit=1", token)
    method, path, sent, _ = plane.web.calls[-1]
    assert (method, path) == ("GET", "/api/v1/projects?limit=1")
    assert sent["x-user-subject"] == sent["x-user-client-id"] == "flytepropeller"
    assert sent["x-user-scopes"] == "all"
    assert sent["x-forwarded-for"].endswith("127.0.0.1") and sent["x-forwarded-proto"] == "http"
    assert sent["x-forwarded-host"] == urlsplit(plane.url).netloc


def test_flyte_2_gets_the_identity_in_the_headers_that_it_reads(plane, token):
    """`runs.identityHeaders`: X-Amzn-Oidc-Identity, and the claims as a JWT in X-Amzn-Oidc-Data.

    Flyte 2 does not check its signature; whoever does finds the key here."""
    reply = requests.post(
        f"{plane.url}/flyteidl2.project.ProjectService/ListProjects",
        json={},
        headers={"authorization": f"Bearer {token}", "x-amzn-oidc-data": "forged", "x-amzn-oidc-identity": "evil"},
        timeout=10,
    )
    assert reply.status_code == 200
    _, path, sent, body = plane.web.calls[-1]
    assert path == "/flyteidl2.project.ProjectService/ListProjects" and body == b"{}"
    assert sent["x-amzn-oidc-identity"] == "flytepropeller"
    keys = jwt.PyJWKSet.from_dict(plane.get("/.well-known/flyte-identity-jwks.json").json())
    found = jwt.decode(sent["x-amzn-oidc-data"], keys.keys[0], algorithms=["ES256"], issuer=plane.url)
    assert found["sub"] == "flytepropeller" and found["exp"] - found["iat"] == 120
    # It is no access token: it opens nothing here.
    assert plane.get("/me", sent["x-amzn-oidc-data"]).status_code == 401


def test_connect_refusals_are_connects(plane):
    for media_type in ("application/json", "application/proto", "application/connect+json"):
        reply = requests.post(
            f"{plane.url}/flyteidl2.project.ProjectService/ListProjects",
            data=b"{}",
            headers={"content-type": media_type},
            timeout=10,
        )
        assert reply.status_code == 401 and reply.json()["code"] == "unauthenticated"
        assert reply.headers["www-authenticate"].startswith("Bearer ")


def test_flyte_2s_own_discovery_and_identity(plane, token):
    def call(path, **headers):
        return requests.post(f"{plane.url}{path}", json={}, headers=headers, timeout=10)

    metadata = call("/flyteidl2.auth.AuthMetadataService/GetOAuth2Metadata")
    assert metadata.json()["tokenEndpoint"] == f"{plane.url}/oauth2/token"
    config = call("/flyteidl2.auth.AuthMetadataService/GetPublicClientConfig").json()
    assert config["clientId"] == "flytectl"
    assert call("/flyteidl2.auth.IdentityService/UserInfo").status_code == 401
    info = call("/flyteidl2.auth.IdentityService/UserInfo", authorization=f"Bearer {token}")
    assert info.json()["subject"] == "flytepropeller"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_rest_by_every_method(plane, token, method):
    body = b"x" * 100_000 if method in ("POST", "PUT", "PATCH") else None
    headers = {"authorization": f"Bearer {token}"}
    reply = requests.request(method, f"{plane.url}/api/v1/a%2Fb//c?q=%20", data=body, headers=headers, timeout=10)
    assert reply.status_code == 200 and reply.headers["x-upstream"] == "web"
    got, path, _, sent = plane.web.calls[-1]
    assert (got, path, sent) == (method, "/api/v1/a%2Fb//c?q=%20", body or b"")


def test_http2_comes_in_too(plane, token):
    with httpx.Client(http1=False, http2=True, trust_env=False) as client:
        reply = client.get(f"{plane.url}/api/v1/x", headers={"authorization": f"Bearer {token}"})
        assert reply.http_version == "HTTP/2" and reply.status_code == 200
        assert client.get(f"{plane.url}/api/v1/x").status_code == 401


def test_hop_by_hop_headers_stay_on_their_hop(plane, token):
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(plane.url).port, timeout=10)
    headers = {
        "Host": urlsplit(plane.url).netloc,
        "Authorization": f"Bearer {token}",
        "Connection": "keep-alive, x-secret-hop, x-user-subject, x-amzn-oidc-identity",
        "X-Secret-Hop": "1",
        "Keep-Alive": "timeout=5",
        "Proxy-Authorization": "Basic eA==",
        "TE": "trailers, deflate",
        "Forwarded": "for=1.2.3.4;host=evil",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
    }
    connection.request("GET", "/api/v1/x", headers=headers)
    assert connection.getresponse().status == 200
    connection.close()
    _, _, sent, _ = plane.web.calls[-1]
    for name in ("x-secret-hop", "keep-alive", "proxy-authorization", "forwarded"):
        assert name not in sent, name
    # The one value of it that is end to end.
    assert sent.get("te", "trailers") == "trailers"
    assert sent["x-forwarded-proto"] == "http" and "evil" not in sent["x-forwarded-host"]
    # And nobody has the identity dropped by calling it one of the hop.
    assert sent["x-user-subject"] == sent["x-amzn-oidc-identity"] == "flytepropeller"


@pytest.mark.parametrize(
    "raw",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"Content-Length: +4\r\n\r\nabcd",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_requests_of_two_readings_are_not_carried(plane, token, raw):
    """Request smuggling: what two servers may read in two ways reaches no service."""
    before = len(plane.web.calls)
    with socket.create_connection(("127.0.0.1", urlsplit(plane.url).port), timeout=5) as connection:
        head = f"POST /api/v1/x HTTP/1.1\r\nHost: {urlsplit(plane.url).netloc}\r\nAuthorization: Bearer {token}\r\n"
        smuggled = b"GET /api/v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.sendall(head.encode() + raw + smuggled)
        connection.settimeout(2)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except TimeoutError:
            pass
    assert not [path for _, path, _, _ in plane.web.calls[before:] if "smuggled" in path]


@pytest.mark.parametrize("path", ["/console/../api/v1/x", "/console/%2e%2e/api/v1/x", "/console/..%2fapi"])
def test_a_path_that_climbs_goes_nowhere(plane, token, path):
    before = len(plane.web.calls)
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(plane.url).port, timeout=10)
    headers = {"Host": urlsplit(plane.url).netloc, "Authorization": f"Bearer {token}"}
    connection.request("GET", path, headers=headers)
    assert connection.getresponse().status == 404
    connection.close()
    assert len(plane.web.calls) == before


def test_another_sites_page_changes_nothing_with_a_persons_cookies(plane):
    alice = Visitor(plane).signs_in()
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        before = len(plane.web.calls)
        reply = alice.step("POST", f"{plane.url}/api/v1/projects", json={}, headers={"accept": "*/*", **headers})
        assert reply.status_code == 403, headers
        assert len(plane.web.calls) == before
    own = alice.step("POST", f"{plane.url}/api/v1/projects", json={}, headers={"accept": "*/*", "origin": plane.url})
    assert own.status_code == 200
    assert plane.web.calls[-1][2]["x-user-subject"] == "alice@example.org"


def test_cross_origin_requests_by_the_allow_list(plane):
    ask = {"access-control-request-method": "GET", "access-control-request-headers": "flyte-authorization"}
    own = requests.options(f"{plane.url}/api/v1/x", headers={"origin": plane.url, **ask}, timeout=10)
    assert own.status_code == 204 and own.headers["access-control-allow-origin"] == plane.url
    assert own.headers["access-control-allow-credentials"] == "true"
    evil = requests.options(f"{plane.url}/api/v1/x", headers={"origin": "https://evil.example", **ask}, timeout=10)
    assert "access-control-allow-origin" not in evil.headers


def test_a_service_that_is_down_is_told_in_each_protocol(tmp_path):
    upstreams = [{"match": "flyteidl.", "url": "http://127.0.0.1:9"}, {"match": "/api", "url": "http://127.0.0.1:9"}]
    with planes.scene(tmp_path, {"gateway": {"upstreams": upstreams}}) as plane:
        token = plane.machine_token()
        wire, metadata = channel(plane, token)
        with wire, pytest.raises(grpc.RpcError) as caught:
            admin_pb2_grpc.AdminServiceStub(wire).ListProjects(project_pb2.ProjectListRequest(), metadata=metadata)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        reply = plane.get("/api/v1/x", token)
        assert reply.status_code == 503 and "127.0.0.1" not in reply.text
        assert plane.get("/elsewhere", token).status_code == 404


def test_a_connection_that_becomes_a_websocket(tmp_path):
    """Carried once it is known who asks; and nothing but WebSocket is."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += peer.recv(4096)
                assert b"x-user-subject: flytepropeller" in head.lower()
                if b"upgrade: websocket" not in head.lower():
                    peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain")
                    continue
                peer.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello "
                )
                while part := peer.recv(4096):
                    peer.sendall(part.upper())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    upstreams = [{"match": "/ws", "url": f"http://127.0.0.1:{listener.getsockname()[1]}"}]
    try:
        with planes.scene(tmp_path, {"gateway": {"upstreams": upstreams}}) as plane:
            token = plane.machine_token()
            host = urlsplit(plane.url).netloc
            head = f"GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            with socket.create_connection(("127.0.0.1", urlsplit(plane.url).port), timeout=5) as connection:
                connection.sendall(f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
                got = b""
                while b"hello " not in got:
                    got += connection.recv(4096)
                assert got.startswith(b"HTTP/1.1 101 ")
                connection.sendall(b"abc")
                assert connection.recv(16) == b"ABC"
            with socket.create_connection(("127.0.0.1", urlsplit(plane.url).port), timeout=5) as connection:
                connection.sendall(f"{head}\r\n".encode())
                assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")
            # HTTP/2 in the clear would be a tunnel past everything that is checked here.
            tunnel = head.replace("Upgrade: websocket", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
            with socket.create_connection(("127.0.0.1", urlsplit(plane.url).port), timeout=5) as connection:
                connection.sendall(f"{tunnel}Authorization: Bearer {token}\r\n\r\n".encode())
                assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
            # Another site's page cannot open it with a person's cookies.
            alice = Visitor(plane).signs_in()
            cookies = "; ".join(
                f"{cookie.name}={cookie.value}" for cookie in alice.browser.cookies if cookie.path == "/"
            )
            for origin, status in (("https://evil.example", b"403"), ("null", b"403")):
                with socket.create_connection(("127.0.0.1", urlsplit(plane.url).port), timeout=5) as connection:
                    connection.sendall(f"{head}Cookie: {cookies}\r\nOrigin: {origin}\r\n\r\n".encode())
                    assert connection.recv(4096).startswith(b"HTTP/1.1 " + status), origin
    finally:
        listener.close()


def test_requests_in_work_end_before_the_process_does(tmp_path):
    with planes.scene(tmp_path) as plane:
        token = plane.machine_token()
        wire, metadata = channel(plane, token)
        plane.admin.gate.clear()
        stream = wire.unary_stream("/flyteidl.test.Echo/Down")(b"m", metadata=metadata, timeout=20)
        assert next(stream) == b"m-1"
        plane.service.process.terminate()
        time.sleep(0.5)
        plane.admin.gate.set()
        assert list(stream) == [b"m-2"]
        assert plane.service.process.wait(15) == 0
        wire.close()
