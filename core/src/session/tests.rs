//! The engine, on a scripted transport, a fake clock and the memory store.

use futures_util::FutureExt as _;

use super::*;
use crate::clock::fake::{FakeClock, FakeEntropy};
use crate::config::{AuthType, Origin, Setting, StaticToken};
use crate::error::ErrorKind;
use crate::protocol::secret::{AccessToken, RefreshToken};
use crate::store::Record;
use crate::store::memory::MemoryStore;
use crate::store::record::{SCHEMA_VERSION, TokenOrigin};
use crate::transport::scripted::{ScriptedTransport, failure, json, reply};
use crate::transport::{Failure, FailureKind, Reply};

mod faults;
mod races;

type Line = (&'static str, Result<Reply, Failure>);

const ISSUER: &str = "https://idp.example";

fn metadata() -> Line {
    metadata_of(ISSUER)
}

fn metadata_of(issuer: &str) -> Line {
    let body = format!(
        r#"{{"issuer":"{issuer}","token_endpoint":"{issuer}/token","authorization_endpoint":"{issuer}/auth",
            "jwks_uri":"{issuer}/jwks","response_types_supported":["code"],
            "token_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"]}}"#
    );
    (".well-known", json(200, &body))
}

fn token(access: &str, rest: &str) -> Line {
    ("/token", json(200, &format!(r#"{{"access_token":"{access}","token_type":"Bearer","expires_in":3600{rest}}}"#)))
}

fn setting<T>(value: T) -> Setting<T> {
    Setting::new(value, Origin::Flag("test".to_owned()))
}

fn person() -> Config {
    Config {
        issuer: Some(setting(ISSUER.to_owned())),
        client_id: Some(setting("flytectl".to_owned())),
        ..Config::default()
    }
}

fn machine() -> Config {
    Config { client_secret: Some(identity::secret_value("s3cret", "client_secret")), ..person() }
}

struct Scene {
    session: Session,
    transport: Arc<ScriptedTransport>,
    clock: Arc<FakeClock>,
    store: MemoryStore,
}

fn scene(config: Config, script: Vec<Line>) -> Scene {
    let transport = Arc::new(ScriptedTransport::new(script));
    let clock = Arc::new(FakeClock::default());
    let store = MemoryStore::new("test");
    let mut builder = Session::builder(config)
        .transport(Arc::<ScriptedTransport>::clone(&transport))
        .clock(Arc::<FakeClock>::clone(&clock))
        .store(Arc::new(store.clone()));
    builder.entropy = Arc::new(FakeEntropy::default());
    Scene { session: builder.build().unwrap(), transport, clock, store }
}

impl Scene {
    /// A session as a login leaves it: a token of one hour and a refresh token.
    fn signed_in(self) -> Self {
        let now = self.clock.now();
        let record = Record {
            schema_version: SCHEMA_VERSION,
            generation: 1,
            endpoint: ISSUER.to_owned(),
            profile: None,
            account: None,
            flyte_generation: None,
            origin: TokenOrigin::AuthorizationCode,
            issuer: Some(ISSUER.to_owned()),
            token_endpoint_origin: Some(ISSUER.to_owned()),
            client_id: Some("flytectl".to_owned()),
            client_auth_method: None,
            scopes: vec!["all".to_owned()],
            audience: None,
            subject: Some("alice".to_owned()),
            email: None,
            header_name: "flyte-authorization".to_owned(),
            access_token: AccessToken::new("a1"),
            expires_at: Some(now.plus(Duration::from_secs(3600))),
            obtained_at: Some(now),
            refresh_token: Some(RefreshToken::new("r1")),
            session_expires_at: None,
            adopted_from: None,
        };
        self.store.save(self.session.key(), &record).unwrap();
        self
    }

    fn record(&self) -> Record {
        self.store.load(self.session.key()).unwrap().expect("a record")
    }

    /// To a moment inside the refresh margin (12 minutes before the end), the token still valid.
    fn move_into_the_margin(&self) {
        self.clock.advance(Duration::from_secs(3600 - 300));
    }

    fn past_the_end(&self) {
        self.clock.advance(Duration::from_secs(3601));
    }

    async fn token(&self) -> Result<String> {
        self.session.token().await.map(|token| token.expect("a token").expose().to_owned())
    }

    /// Lets detached tasks run.
    async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            if self.transport.left() == 0 && self.session.inner.cell.is_idle() {
                return;
            }
        }
    }
}

#[tokio::test]
async fn many_callers_one_request_then_memory() {
    let scene = scene(machine(), vec![metadata(), token("a1", "")]);
    let all: Vec<_> = (0..32).map(|_| scene.token()).collect();
    for one in futures_util::future::join_all(all).await {
        assert_eq!(one.unwrap(), "a1");
    }
    assert_eq!(scene.token().await.unwrap(), "a1");
    assert_eq!(scene.transport.sent().len(), 2);
    let token = scene.session.fresh().unwrap();
    assert_eq!((token.header_name(), token.header_value().as_str()), ("authorization", "Bearer a1"));
}

#[tokio::test]
async fn the_other_client_authentication_method_is_tried_once_and_remembered() {
    let refused = || ("/token", json(401, r#"{"error":"invalid_client"}"#));
    let scene = scene(machine(), vec![metadata(), refused(), token("a1", ""), token("a2", "")]);
    assert_eq!(scene.token().await.unwrap(), "a1");
    assert_eq!(scene.record().client_auth_method, Some(crate::protocol::client::ClientAuthMethod::Post));
    scene.past_the_end();
    assert_eq!(scene.token().await.unwrap(), "a2");
    let sent = scene.transport.sent();
    let basic: Vec<bool> =
        sent.iter().skip(1).map(|call| call.request.headers().contains_key("authorization")).collect();
    assert_eq!(basic, [true, false, false]);
}

#[tokio::test]
async fn a_wrong_secret_is_denied_and_not_retried_for_ever() {
    let refused = || ("/token", json(401, r#"{"error":"invalid_client"}"#));
    // The second metadata answer is the check whether cached metadata was stale.
    let scene = scene(machine(), vec![metadata(), refused(), refused(), metadata()]);
    let error = scene.token().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, "invalid_client"));
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_refresh_rotates_saves_and_keeps_what_was_not_replaced() {
    let scene = scene(person(), vec![metadata(), token("a2", r#","refresh_token":"r2""#), token("a3", "")]).signed_in();
    assert_eq!(scene.session.stored().unwrap().unwrap().token().expose(), "a1");
    scene.past_the_end();
    assert_eq!(scene.session.stored().unwrap(), None);
    assert_eq!(scene.token().await.unwrap(), "a2");
    let record = scene.record();
    assert_eq!((record.generation, record.refresh_token), (2, Some(RefreshToken::new("r2"))));
    assert_eq!((record.subject.as_deref(), record.scopes), (Some("alice"), vec!["all".to_owned()]));
    scene.past_the_end();
    assert_eq!(scene.token().await.unwrap(), "a3");
    assert_eq!(scene.record().refresh_token, Some(RefreshToken::new("r2")), "RFC 6749 section 6: the old one stays");
    assert_eq!(scene.transport.forms()[2]["refresh_token"], "r2");
}

#[tokio::test]
async fn inside_the_margin_the_old_token_serves_and_a_new_one_comes_behind_it() {
    let scene = scene(person(), vec![metadata(), token("a2", "")]).signed_in();
    assert_eq!(scene.token().await.unwrap(), "a1");
    scene.move_into_the_margin();
    assert_eq!(scene.session.fresh(), None);
    assert_eq!(scene.token().await.unwrap(), "a1");
    scene.settle().await;
    assert_eq!(scene.token().await.unwrap(), "a2");
}

#[tokio::test]
async fn a_token_about_to_end_does_not_hide_a_failed_refresh() {
    let refused = ("/token", json(400, r#"{"error":"invalid_grant"}"#));
    let scene = scene(person(), vec![metadata(), refused]).signed_in();
    scene.clock.advance(Duration::from_secs(3600 - 10));
    let error = scene.session.token_once(TokenOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LoginRequired, "ten seconds are less than --min-ttl");
}

/// What a failing token endpoint does to a session: the store is kept whatever comes.
#[tokio::test]
async fn failures_keep_the_store_and_a_valid_token_beats_them() {
    for (answer, kind, retryable) in [
        (failure(FailureKind::Connect), ErrorKind::Network, true),
        (failure(FailureKind::Timeout), ErrorKind::Network, true),
        (reply(503, "text/plain", "down"), ErrorKind::Server, true),
        (reply(429, "text/plain", ""), ErrorKind::Server, true),
        (reply(502, "text/html", "<html>"), ErrorKind::Server, true),
        (reply(200, "text/html", "<html>"), ErrorKind::Server, true),
        (json(200, r#"{"access_token":"#), ErrorKind::Server, false),
        (json(400, r#"{"error":"invalid_grant"}"#), ErrorKind::LoginRequired, false),
        (json(400, ""), ErrorKind::LoginRequired, false),
        (json(401, r#"{"error":"invalid_client"}"#), ErrorKind::Denied, false),
    ] {
        for valid in [true, false] {
            // A spare metadata answer: some failures make the engine look whether its metadata is stale.
            let script = vec![metadata(), ("/token", answer.clone()), metadata()];
            let scene = scene(person(), script).signed_in();
            let before = scene.record();
            if valid {
                scene.move_into_the_margin();
                let token = scene.session.token_once(TokenOptions::default()).await.unwrap().unwrap();
                assert_eq!(token.expose(), "a1", "{answer:?}");
            } else {
                scene.past_the_end();
                let error = scene.token().await.unwrap_err();
                assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{answer:?}");
            }
            assert_eq!(scene.record(), before, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn invalid_grant_is_read_again_from_the_store_first() {
    // A process that ignores our lock uses the refresh token while ours is under way: the answer arrives after its save.
    let scene = scene(person(), vec![metadata(), ("/token", json(400, r#"{"error":"invalid_grant"}"#))]).signed_in();
    scene.past_the_end();
    let sibling = Record {
        generation: 2,
        access_token: AccessToken::new("a-sibling"),
        expires_at: Some(scene.clock.now().plus(Duration::from_secs(3600))),
        obtained_at: Some(scene.clock.now()),
        ..scene.record()
    };
    let record = scene.record();
    let store = scene.store.clone();
    let key = scene.session.key().clone();
    // The engine has read the old record when it asks; the script's answer stands for the race.
    let renewed = tokio::spawn({
        let session = scene.session.clone();
        async move { session.token().await }
    });
    drop(record);
    store.save(&key, &sibling).unwrap();
    assert_eq!(renewed.await.unwrap().unwrap().unwrap().expose(), "a-sibling");
}

#[tokio::test]
async fn a_siblings_refresh_is_adopted_without_a_request() {
    let scene = scene(person(), vec![metadata()]).signed_in();
    assert_eq!(scene.token().await.unwrap(), "a1");
    scene.past_the_end();
    let now = scene.clock.now();
    let sibling = Record {
        generation: 2,
        access_token: AccessToken::new("a-sibling"),
        expires_at: Some(now.plus(Duration::from_secs(3600))),
        obtained_at: Some(now),
        ..scene.record()
    };
    scene.store.save(scene.session.key(), &sibling).unwrap();
    assert_eq!(scene.token().await.unwrap(), "a-sibling");
}

#[tokio::test]
async fn a_rejected_token_is_not_served_again_and_a_late_rejection_starts_nothing() {
    let scene = scene(person(), vec![metadata(), token("a2", "")]).signed_in();
    let first = scene.session.token().await.unwrap().unwrap();
    scene.session.invalidate(Some(&first));
    assert_eq!(scene.session.fresh(), None);
    assert_eq!(scene.token().await.unwrap(), "a2");
    scene.session.invalidate(Some(&first));
    assert_eq!(scene.token().await.unwrap(), "a2");
    assert_eq!(scene.transport.left(), 0);
}

#[tokio::test]
async fn a_one_shot_does_not_serve_a_rejected_token_either() {
    let scene = scene(person(), vec![metadata(), token("a2", "")]).signed_in();
    scene.session.stored().unwrap().unwrap();
    scene.session.invalidate(None);
    assert_eq!(scene.session.token_once(TokenOptions::default()).await.unwrap().unwrap().expose(), "a2");
}

#[tokio::test]
async fn force_refresh_asks_even_for_a_fresh_token() {
    let scene = scene(person(), vec![metadata(), token("a2", "")]).signed_in();
    let forced = TokenOptions { force_refresh: true, ..TokenOptions::default() };
    assert_eq!(scene.session.token_once(forced).await.unwrap().unwrap().expose(), "a2");
}

#[tokio::test]
async fn a_failed_forced_refresh_is_an_error() {
    let scene = scene(person(), vec![metadata(), ("/token", reply(503, "text/plain", ""))]).signed_in();
    let forced = TokenOptions { force_refresh: true, ..TokenOptions::default() };
    assert_eq!(scene.session.token_once(forced).await.unwrap_err().kind(), ErrorKind::Server);
    assert_eq!(scene.record().access_token, AccessToken::new("a1"));
}

#[tokio::test]
async fn another_issuer_is_not_handed_the_refresh_token() {
    let scene = scene(person(), vec![metadata()]).signed_in();
    let mut record = scene.record();
    record.issuer = Some("https://old.example".to_owned());
    scene.store.save(scene.session.key(), &record).unwrap();
    scene.past_the_end();
    let error = scene.token().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::LoginRequired, "issuer_changed"));
    assert_eq!(scene.transport.sent().len(), 1);
}

#[tokio::test]
async fn a_token_endpoint_that_moved_is_not_handed_the_credentials() {
    let moved = || metadata_at("https://evil.example");
    let scene = scene(person(), vec![moved()]).signed_in();
    scene.past_the_end();
    let error = scene.token().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::LoginRequired, "token_endpoint_changed"));
    assert!(error.to_string().contains("https://evil.example") && error.to_string().contains("flyte-auth login"));
    assert_eq!(scene.transport.sent().len(), 1);
    // Nor by metadata that is fetched anew because the old address fails.
    let scene = self::scene(person(), vec![metadata(), ("/token", reply(404, "text/plain", "")), moved()]).signed_in();
    scene.past_the_end();
    scene.token().await.unwrap_err();
    assert_eq!(scene.transport.sent().len(), 3);
    // Nor a machine's secret, once it has been used.
    let scene = self::scene(machine(), vec![metadata(), token("a1", "")]);
    scene.token().await.unwrap();
    let record = Record { token_endpoint_origin: Some("https://old.example".into()), ..scene.record() };
    scene.store.save(scene.session.key(), &record).unwrap();
    scene.past_the_end();
    let error = scene.token().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Config, "token_endpoint_changed"));
    assert!(error.to_string().contains("flyte-auth logout"), "{error}");
    assert_eq!(scene.transport.sent().len(), 2);
}

#[test]
fn no_session_without_tls_beyond_this_machine_but_by_the_users_word() {
    let build = |endpoint: &str, insecure| {
        let endpoint = crate::config::endpoint::Endpoint::parse(endpoint, false, "test").unwrap();
        let config = Config { endpoint: Some(setting(endpoint)), insecure: setting(insecure), ..person() };
        Session::builder(config).build().map(|_| ()).map_err(|error| error.code().to_owned())
    };
    assert_eq!(build("http://flyte.example", false), Err("plaintext_refused".to_owned()));
    assert_eq!((build("http://flyte.example", true), build("http://localhost:80", false)), (Ok(()), Ok(())));
}

#[tokio::test]
async fn a_session_of_an_older_version_is_bound_by_its_first_refresh() {
    let scene = scene(person(), vec![metadata(), token("a2", "")]).signed_in();
    let record = Record { token_endpoint_origin: None, ..scene.record() };
    scene.store.save(scene.session.key(), &record).unwrap();
    scene.past_the_end();
    assert_eq!(scene.token().await.unwrap(), "a2");
    assert_eq!(scene.record().token_endpoint_origin.as_deref(), Some(ISSUER));
}

#[tokio::test]
async fn nobody_signed_in() {
    let scene = scene(person(), vec![metadata()]);
    let error = scene.token().await.unwrap_err();
    assert_eq!(error.to_string(), format!("not signed in to {ISSUER}. Run: flyte-auth login --issuer {ISSUER}"));
}

#[tokio::test]
async fn a_dropped_caller_does_not_drop_the_exchange() {
    let scene = scene(person(), vec![metadata(), token("a2", r#","refresh_token":"r2""#)]).signed_in();
    scene.past_the_end();
    {
        let waiting = std::pin::pin!(scene.session.token());
        // Polled once, so that the task is started, then dropped.
        assert!(waiting.now_or_never().is_none());
    }
    scene.settle().await;
    assert_eq!(scene.record().refresh_token, Some(RefreshToken::new("r2")));
}

#[tokio::test]
async fn static_tokens_come_as_they_are_and_a_file_is_read_again() {
    let value = Config { static_token: Some(setting(StaticToken::Value(AccessToken::new("t\n")))), ..person() };
    // Asked for the header's name only; without an answer it is the usual one.
    let unreachable = || (".well-known", failure(FailureKind::Connect));
    let scene1 = scene(value, vec![unreachable(), unreachable()]);
    assert_eq!(scene1.token().await.unwrap(), "t");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let file = Config { static_token: Some(setting(StaticToken::File(path.clone()))), ..person() };
    let scene2 = scene(file, vec![metadata()]);
    assert_eq!(scene2.token().await.unwrap_err().setting(), Some("FLYTE_TOKEN_FILE"));
    for text in ["one", "two"] {
        std::fs::write(&path, text).unwrap();
        scene2.clock.advance(Duration::from_secs(11));
        assert_eq!(scene2.token().await.unwrap(), text);
    }
    std::fs::write(&path, "two words").unwrap();
    scene2.clock.advance(Duration::from_secs(11));
    let error = scene2.session.token_once(TokenOptions::default()).await.unwrap_err();
    assert!(!error.to_string().contains("words"), "{error}");
}

#[tokio::test]
async fn external_commands_are_run_with_a_depth_and_not_inside_one() {
    let argv = ["sh", "-c", "echo depth-$FLYTE_AUTH_DEPTH"].map(str::to_owned).to_vec();
    let config = Config { auth_type: setting(AuthType::ExternalCommand), command: Some(setting(argv)), ..person() };
    let outer = scene(config.clone(), vec![metadata()]);
    assert_eq!(outer.token().await.unwrap(), "depth-1");
    assert!(outer.store.list().unwrap().is_empty(), "a token whose age only this process knows is not kept");
    let inner = scene(Config { inside_command: true, ..config }, vec![metadata()]);
    assert_eq!(inner.token().await.unwrap_err().code(), "command_calls_itself");
}

#[tokio::test]
async fn stale_metadata_is_dropped_when_the_server_contradicts_it() {
    let moved = metadata_at("https://idp.example/new");
    let scene =
        scene(person(), vec![metadata(), ("/token", reply(404, "text/plain", "")), moved, ("/new/token", ok_token())])
            .signed_in();
    scene.past_the_end();
    assert_eq!(scene.token().await.unwrap(), "a2");
}

fn metadata_at(base: &str) -> Line {
    let body =
        format!(r#"{{"issuer":"{ISSUER}","token_endpoint":"{base}/token","authorization_endpoint":"{base}/auth"}}"#);
    (".well-known", json(200, &body))
}

fn ok_token() -> Result<Reply, Failure> {
    json(200, r#"{"access_token":"a2","expires_in":60}"#)
}

#[test]
fn the_key_tells_sessions_apart() {
    let key = |config: &Config| {
        let source = Source::select(config).unwrap();
        identity::session_key(config, &source).unwrap()
    };
    let base = person();
    let variants = [
        Config { profile: Some(setting("p".into())), ..base.clone() },
        Config { account: Some(setting("a".into())), ..base.clone() },
        Config { client_id: Some(setting("other".into())), ..base.clone() },
        Config { scopes: Some(setting(vec!["a".into()])), ..base.clone() },
        Config { audience: Some(setting("x".into())), ..base.clone() },
        Config { issuer: Some(setting("https://other.example".into())), ..base.clone() },
        machine(),
    ];
    for (index, variant) in variants.iter().enumerate() {
        assert_ne!(key(variant), key(&base), "variant {index}");
    }
    let ordered =
        |scopes: [&str; 2]| Config { scopes: Some(setting(scopes.map(str::to_owned).to_vec())), ..base.clone() };
    assert_eq!(key(&ordered(["a", "b"])), key(&ordered(["b", "a"])));
}
