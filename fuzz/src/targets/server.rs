//! The server's own readers, behind its real router: a request as text (`METHOD target`, headers, an empty line, body).

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use flyte_auth::protocol::secret::ClientSecret;
use flyte_auth_server::authorization_server::{
    AuthorizationServer, Client, Grants, People, RedirectUri, Rotate, Secret, Secrets, Settings,
};
use flyte_auth_server::flyte::{self, FlyteAuth, Generations, PublicClient};
use flyte_auth_server::keys::{Keys, SigningAlgorithm};
use flyte_auth_server::metrics::Metrics;
use flyte_auth_server::random;
use flyte_auth_server::resource::ACCESS_TOKEN_TYPE;
use flyte_auth_server::sandbox::{Issuer, Trusted};
use flyte_auth_server::sites::{Site, Sites};
use flyte_auth_server::state::{Code, Device, DeviceAnswer, Grant, Memory, Refresh, State as _};
use flyte_auth_server::users::{User, Users};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower_service::Service as _;
use url::{Url, form_urlencoded};

use crate::support::message::Message;
use crate::support::shown::assert_hidden;
use crate::support::{NOW, NoEntropy, StoppedClock, done};

const ISSUER: &str = "http://127.0.0.1:8080";
const REDIRECT: &str = "http://localhost:53593/callback";
const LOOPBACK: &str = "http://127.0.0.1/callback";
/// What the store knows; the seeds present them.
const CODE: &str = "authorization-code-of-the-seeds";
const REFRESH: &str = "refresh-token-of-the-seeds";
const DEVICE: &str = "device-code-of-the-seeds";
const SECRET: &str = "client-secret-of-the-seeds";
const VERIFIER: &str = "code-verifier-of-the-seeds-0123456789-0123456789";

/// Made once: a key takes longer than a request.
static KEYS: LazyLock<Arc<Keys>> =
    LazyLock::new(|| Arc::new(Keys::open(SigningAlgorithm::Es256, None).expect("a key can be made")));

fn client(id: &str, secret: Option<&str>, redirects: &[&str]) -> Client {
    let scopes = ["all", "offline", "openid", "profile", "email"];
    Client {
        id: id.to_owned(),
        secrets: secret.map(|secret| Secret::Plain(ClientSecret::new(secret))).into_iter().collect(),
        keys: None,
        public: secret.is_none(),
        redirect_uris: redirects.iter().filter_map(|uri| RedirectUri::parse(uri)).collect(),
        grants: Grants { code: true, refresh: true, client_credentials: secret.is_some(), device: true },
        scopes: scopes.map(str::to_owned).into(),
        default_scopes: vec!["all".to_owned()],
        audience: None,
    }
}

/// The same server for every input: what one request leaves behind is not there for the next.
fn server() -> Arc<AuthorizationServer> {
    let state = Memory::default();
    let grant = Grant {
        session: "session".to_owned(),
        client_id: "flytectl".to_owned(),
        issuer: ISSUER.to_owned(),
        subject: Some("alice@example.org".to_owned()),
        claims: serde_json::Map::new(),
        scopes: vec!["all".to_owned(), "offline".to_owned()],
        audience: vec![ISSUER.to_owned()],
        auth_time: NOW.as_secs(),
        ends_at: NOW.plus(Duration::from_secs(86_400)).as_millis(),
    };
    let soon = NOW.plus(Duration::from_secs(300));
    let code = Code {
        grant: grant.clone(),
        redirect_uri: REDIRECT.to_owned(),
        redirect_uri_named: true,
        challenge: Some(random::digest(VERIFIER)),
        nonce: None,
        expires_at: soon,
        used: false,
    };
    let device = Device {
        user_code: "BCDF-GHJK".to_owned(),
        client_id: "flytectl".to_owned(),
        issuer: ISSUER.to_owned(),
        scopes: grant.scopes.clone(),
        audience: grant.audience.clone(),
        challenge: None,
        answer: DeviceAnswer::Pending,
        expires_at: soon,
        interval: 5,
        polled_at: None,
    };
    let refresh = Refresh { grant, access_token_id: "j".to_owned(), expires_at: soon, dead: false };
    done(state.put_code(&random::digest(CODE), &code)).expect("memory");
    done(state.put_refresh(&random::digest(REFRESH), &refresh)).expect("memory");
    done(state.put_device(&random::digest(DEVICE), &device, NOW)).expect("memory");
    Arc::new(AuthorizationServer {
        settings: Settings {
            access_token_lifetime: Duration::from_secs(300),
            refresh_token_lifetime: Duration::from_secs(3600),
            session_lifetime: Duration::from_secs(86_400),
            rotate: Rotate::WithGrace,
            code_lifetime: Duration::from_secs(60),
            device_code_lifetime: Duration::from_secs(600),
            device_interval: Duration::from_secs(5),
            openid: true,
        },
        sites: Sites::one(Site::new(ISSUER, None).expect("an address")),
        clients: vec![
            client("flytectl", None, &[REDIRECT, LOOPBACK]),
            client("machine", Some(SECRET), &["https://app.example/cb?x=1"]),
        ],
        people: People::Offered(Users {
            known: User::named("alice@example.org").into_iter().collect(),
            auto_approve: None,
        }),
        secrets: Arc::new(Secrets::new(&NoEntropy)),
        keys: Arc::clone(&KEYS),
        state: Arc::new(state),
        audit: None,
        metrics: Arc::new(Metrics::default()),
        clock: Arc::new(StoppedClock),
        entropy: Arc::new(NoEntropy),
    })
}

/// An answer, whole.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    trailers: HeaderMap,
    body: Vec<u8>,
}

/// Sends the request of an input; `None` if HTTP itself could not carry it.
fn answer(mut router: Router, data: &[u8]) -> Option<Answer> {
    let message = Message::parse(data);
    let (method, target) = std::str::from_utf8(message.first).ok()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(target).body(Body::from(message.body)).ok()?;
    *request.headers_mut() = message.headers;
    let Ok(response) = done(router.call(request));
    let (head, body) = response.into_parts();
    let collected = done(body.collect()).expect("a body of our own");
    let trailers = collected.trailers().cloned().unwrap_or_default();
    Some(Answer { status: head.status, headers: head.headers, trailers, body: collected.to_bytes().to_vec() })
}

/// The body of an input, decoded as a form, and its header for client authentication.
fn parameters(data: &[u8]) -> Vec<(String, String)> {
    let body = Message::parse(data).body;
    form_urlencoded::parse(&body).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

pub(super) fn server_authorize(data: &[u8]) {
    let Some(answer) = answer(server().router(), data) else { return };
    assert!(!answer.status.is_server_error(), "{}", answer.status);
    assert_no_markup(&answer.body);
    if let Some(location) = answer.headers.get(header::LOCATION) {
        assert_registered(location.to_str().expect("ASCII"));
    }
    // OpenID Connect Core 3.1.2.1: the same by POST.
    let message = Message::parse(data);
    let Some(query) = message.first.strip_prefix(b"GET /oauth2/authorize?") else { return };
    // HTTP carries no fragment.
    let query = query.split(|byte| *byte == b'#').next().unwrap_or_default();
    let form = [b"POST /oauth2/authorize\ncontent-type: application/x-www-form-urlencoded\n\n", query].concat();
    let posted = self::answer(server().router(), &form).expect("a plain request");
    assert_eq!(posted.headers.get(header::LOCATION), answer.headers.get(header::LOCATION));
    assert_eq!(posted.status, answer.status);
}

/// The seeds carry `<fuzz>` and `"fuzz=`: neither comes back as markup. A text of the request may begin so, in an attribute
/// whose quote is the page's.
fn assert_no_markup(body: &[u8]) {
    let body = String::from_utf8_lossy(body).replace("value=\"fuzz=", "value=\"");
    for markup in ["<fuzz", "\"fuzz=", "'fuzz="] {
        assert!(!body.contains(markup), "markup of the request is in the page: {body}");
    }
}

/// The address is a registered one, by two readings.
fn assert_registered(location: &str) {
    let url = Url::parse(location).expect("a URL");
    let loopback = url.host_str() == Some("127.0.0.1") && url.path() == "/callback";
    let registered = location.starts_with(&format!("{REDIRECT}?"))
        || location.starts_with("https://app.example/cb?x=1&")
        || url.scheme() == "http" && loopback;
    assert!(registered && url.username().is_empty() && url.password().is_none(), "{location}");
    let uri: http::Uri = location.parse().expect("HTTP's own address");
    assert_eq!(uri.host(), url.host_str(), "{location}");
}

/// Longest description of an error; a caller must not fill logs and pages through us.
const LONGEST_DESCRIPTION: usize = 300;

pub(super) fn server_token(data: &[u8]) {
    let Some(answer) = answer(server().router(), data) else { return };
    assert!(!answer.status.is_server_error(), "{}", answer.status);
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else { return };
    let given = parameters(data);
    if let Some(error) = body.get("error") {
        assert!(!answer.status.is_success());
        assert!(
            error.as_str().is_some_and(|error| error.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        );
        let description = body["error_description"].as_str().expect("it says why");
        // RFC 6749 section 5.2.
        assert!(description.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')));
        assert!(description.len() <= LONGEST_DESCRIPTION, "{} characters", description.len());
        let secret = ["client_secret", "code", "code_verifier", "refresh_token", "device_code", "token"];
        for (_, value) in given.iter().filter(|(name, _)| secret.contains(&name.as_str())) {
            let elsewhere = given.iter().any(|(name, other)| !secret.contains(&name.as_str()) && other.contains(value));
            if !elsewhere && !given.iter().any(|(name, _)| name.contains(value)) {
                assert_hidden(value, description);
            }
        }
        if !given.iter().any(|(name, value)| name.contains(SECRET) || value.contains(SECRET)) {
            assert_hidden(SECRET, description);
        }
    }
    if answer.status == StatusCode::OK && body.get("access_token").is_some() {
        assert_eq!(answer.headers.get(header::CACHE_CONTROL).map(http::HeaderValue::as_bytes), Some(&b"no-store"[..]));
        let presented = |secret: &str| given.iter().any(|(_, value)| value == secret);
        let by_header = Message::parse(data).headers.contains_key(header::AUTHORIZATION);
        let proven = presented(CODE) && presented(VERIFIER) || presented(REFRESH) || presented(SECRET) || by_header;
        assert!(proven, "a token for nothing");
    }
}

pub(super) fn server_calls(data: &[u8]) {
    let issuer = server();
    let service = Arc::new(FlyteAuth {
        generations: Generations::Both,
        public_client: PublicClient {
            client_id: "flytectl".to_owned(),
            redirect_uri: REDIRECT.to_owned(),
            scopes: vec!["all".to_owned()],
            audience: String::new(),
            authorization_metadata_key: None,
        },
        always_snake_case: false,
        source: Arc::new(Trusted::new(Issuer::Own(issuer), None)),
    });
    let placeholder = b"{token}";
    let at = data.windows(placeholder.len()).position(|part| part == placeholder);
    let data = match at {
        Some(at) => [&data[..at], good_token().as_bytes(), &data[at + placeholder.len()..]].concat(),
        None => data.to_vec(),
    };
    let Some(answer) = answer(flyte::router(&service), &data) else { return };
    assert!(!answer.status.is_server_error() || answer.status == StatusCode::NOT_IMPLEMENTED, "{}", answer.status);
    let media_type = answer.headers.get(header::CONTENT_TYPE).map_or(&b""[..], http::HeaderValue::as_bytes);
    if media_type.starts_with(b"application/grpc") && !media_type.starts_with(b"application/grpc-web") {
        let status = answer.headers.get("grpc-status").or_else(|| answer.trailers.get("grpc-status"));
        let status = status.expect("a gRPC answer has a status");
        let length =
            answer.body.get(1..5).map(|length| length.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)));
        assert!(answer.body.is_empty() || length == Some(answer.body.len() - 5), "not one frame");
        assert_eq!(answer.body.is_empty(), status != "0");
    }
    // Whoever is told who they are has shown a good token.
    let subject = b"alice@example.org";
    assert!(
        at.is_some() || !answer.body.windows(subject.len()).any(|part| part == subject),
        "somebody without a token"
    );
}

fn good_token() -> String {
    let now = NOW.as_secs();
    let claims = json!({
        "iss": ISSUER, "sub": "alice@example.org", "aud": [ISSUER], "exp": now + 300, "iat": now, "jti": "j", "sid": "s",
        "client_id": "flytectl", "scope": "all", "scp": ["all"], "name": "Alice", "email": "alice@example.org",
    });
    let Value::Object(claims) = claims else { panic!("an object") };
    KEYS.sign(ACCESS_TOKEN_TYPE, &claims).expect("signed")
}
