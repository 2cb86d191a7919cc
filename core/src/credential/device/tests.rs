use std::sync::Arc;

use super::*;
use crate::clock::Clock as _;
use crate::clock::fake::{FakeClock, FakeEntropy};
use crate::firewall::Plaintext;
use crate::interaction::recorder::Recorder;
use crate::transport::scripted::{ScriptedTransport, failure, json, reply};
use crate::transport::{Failure, FailureKind, Reply};

const DEVICE: &str = r#"{"device_code":"dc-canary","user_code":"ABCD-EFGH","verification_uri":"https://idp.example/device",
    "verification_uri_complete":"https://idp.example/device?user_code=ABCD-EFGH","expires_in":300,"interval":3}"#;
const TOKENS: &str = r#"{"access_token":"at","expires_in":60}"#;
const PENDING: &str = r#"{"error":"authorization_pending"}"#;
const SLOW: &str = r#"{"error":"slow_down"}"#;

type Answer = Result<Reply, Failure>;

struct Scene {
    context: Context,
    clock: Arc<FakeClock>,
    transport: Arc<ScriptedTransport>,
}

fn scene(script: Vec<(&'static str, Answer)>) -> Scene {
    let (clock, transport) = (Arc::new(FakeClock::default()), Arc::new(ScriptedTransport::new(script)));
    let context =
        Context { transport: transport.clone(), clock: clock.clone(), entropy: Arc::new(FakeEntropy::default()) };
    Scene { context, clock, transport }
}

impl Scene {
    async fn begin(&self, pkce: PkceOnDevice, deadline: u64) -> Result<PendingDevice> {
        let scopes = ["all".to_owned()];
        let extra = [("x".to_owned(), "1".to_owned())];
        let to = |text| Destination::given(text, Plaintext::LoopbackOnly, "test").unwrap();
        let (device, token) =
            (to("https://idp.example/device_authorization?t=canary"), to("https://idp.example/token"));
        let wanted = BeginDevice {
            client: &Client::public("flytectl"),
            device_authorization_endpoint: &device,
            token_endpoint: &token,
            parameters: Parameters { scopes: &scopes, audience: Some("aud"), extra: &extra },
            pkce,
            deadline: Duration::from_secs(deadline),
        };
        begin(&self.context, wanted).await
    }
}

/// Polls with `answers` after a good device authorization; the result and the seconds it took.
async fn polled(answers: Vec<Answer>) -> (Result<TokenSet>, u64, usize) {
    let mut script = vec![("/device_authorization", json(200, DEVICE))];
    script.extend(answers.into_iter().map(|answer| ("/token", answer)));
    let scene = scene(script);
    let mut pending = scene.begin(PkceOnDevice::IfDemanded, 600).await.unwrap();
    let start = scene.clock.now();
    let result = pending.finish(&Recorder::default()).await;
    (result, scene.clock.now().since(start).as_secs(), scene.transport.left())
}

#[tokio::test]
async fn code_shown_and_confirmed() {
    let scene = scene(vec![
        ("/device_authorization", json(200, DEVICE)),
        ("/token", json(400, PENDING)),
        ("/token", json(200, TOKENS)),
    ]);
    let mut pending = scene.begin(PkceOnDevice::IfDemanded, 600).await.unwrap();
    assert_eq!(pending.user_code(), "ABCD-EFGH");
    assert_eq!(pending.verification_uri(), "https://idp.example/device");
    assert_eq!(pending.verification_uri_complete(), Some("https://idp.example/device?user_code=ABCD-EFGH"));
    assert_eq!(pending.interval(), Duration::from_secs(3));
    assert_eq!(pending.expires_at(), scene.clock.now().plus(Duration::from_secs(300)));
    assert!(matches!(pending.event(), LoginEvent::UserCode { user_code, .. } if user_code == "ABCD-EFGH"));
    let debug = format!("{pending:?}");
    assert!(!debug.contains("canary") && !debug.contains("ABCD"), "{debug}");

    let person = Recorder::default();
    pending.finish(&person).await.unwrap();
    // Each second is told.
    let told: Vec<u64> = person
        .shown()
        .iter()
        .map(|event| match event {
            LoginEvent::Waiting { remaining, .. } => remaining.as_secs(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [300, 299, 298, 297, 296, 295]);
    let forms = scene.transport.forms();
    assert_eq!((forms[0]["client_id"].as_str(), forms[0]["scope"].as_str()), ("flytectl", "all"));
    assert_eq!((forms[0]["audience"].as_str(), forms[0]["x"].as_str()), ("aud", "1"));
    assert_eq!(forms[1]["grant_type"], "urn:ietf:params:oauth:grant-type:device_code");
    assert_eq!((forms[1]["device_code"].as_str(), forms[1]["x"].as_str()), ("dc-canary", "1"));
    assert!(forms.iter().all(|form| !form.contains_key("code_challenge") && !form.contains_key("code_verifier")));
}

#[tokio::test]
async fn pending_and_slow_down_under_any_status() {
    for status in [200, 400, 401, 403, 404, 428, 429, 500] {
        let (result, seconds, left) =
            polled(vec![json(status, PENDING), json(status, SLOW), json(status, PENDING), json(200, TOKENS)]).await;
        assert!(result.is_ok(), "{status}: {result:?}");
        // 3, 3, then 8 for this and every later poll.
        assert_eq!((seconds, left), (3 + 3 + 8 + 8, 0), "{status}");
    }
}

#[tokio::test]
async fn no_poll_outlives_the_code() {
    let hang = || failure(FailureKind::Timeout);
    let scene =
        scene(vec![("/device_authorization", json(200, DEVICE)), ("/token", json(400, PENDING)), ("/token", hang())]);
    let mut pending = scene.begin(PkceOnDevice::IfDemanded, 7).await.unwrap();
    assert_eq!(pending.finish(&Recorder::default()).await.unwrap_err().code(), "login_timeout");
    let timeouts: Vec<u64> = scene.transport.sent()[1..].iter().map(|call| call.timeout.as_secs()).collect();
    assert_eq!(timeouts, [4, 1]);
}

#[tokio::test]
async fn trouble_is_waited_out_with_growing_pauses() {
    let ok = || json(200, TOKENS);
    let mut asked = reply(429, "text/plain", "").unwrap();
    asked.headers.insert("retry-after", "40".parse().unwrap());
    let table: Vec<(&str, Vec<Answer>, u64)> = vec![
        ("timeout", vec![failure(FailureKind::Timeout), ok()], 3 + 6),
        ("dropped", vec![failure(FailureKind::Broken), failure(FailureKind::Connect), ok()], 3 + 6 + 12),
        ("an answer resets", vec![failure(FailureKind::Dns), json(400, PENDING), ok()], 3 + 6 + 3),
        ("slow_down resets", vec![failure(FailureKind::Dns), json(400, SLOW), ok()], 3 + 6 + 8),
        ("500 empty", vec![reply(500, "text/plain", ""), ok()], 3 + 6),
        ("502 html", vec![reply(502, "text/html", "<html>"), ok()], 3 + 6),
        ("200 html", vec![reply(200, "text/html", "<html>"), ok()], 3 + 6),
        ("server_error", vec![json(500, r#"{"error":"server_error"}"#), ok()], 3 + 6),
        ("retry-after", vec![Ok(asked), json(400, PENDING), ok()], 3 + 40 + 3),
        (
            "bounded",
            (0..7).map(|_| failure(FailureKind::Timeout)).chain([ok()]).collect(),
            3 + 6 + 12 + 24 + 48 + 60 * 3,
        ),
    ];
    for (name, answers, expected) in table {
        let (result, seconds, left) = polled(answers).await;
        assert!(result.is_ok(), "{name}: {result:?}");
        assert_eq!((seconds, left), (expected, 0), "{name}");
    }
}

#[tokio::test]
async fn what_ends_it() {
    use ErrorKind as K;
    for (answer, kind, code) in [
        (json(400, r#"{"error":"access_denied"}"#), K::Cancelled, "access_denied"),
        (json(403, r#"{"error":"access_denied"}"#), K::Cancelled, "access_denied"),
        (json(400, r#"{"error":"expired_token"}"#), K::Cancelled, "expired_token"),
        (json(400, r#"{"error":"invalid_grant"}"#), K::Denied, "invalid_grant"),
        (json(401, r#"{"error":"invalid_client"}"#), K::Denied, "invalid_client"),
        (json(400, r#"{"error":"invalid_scope"}"#), K::Config, "invalid_scope"),
        (reply(400, "text/plain", ""), K::Denied, "login_refused"),
        (reply(302, "text/html", ""), K::Server, "redirect"),
        (json(200, "{"), K::Server, "malformed"),
    ] {
        let (result, ..) = polled(vec![json(400, PENDING), answer]).await;
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.code()), (kind, code));
        assert!(error.next_step().is_some() && !error.to_string().contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn the_codes_end_and_the_callers() {
    let brief = DEVICE.replace("300", "7");
    for (deadline, code, polls) in [(600, "expired_token", 2), (5, "login_timeout", 1), (7, "expired_token", 2)] {
        let mut script = vec![("/device_authorization", json(200, &brief))];
        script.extend((0..polls).map(|_| ("/token", json(400, PENDING))));
        let scene = scene(script);
        let start = scene.clock.now();
        let mut pending = scene.begin(PkceOnDevice::Never, deadline).await.unwrap();
        let error = pending.finish(&Recorder::default()).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Cancelled, code), "{deadline}");
        assert_eq!(scene.clock.now().since(start).as_secs(), deadline.min(7));
        assert_eq!(scene.transport.left(), 0);
    }
    // A long Retry-After does not outlast the code.
    let mut asked = reply(503, "text/plain", "").unwrap();
    asked.headers.insert("retry-after", "4000".parse().unwrap());
    let (result, seconds, _) = polled(vec![Ok(asked)]).await;
    assert_eq!((result.unwrap_err().code(), seconds), ("expired_token", 300));
}

#[tokio::test]
async fn a_clock_set_back_does_not_prolong_it() {
    #[derive(Debug, Default)]
    struct Backwards(FakeClock);
    impl crate::clock::Clock for Backwards {
        fn now(&self) -> Timestamp {
            self.0.now()
        }
        fn sleep(&self, _: Duration) -> futures_util::future::BoxFuture<'static, ()> {
            self.0.set(self.now().minus(Duration::from_secs(10)));
            Box::pin(tokio::task::yield_now())
        }
    }
    let mut scene = scene(
        std::iter::once(("/device_authorization", json(200, DEVICE)))
            .chain((0..99).map(|_| ("/token", json(400, PENDING))))
            .collect(),
    );
    scene.context.clock = Arc::new(Backwards::default());
    let mut pending = scene.begin(PkceOnDevice::Never, 600).await.unwrap();
    assert_eq!(pending.finish(&Recorder::default()).await.unwrap_err().code(), "expired_token");
}

#[tokio::test]
async fn pkce_where_it_is_demanded() {
    use PkceOnDevice as P;
    let demand = || {
        (
            "/device_authorization",
            json(400, r#"{"error":"invalid_request","error_description":"Missing parameter: code_challenge_method"}"#),
        )
    };
    let good = || ("/device_authorization", json(200, DEVICE));
    let token = || ("/token", json(200, TOKENS));
    for (pkce, script, challenges) in [
        (P::IfDemanded, vec![demand(), good(), token()], vec![false, true]),
        (P::IfDemanded, vec![good(), token()], vec![false]),
        (P::Always, vec![good(), token()], vec![true]),
        (P::Never, vec![good(), token()], vec![false]),
    ] {
        let scene = scene(script);
        let mut pending = scene.begin(pkce, 600).await.unwrap();
        pending.finish(&Recorder::default()).await.unwrap();
        let forms = scene.transport.forms();
        let (last, asked) = forms.split_last().unwrap();
        let sent: Vec<bool> = asked.iter().map(|form| form.contains_key("code_challenge")).collect();
        assert_eq!(sent, challenges, "{pkce:?}");
        assert_eq!(last.contains_key("code_verifier"), challenges.ends_with(&[true]), "{pkce:?}");
        if let Some(verifier) = last.get("code_verifier") {
            let asked = asked.last().unwrap();
            assert_eq!(asked["code_challenge"], pkce::s256_challenge(&CodeVerifier::new(verifier.clone())));
            assert_eq!(asked["code_challenge_method"], "S256");
        }
    }
    for (pkce, script) in
        [(P::IfDemanded, vec![demand(), demand()]), (P::Never, vec![demand()]), (P::Always, vec![demand()])]
    {
        let scene = scene(script);
        assert_eq!(scene.begin(pkce, 600).await.unwrap_err().code(), "invalid_request");
        assert_eq!(scene.transport.left(), 0, "{pkce:?}");
    }
}

#[tokio::test]
async fn a_code_that_cannot_be_had() {
    use ErrorKind as K;
    for (answer, kind, code, retryable) in [
        (json(400, r#"{"error":"invalid_scope"}"#), K::Config, "invalid_scope", false),
        (json(401, r#"{"error":"invalid_client"}"#), K::Denied, "invalid_client", false),
        (json(400, r#"{"error":"unauthorized_client"}"#), K::Denied, "unauthorized_client", false),
        (reply(404, "text/plain", ""), K::Server, "not_found", false),
        (reply(302, "text/html", ""), K::Server, "redirect", false),
        (reply(503, "text/plain", ""), K::Server, "unavailable", true),
        (json(200, r#"{"device_code":"x"}"#), K::Server, "malformed", false),
        (json(200, &DEVICE.replace("https", "javascript")), K::Server, "malformed", false),
        (failure(FailureKind::Dns), K::Network, "unreachable", true),
    ] {
        let error =
            scene(vec![("/device_authorization", answer)]).begin(PkceOnDevice::IfDemanded, 600).await.unwrap_err();
        assert_eq!((error.kind(), error.code(), error.is_retryable()), (kind, code, retryable));
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}
