use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::clock::fake::FakeClock;
use crate::clock::{SystemClock, SystemEntropy};
use crate::firewall::Plaintext;
use crate::interaction::recorder::Recorder;
use crate::transport::scripted::{ScriptedTransport, failure, json};
use crate::transport::{Failure, FailureKind, Reply};

const TOKENS: &str =
    r#"{"access_token":"at-canary","refresh_token":"rt-canary","token_type":"bearer","expires_in":60}"#;
static TOKEN_ENDPOINT: std::sync::LazyLock<Destination> = std::sync::LazyLock::new(|| {
    Destination::given("https://idp.example/token", Plaintext::LoopbackOnly, "test").unwrap()
});
const DEADLINE: Duration = Duration::from_secs(3);

fn context(script: Vec<(&'static str, Result<Reply, Failure>)>) -> (Context, Arc<ScriptedTransport>) {
    let transport = Arc::new(ScriptedTransport::new(script));
    let context =
        Context { transport: transport.clone(), clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) };
    (context, transport)
}

fn wanted<'a>(client: &'a Client, redirect_uri: &'a str, listen: Listen) -> BeginAuthorizationCode<'a> {
    BeginAuthorizationCode {
        client,
        redirect_uri,
        authorization_endpoint: "https://idp.example/auth?tenant=t",
        token_endpoint: &TOKEN_ENDPOINT,
        issuer: Some("https://idp.example"),
        iss_required: false,
        parameters: Parameters::default(),
        deadline: DEADLINE,
        listen,
    }
}

async fn begun(context: &Context, redirect_uri: &str, listen: Listen) -> PendingAuthorizationCode {
    let scopes = ["openid".to_owned()];
    let client = Client::public("flytectl");
    let parameters = Parameters { scopes: &scopes, ..Parameters::default() };
    begin(context, BeginAuthorizationCode { parameters, ..wanted(&client, redirect_uri, listen) }).await.unwrap()
}

fn sent(pending: &PendingAuthorizationCode, name: &str) -> String {
    let url = url::Url::parse(pending.url()).unwrap();
    let mut values = url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let value = values.next().unwrap_or_else(|| panic!("{name} was not sent"));
    assert_eq!(values.next(), None, "{name} was sent twice");
    value
}

/// What a browser does with the redirect; the page's status line.
async fn visit(port: u16, query: impl std::fmt::Display) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET /callback?{query} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn in_a_browser_here() {
    let (context, transport) = context(vec![("/token", json(200, TOKENS))]);
    let mut pending = begun(&context, "http://localhost/callback", Listen::Required).await;
    let (port, state) = (pending.port().unwrap(), sent(&pending, "state"));
    assert_eq!(sent(&pending, "redirect_uri"), format!("http://localhost:{port}/callback"));
    assert_eq!((sent(&pending, "code_challenge_method"), sent(&pending, "tenant")), ("S256".into(), "t".into()));
    let (nonce, challenge) = (sent(&pending, "nonce"), sent(&pending, "code_challenge"));
    let person = Recorder::default();
    let (signed_in, page) =
        tokio::join!(pending.finish(&person), visit(port, format!("code=abc&state={state}&iss=https://idp.example")));
    let signed_in = signed_in.unwrap();
    assert_eq!(signed_in.nonce, Some(nonce));
    assert!(signed_in.tokens.refresh_token.is_some());
    assert_eq!(page, "HTTP/1.1 200 OK");
    let form = transport.forms().remove(0);
    assert_eq!((form["code"].as_str(), form["client_id"].as_str()), ("abc", "flytectl"));
    assert_eq!(form["redirect_uri"], format!("http://localhost:{port}/callback"));
    assert_eq!(pkce::s256_challenge(&CodeVerifier::new(form["code_verifier"].clone())), challenge);
    assert!(
        matches!(&person.shown()[0], LoginEvent::Waiting { what: "the browser", remaining } if *remaining <= DEADLINE)
    );
    // The port is free, and the code is spent.
    std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_eq!(pending.finish(&person).await.unwrap_err().code(), "login_over");
    assert_eq!(pending.finish_pasted("code=abc").await.unwrap_err().code(), "login_over");
}

#[tokio::test]
async fn without_openid_no_nonce_is_sent() {
    // oidc-provider refuses one: "openid scope must be requested when using the nonce parameter".
    let (context, _) = context(vec![]);
    let client = Client::public("flytectl");
    let pending = begin(&context, wanted(&client, "http://localhost/callback", Listen::No)).await.unwrap();
    assert!(!pending.url().contains("nonce"));
}

#[tokio::test]
async fn every_attempt_is_fresh() {
    let (context, _) = context(vec![]);
    let one = begun(&context, "http://localhost/callback", Listen::No).await;
    let two = begun(&context, "http://localhost/callback", Listen::No).await;
    for name in ["state", "nonce", "code_challenge"] {
        assert_ne!(sent(&one, name), sent(&two, name), "{name}");
    }
    let debug = format!("{one:?}");
    assert!(!debug.contains(&sent(&one, "state")) && !debug.contains(&sent(&one, "nonce")), "{debug}");
}

#[tokio::test]
async fn a_wrong_answer_does_not_end_it_and_an_error_does() {
    let (context, _) = context(vec![]);
    let mut pending = begun(&context, "http://localhost/callback", Listen::Required).await;
    let (port, state) = (pending.port().unwrap(), sent(&pending, "state"));
    let person = Recorder::default();
    let (result, pages) = tokio::join!(pending.finish(&person), async {
        let mut pages = Vec::new();
        for query in ["code=evil&state=wrong", "code=evil&state=wrong2", "error=access_denied"] {
            pages.push(visit(port, query).await);
        }
        pages.push(visit(port, format!("error=access_denied&error_description=not+you&state={state}")).await);
        pages
    });
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Cancelled, "access_denied"));
    assert_eq!(error.oauth_error_description(), Some("not you"));
    assert_eq!(error.endpoint(), Some("https://idp.example/auth"));
    assert!(pages.iter().all(|page| page == "HTTP/1.1 400 Bad Request"), "{pages:?}");
    // Once for each reason.
    assert_eq!(person.explained().len(), 2, "{:?}", person.explained());
}

#[tokio::test]
async fn errors_of_the_authorization_endpoint() {
    use ErrorKind as K;
    for (answer, kind, retryable, setting) in [
        ("error=access_denied", K::Cancelled, false, None),
        ("error=login_required", K::LoginRequired, false, None),
        ("error=interaction_required", K::LoginRequired, false, None),
        ("error=invalid_scope", K::Config, false, Some("admin.scopes")),
        ("error=server_error", K::Server, true, None),
        ("error=temporarily_unavailable", K::Server, true, None),
        ("error=unauthorized_client", K::Denied, false, None),
        ("error=invalid_request", K::Denied, false, None),
        ("error=whatever", K::Denied, false, None),
        ("", K::Denied, false, None),
        ("code=a&code=b", K::Denied, false, None),
        ("code=a&iss=https://evil.example", K::Denied, false, None),
    ] {
        let (context, _) = context(vec![]);
        let mut pending = begun(&context, "http://localhost/callback", Listen::No).await;
        let line = format!("http://localhost/callback?{answer}&state={}", sent(&pending, "state"));
        // Neither code nor error is no answer at all as a paste; as a request it is one.
        let error = if answer.is_empty() {
            pending.conclude(Answer::Unusable(Refusal::Empty)).await.unwrap_err()
        } else {
            pending.finish_pasted(&line).await.unwrap_err()
        };
        assert_eq!((error.kind(), error.is_retryable(), error.setting()), (kind, retryable, setting), "{answer}");
        assert!(error.next_step().is_some(), "{answer}");
        assert!(!error.to_string().contains("tenant"), "{error}");
    }
}

#[tokio::test]
async fn pasted_after_two_slips() {
    let (context, transport) = context(vec![("/token", json(200, TOKENS))]);
    let mut pending = begun(&context, "https://app.example/done", Listen::IfPossible).await;
    assert!(!pending.is_listening());
    let right = format!("https://app.example/done?code=abc&state={}", sent(&pending, "state"));
    let person = Recorder::pasting(&["this is not it", "", "https://app.example/done?code=abc&state=old", &right]);
    pending.finish(&person).await.unwrap();
    let explained = person.explained();
    assert_eq!(explained.len(), 2, "{explained:?}");
    assert!(
        explained.iter().all(|why| why.contains("Paste the whole address") && !why.contains("abc")),
        "{explained:?}"
    );
    assert_eq!(transport.forms()[0]["redirect_uri"], "https://app.example/done");
}

#[tokio::test]
async fn pasted_by_a_program() {
    let (context, transport) = context(vec![("/token", json(200, TOKENS))]);
    let mut pending = begun(&context, "http://localhost/callback", Listen::IfPossible).await;
    let port = pending.port().unwrap();
    let slip = pending.finish_pasted("nonsense").await.unwrap_err();
    assert_eq!((slip.kind(), slip.code()), (ErrorKind::Config, "paste_invalid"));
    assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_err(), "a slip must not end the wait");
    pending.finish_pasted("a-bare-code-of-this-attempt").await.unwrap();
    assert_eq!(transport.forms()[0]["code"], "a-bare-code-of-this-attempt");
    std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
}

#[tokio::test]
async fn the_page_tells_when_the_exchange_failed() {
    for (answer, kind) in [
        (json(400, r#"{"error":"invalid_grant"}"#), ErrorKind::Denied),
        (failure(FailureKind::Timeout), ErrorKind::Network),
    ] {
        let (context, _) = context(vec![("/token", answer)]);
        let mut pending = begun(&context, "http://127.0.0.1/callback", Listen::Required).await;
        let (port, state) = (pending.port().unwrap(), sent(&pending, "state"));
        let person = Recorder::default();
        let (result, page) = tokio::join!(pending.finish(&person), visit(port, format!("code=abc&state={state}")));
        assert_eq!(result.unwrap_err().kind(), kind);
        assert_eq!(page, "HTTP/1.1 400 Bad Request");
    }
}

#[tokio::test]
async fn the_deadline() {
    let (mut context, _) = context(vec![]);
    let client = Client::public("c");
    let redirect = "http://localhost/callback";
    let short =
        BeginAuthorizationCode { deadline: Duration::from_millis(80), ..wanted(&client, redirect, Listen::Required) };
    let mut pending = begin(&context, short).await.unwrap();
    let port = pending.port().unwrap();
    let error = tokio::time::timeout(DEADLINE, pending.finish(&Recorder::default())).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Cancelled, "login_timeout"));
    std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();

    // Time asleep counts: the clock is past the deadline when the machine wakes up.
    let clock = Arc::new(FakeClock::default());
    context.clock = clock.clone();
    let mut pending = begun(&context, redirect, Listen::No).await;
    clock.advance(DEADLINE);
    assert_eq!(pending.finish_pasted("code=abc").await.unwrap_err().code(), "login_timeout");
    assert_eq!(pending.finish(&Recorder::default()).await.unwrap_err().code(), "login_timeout");
}

#[tokio::test]
async fn dropping_it_frees_the_port_at_once() {
    let (context, _) = context(vec![]);
    let mut pending = begun(&context, "http://localhost/callback", Listen::Required).await;
    let port = pending.port().unwrap();
    let person = Recorder::default();
    let waited = tokio::time::timeout(Duration::from_millis(50), pending.finish(&person)).await;
    assert!(waited.is_err());
    // Dropped while it waited: it can be waited for again. Dropped itself: the port is free.
    assert!(pending.is_listening());
    drop(pending);
    std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
}

#[tokio::test]
async fn listening_as_asked() {
    let (context, _) = context(vec![]);
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let busy = format!("http://localhost:{}/callback", taken.local_addr().unwrap().port());
    let client = Client::public("c");
    for (redirect, listen, code) in [
        (busy.as_str(), Listen::Required, Some("port_busy")),
        (&busy, Listen::IfPossible, None),
        (&busy, Listen::No, None),
        ("https://app.example/done?x=1", Listen::Required, Some("redirect_elsewhere")),
        ("not a url", Listen::No, Some("metadata_invalid")),
    ] {
        match (begin(&context, wanted(&client, redirect, listen)).await, code) {
            (Err(error), Some(code)) => assert_eq!(error.code(), code, "{redirect}"),
            (Ok(pending), None) => {
                assert!(!pending.is_listening() && pending.redirect_uri() == redirect);
                let why = pending.why_not_listening().map(Error::code);
                assert_eq!(why, (listen == Listen::IfPossible).then_some("port_busy"));
            }
            (result, _) => panic!("{redirect} {listen:?}: {result:?}"),
        }
    }
}

#[test]
fn the_wait_can_be_given_to_a_task() {
    fn is_send<T: Send>(_: T) {}
    let check = |mut pending: PendingAuthorizationCode, person: Recorder| {
        is_send(async move { pending.finish(&person).await.is_ok() })
    };
    let _ = check;
}
