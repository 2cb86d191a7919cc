//! Flyte's services over gRPC, gRPC-Web, Connect and REST, and the documents of the issuer.

use flyte_auth::protocol::flyteidl::{OAuth2Metadata, PublicClientConfig, UserInfo};
use flyte_auth_server::flyte::Generations;
use http_body_util::BodyExt as _;
use prost::Message;
use serde_json::{Value, json};

use crate::common::{Answer, Server, http_client};

/// A gRPC answer: status from trailers or headers, and the message.
struct Grpc {
    status: String,
    message: String,
    body: Vec<u8>,
    trailers_only: bool,
}

impl Grpc {
    fn decode<M: Message + Default>(&self) -> M {
        assert_eq!(self.status, "0", "{}", self.message);
        M::decode(&self.body[5..]).unwrap()
    }
}

async fn grpc_bytes(server: &Server, path: &str, token: Option<&str>, request: &'static [u8]) -> Grpc {
    let client = http_client().http2_prior_knowledge().build().unwrap();
    let mut call = client
        .post(format!("http://{}{path}", server.sandbox.ready().grpc))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(request);
    if let Some(token) = token {
        call = call.header("flyte-authorization", format!("Bearer {token}"));
    }
    let response = http::Response::from(call.send().await.unwrap());
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    let text = |name: &str| {
        let value = trailers.as_ref().and_then(|trailers| trailers.get(name)).or_else(|| head.headers.get(name));
        value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    Grpc {
        status: text("grpc-status"),
        message: text("grpc-message"),
        trailers_only: head.headers.contains_key("grpc-status"),
        body: body.to_bytes().to_vec(),
    }
}

async fn grpc(server: &Server, path: &str, token: Option<&str>) -> Grpc {
    grpc_bytes(server, path, token, b"\0\0\0\0\0").await
}

async fn connect(server: &Server, path: &str, encoding: &str, body: &'static str, token: Option<&str>) -> Answer {
    let mut call = server
        .client
        .post(server.url(path))
        .header("content-type", encoding)
        .header("connect-protocol-version", "1")
        .body(body);
    if let Some(token) = token {
        call = call.header("authorization", format!("Bearer {token}"));
    }
    server.send(call).await
}

const JSON: &str = "application/json";

#[tokio::test]
async fn grpc_of_both_generations() {
    let server = Server::approving().await;
    let base = server.url("");
    for (package, key) in [("flyteidl.service", "flyte-authorization"), ("flyteidl2.auth", "authorization")] {
        let metadata: OAuth2Metadata =
            grpc(&server, &format!("/{package}.AuthMetadataService/GetOAuth2Metadata"), None).await.decode();
        assert_eq!(metadata.issuer, base);
        assert_eq!(metadata.token_endpoint, format!("{base}/oauth2/token"));
        assert_eq!(metadata.device_authorization_endpoint, format!("{base}/oauth2/device_authorization"));
        assert_eq!(metadata.code_challenge_methods_supported, ["S256"]);
        let client: PublicClientConfig =
            grpc(&server, &format!("/{package}.AuthMetadataService/GetPublicClientConfig"), None).await.decode();
        assert_eq!(
            (client.client_id.as_str(), client.redirect_uri.as_str()),
            ("flytectl", "http://localhost:53593/callback")
        );
        assert_eq!(client.scopes, ["all", "offline"]);
        assert_eq!(client.authorization_metadata_key, key);

        let user_info = format!("/{package}.IdentityService/UserInfo");
        let refused = grpc(&server, &user_info, None).await;
        assert_eq!((refused.status.as_str(), refused.trailers_only), ("16", true));
        assert_eq!(grpc(&server, &user_info, Some("nonsense")).await.status, "16");
        let token = server.sign_in("all").await["access_token"].as_str().unwrap().to_owned();
        let info: UserInfo = grpc(&server, &user_info, Some(&token)).await.decode();
        assert_eq!((info.subject.as_str(), info.email.as_str()), ("alice@example.org", "alice@example.org"));
        assert_eq!(grpc(&server, &format!("/{package}.AuthMetadataService/Nonsense"), None).await.status, "12");
    }
    assert_eq!(grpc(&server, "/grpc.health.v1.Health/Check", None).await.status, "0");
    assert_eq!(grpc(&server, "/other.Service/Method", None).await.status, "12");
    let path = "/flyteidl.service.AuthMetadataService/GetOAuth2Metadata";
    assert_eq!(grpc_bytes(&server, path, None, b"\0\0\0\0\x09").await.status, "3", "a message that is cut short");
}

#[tokio::test]
async fn other_flyte_calls_ask_for_a_token_first() {
    // Shipped clients sign in only after UNAUTHENTICATED from a call of Flyte's API.
    let server = Server::approving().await;
    let token = server.sign_in("all").await["access_token"].as_str().unwrap().to_owned();
    for (path, status) in [
        ("/flyteidl.service.AdminService/ListProjects", "0"),
        ("/flyteidl.service.AdminService/CreateExecution", "12"),
        ("/flyteidl2.project.ProjectService/ListProjects", "0"),
        ("/flyteidl2.workflow.RunService/CreateRun", "12"),
    ] {
        assert_eq!(grpc(&server, path, None).await.status, "16", "{path}");
        assert_eq!(grpc(&server, path, Some(&token)).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn grpc_web_has_its_status_in_the_body() {
    let server = Server::start(|_| {}).await;
    let call = server
        .client
        .post(server.url("/flyteidl2.auth.AuthMetadataService/GetPublicClientConfig"))
        .header("content-type", "application/grpc-web+proto")
        .body(&b"\0\0\0\0\0"[..]);
    let body = call.send().await.unwrap().bytes().await.unwrap();
    let length = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
    assert_eq!(PublicClientConfig::decode(&body[5..5 + length]).unwrap().client_id, "flytectl");
    assert_eq!(&body[5 + length..], b"\x80\0\0\0\x10grpc-status: 0\r\n");
}

#[tokio::test]
async fn connect_in_every_form() {
    let server = Server::approving().await;
    let path = "/flyteidl2.auth.AuthMetadataService/GetOAuth2Metadata";
    let answer = connect(&server, path, JSON, "{}", None).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, JSON));
    assert_eq!(answer.json()["tokenEndpoint"], server.url("/oauth2/token"));
    let proto = connect(&server, path, "application/proto", "", None).await;
    assert_eq!(proto.header("content-type"), "application/proto");
    assert_eq!(OAuth2Metadata::decode(proto.body.as_bytes()).unwrap().issuer, server.url(""));
    for (query, status) in [
        ("?connect=v1&encoding=json&message=%7B%7D", 200),
        ("?encoding=json&message={}", 200),
        ("?connect=v1&encoding=json&base64=1&message=e30", 200),
        ("?connect=v1&encoding=json&base64=1&message=e30%3D", 200),
        ("?connect=v1&encoding=proto&message=", 200),
        ("?connect=v1&encoding=json&message=", 400),
        ("?connect=v1&encoding=json&base64=1&message=%21", 400),
        ("?connect=v2&encoding=json&message={}", 400),
        ("?connect=v1&encoding=xml&message={}", 400),
        ("?connect=v1&message={}", 400),
    ] {
        assert_eq!(server.get(&format!("{path}{query}")).await.status, status, "{query}");
    }
    assert_eq!(connect(&server, path, JSON, "[]", None).await.json()["code"], "invalid_argument");
    assert_eq!(connect(&server, path, "text/plain", "{}", None).await.status, 415);

    let user_info = "/flyteidl2.auth.IdentityService/UserInfo";
    assert_eq!(server.get(&format!("{user_info}?connect=v1&encoding=json&message={{}}")).await.status, 405);
    let refused = connect(&server, user_info, JSON, "{}", None).await;
    assert_eq!((refused.status, &refused.json()["code"]), (401, &"unauthenticated".into()));
    assert!(refused.header("www-authenticate").starts_with("Bearer"));
    let token = server.sign_in("all").await["access_token"].as_str().unwrap().to_owned();
    let info = connect(&server, user_info, JSON, "{}", Some(&token)).await;
    let alice = json!({
        "subject": "alice@example.org", "name": "Alice", "givenName": "Alice", "email": "alice@example.org",
        "preferredUsername": "alice@example.org",
    });
    assert_eq!(info.json(), alice);
    let unknown = connect(&server, "/flyteidl.service.IdentityService/UserInfo", JSON, "{}", None).await;
    assert_eq!((unknown.status, &unknown.json()["code"]), (404, &"unimplemented".into()));
}

#[tokio::test]
async fn generations_that_are_off_are_not_there() {
    for (generations, first, second) in [(Generations::One, "0", "12"), (Generations::Two, "12", "0")] {
        let server = Server::start(|options| options.generations = generations).await;
        for (package, expected) in [("flyteidl.service", first), ("flyteidl2.auth", second)] {
            let path = format!("/{package}.AuthMetadataService/GetPublicClientConfig");
            assert_eq!(grpc(&server, &path, None).await.status, expected, "{generations:?} {path}");
            let protected = format!("/{package}.IdentityService/UserInfo");
            let refused = if expected == "0" { "16" } else { "12" };
            assert_eq!(grpc(&server, &protected, None).await.status, refused, "{generations:?} {protected}");
        }
        let rest = if generations == Generations::One { (200, 401) } else { (404, 404) };
        assert_eq!((server.get("/config/v1/flyte_client").await.status, server.get("/me").await.status), rest);
        let status =
            connect(&server, "/flyteidl2.auth.AuthMetadataService/GetOAuth2Metadata", JSON, "{}", None).await.status;
        assert_eq!(status, if generations == Generations::One { 404 } else { 200 });
    }
}

#[tokio::test]
async fn rest_follows_flyteadmins_rule_for_letters_with_generation_one() {
    let path = "/.well-known/oauth-authorization-server";
    let one = Server::start(|options| options.generations = Generations::One).await;
    for (accept, member) in
        [(JSON, "token_endpoint"), ("*/*", "tokenEndpoint"), ("application/json, */*", "tokenEndpoint")]
    {
        let document = one.get_with(path, &[("accept", accept)]).await.json();
        assert_eq!(document[member], one.url("/oauth2/token"), "{accept}");
    }
    let client = one.get_with("/config/v1/flyte_client", &[("accept", JSON)]).await.json();
    assert_eq!((&client["client_id"], &client["service_http_endpoint"]), (&"flytectl".into(), &"".into()));
    assert_eq!(one.get("/config/v1/flyte_client").await.json()["authorizationMetadataKey"], "flyte-authorization");
    let both = Server::start(|_| {}).await;
    assert_eq!(both.get(path).await.json()["token_endpoint"], both.url("/oauth2/token"));
}

#[tokio::test]
async fn the_issuers_documents_are_whole() {
    let server = Server::start(|_| {}).await;
    let document = server.get("/.well-known/openid-configuration").await.json();
    assert_eq!(document, server.get("/.well-known/oauth-authorization-server").await.json());
    for (member, path) in [
        ("issuer", ""),
        ("authorization_endpoint", "/oauth2/authorize"),
        ("token_endpoint", "/oauth2/token"),
        ("device_authorization_endpoint", "/oauth2/device_authorization"),
        ("jwks_uri", "/oauth2/jwks"),
        ("revocation_endpoint", "/oauth2/revoke"),
        ("introspection_endpoint", "/oauth2/introspect"),
        ("userinfo_endpoint", "/userinfo"),
    ] {
        assert_eq!(document[member], server.url(path), "{member}");
    }
    assert_eq!(document["authorization_response_iss_parameter_supported"], true);
    assert_eq!(document["subject_types_supported"], json!(["public"]));
    let keys = server.get("/oauth2/jwks").await.json();
    assert_eq!((&keys["keys"][0]["use"], &keys["keys"][0]["alg"]), (&"sig".into(), &"ES256".into()));
    assert!(keys["keys"][0].get("d").is_none(), "the public half only");
}

#[tokio::test]
async fn me_wants_exactly_one_token_in_either_header() {
    let server = Server::start(|options| {
        options.auto_approve = Some("alice@example.org".to_owned());
        options.authorization_metadata_key = Some("x-flyte".to_owned());
    })
    .await;
    let token = server.sign_in("all").await["access_token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    for (headers, status) in [
        (vec![("authorization", bearer.as_str())], 200),
        (vec![("flyte-authorization", bearer.as_str())], 200),
        (vec![("x-flyte", bearer.as_str())], 200),
        (vec![("authorization", bearer.as_str()), ("flyte-authorization", bearer.as_str())], 401),
        (vec![("authorization", "Basic eDp5")], 401),
        (vec![], 401),
    ] {
        let answer = server.get_with("/me", &headers).await;
        assert_eq!(answer.status, status, "{:?}", headers.iter().map(|(name, _)| name).collect::<Vec<_>>());
        assert_eq!(answer.header("www-authenticate").starts_with("Bearer"), status == 401);
    }
    let client: PublicClientConfig =
        grpc(&server, "/flyteidl2.auth.AuthMetadataService/GetPublicClientConfig", None).await.decode();
    assert_eq!(client.authorization_metadata_key, "x-flyte");
    let me = server.get_with("/me", &[("authorization", &bearer), ("accept", JSON)]).await.json();
    assert_eq!(me["additional_claims"]["client_id"], "flytectl");
    assert!(matches!(me["preferred_username"], Value::String(_)));
}
