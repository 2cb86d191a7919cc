//! Adoption on a scripted server and a keyring in memory.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::items::tests::Pocket;
use super::*;
use crate::clock::fake::FakeClock;
use crate::clock::{Clock as _, Timestamp};
use crate::config::endpoint::Endpoint;
use crate::config::{AuthType, Origin};
use crate::error::Error;
use crate::session::Token;
use crate::store::TokenStore as _;
use crate::store::memory::MemoryStore;
use crate::transport::scripted::{ScriptedTransport, json as reply};
use crate::transport::{Failure, Reply};

type Line = (&'static str, Result<Reply, Failure>);

const ISSUER: &str = "https://idp.example";
const HOST: &str = "flyte.example.org";

fn metadata(more: &str) -> Line {
    let body = format!(
        r#"{{"issuer":"{ISSUER}","token_endpoint":"{ISSUER}/token","authorization_endpoint":"{ISSUER}/auth",
            "response_types_supported":["code"]{more}}}"#
    );
    (".well-known", reply(200, &body))
}

fn renewed(access: &str, refresh: &str) -> Line {
    let body = json!({"access_token": access, "token_type": "Bearer", "expires_in": 3600, "refresh_token": refresh})
        .to_string();
    ("/token", reply(200, &body))
}

fn invalid_grant() -> Line {
    ("/token", reply(400, r#"{"error":"invalid_grant"}"#))
}

fn setting<T>(value: T) -> Setting<T> {
    Setting::new(value, Origin::Flag("test".to_owned()))
}

fn person() -> Config {
    Config {
        endpoint: Some(setting(Endpoint::parse(HOST, false, "test").unwrap())),
        issuer: Some(setting(ISSUER.to_owned())),
        client_id: Some(setting("flytectl".to_owned())),
        ..Config::default()
    }
}

/// A token of Alice that was issued so many seconds ago and lives for an hour.
fn jwt(now: Timestamp, age: i64, change: impl FnOnce(&mut Value)) -> String {
    let issued_at = now.as_secs() - age;
    let mut claims = json!({
        "iss": ISSUER, "client_id": "flytectl", "sub": "alice", "email": "alice@example.org",
        "iat": issued_at, "exp": issued_at + 3600,
    });
    change(&mut claims);
    let part = |value: &str| URL_SAFE_NO_PAD.encode(value);
    format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(&claims.to_string()), part("signature"))
}

struct Scene {
    session: Session,
    transport: Arc<ScriptedTransport>,
    clock: Arc<FakeClock>,
    store: MemoryStore,
    keyring: Arc<Pocket>,
}

fn scene(config: Config, script: Vec<Line>) -> Scene {
    let transport = Arc::new(ScriptedTransport::new(script));
    let clock = Arc::new(FakeClock::default());
    let store = MemoryStore::new("test");
    let keyring = Arc::new(Pocket::default());
    let session = Session::builder(config)
        .transport(Arc::<ScriptedTransport>::clone(&transport))
        .clock(Arc::<FakeClock>::clone(&clock))
        .store(Arc::new(store.clone()))
        .adopt_from(Some(Arc::<Pocket>::clone(&keyring)))
        .build()
        .unwrap();
    Scene { session, transport, clock, store, keyring }
}

impl Scene {
    fn jwt(&self, age: i64) -> String {
        jwt(self.clock.now(), age, |_| {})
    }

    fn flyte_has(&self, access: &str, refresh: Option<&str>) {
        self.keyring.put(HOST, "tokens", &json!({"access_token": access, "refresh_token": refresh}).to_string());
    }

    fn flyte_holds(&self) -> Value {
        serde_json::from_str(&self.keyring.text(HOST, "tokens").unwrap()).unwrap()
    }

    async fn token(&self) -> Result<String, Error> {
        self.session.token().await.map(|token: Option<Token>| token.unwrap().expose().to_owned())
    }

    fn record(&self) -> Record {
        self.store.load(self.session.key()).unwrap().unwrap()
    }

    fn refresh_tokens_sent(&self) -> Vec<String> {
        self.transport.forms().iter().filter_map(|form| form.get("refresh_token").cloned()).collect()
    }
}

#[tokio::test]
async fn a_fresh_login_is_used_without_an_exchange() {
    let scene = scene(person(), vec![metadata("")]);
    let theirs = scene.jwt(60);
    scene.flyte_has(&theirs, Some("r1"));
    assert!(scene.session.may_adopt());
    assert_eq!(scene.token().await.unwrap(), theirs);
    let record = scene.record();
    assert_eq!((record.origin, record.subject.as_deref()), (TokenOrigin::Adopted, Some("alice")));
    assert_eq!(record.adopted_from.unwrap().client, ForeignClient::Flyte);
    assert_eq!(scene.flyte_holds()["access_token"], theirs.as_str(), "their item is as it was");
}

#[tokio::test]
async fn an_expired_one_is_refreshed_and_the_new_pair_is_theirs_too() {
    let scene = scene(person(), vec![metadata(""), renewed("placeholder", "r2")]);
    scene.flyte_has(&scene.jwt(4000), Some("r1"));
    assert_eq!(scene.token().await.unwrap(), "placeholder");
    assert_eq!(scene.refresh_tokens_sent(), ["r1"]);
    assert_eq!(scene.flyte_holds(), json!({"access_token": "placeholder", "refresh_token": "r2"}));
}

#[tokio::test]
async fn what_they_renewed_meanwhile_is_used_instead_of_an_exchange() {
    let scene = scene(person(), vec![metadata("")]);
    scene.flyte_has(&scene.jwt(60), Some("r1"));
    scene.token().await.unwrap();
    scene.clock.advance(Duration::from_secs(4000));
    let theirs = scene.jwt(5);
    scene.flyte_has(&theirs, Some("r2"));
    assert_eq!(scene.token().await.unwrap(), theirs);
    assert_eq!(scene.record().generation, 2);
    assert_eq!(scene.record().refresh_token.unwrap().expose(), "r2");
}

#[tokio::test]
async fn their_newer_refresh_token_is_the_one_that_is_sent() {
    let scene = scene(person(), vec![metadata(""), renewed("a3", "r3")]);
    scene.flyte_has(&scene.jwt(60), Some("r1"));
    scene.token().await.unwrap();
    scene.clock.advance(Duration::from_secs(9000));
    scene.flyte_has(&scene.jwt(4000), Some("r2"));
    assert_eq!(scene.token().await.unwrap(), "a3");
    assert_eq!(scene.refresh_tokens_sent(), ["r2"]);
    assert_eq!(scene.flyte_holds(), json!({"access_token": "a3", "refresh_token": "r3"}));
}

/// They exchange the token in the very moment in which we do.
#[derive(Debug)]
struct Quicker {
    keyring: Arc<Pocket>,
    reads_before: std::sync::atomic::AtomicI32,
    then: String,
}

impl ForeignItems for Quicker {
    fn read(&self, service: &str, user: &str) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>> {
        let left = self.reads_before.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        if left == 0 {
            self.keyring.put(HOST, "tokens", &self.then);
        }
        self.keyring.read(service, user)
    }
    fn write(&self, service: &str, user: &str, secret: &[u8]) -> Result<()> {
        self.keyring.write(service, user, secret)
    }
    fn delete(&self, service: &str, user: &str) -> Result<bool> {
        self.keyring.delete(service, user)
    }
}

#[tokio::test]
async fn after_invalid_grant_their_item_is_read_again() {
    let plain = scene(person(), vec![metadata("")]);
    plain.flyte_has(&plain.jwt(60), Some("r1"));
    plain.token().await.unwrap();
    plain.clock.advance(Duration::from_secs(4000));
    let theirs = plain.jwt(1);
    let quicker = Quicker {
        keyring: Arc::clone(&plain.keyring),
        reads_before: 1.into(),
        then: json!({"access_token": theirs, "refresh_token": "r2"}).to_string(),
    };
    let transport = Arc::new(ScriptedTransport::new(vec![metadata(""), invalid_grant()]));
    // Another process of ours.
    let again = Session::builder(person())
        .transport(Arc::<ScriptedTransport>::clone(&transport))
        .clock(Arc::<FakeClock>::clone(&plain.clock))
        .store(Arc::new(plain.store.clone()))
        .adopt_from(Some(Arc::new(quicker)))
        .build()
        .unwrap();
    assert_eq!(again.token().await.unwrap().unwrap().expose(), theirs);
    assert_eq!(transport.left(), 0, "the exchange was tried");
    assert_eq!(plain.record().refresh_token.unwrap().expose(), "r2");
}

#[tokio::test]
async fn a_login_of_theirs_that_has_gone_or_is_somebody_elses_is_left_alone() {
    for theirs in [None, Some("bob")] {
        let scene = scene(person(), vec![metadata(""), renewed("a2", "r2")]);
        scene.flyte_has(&scene.jwt(60), Some("r1"));
        scene.token().await.unwrap();
        scene.clock.advance(Duration::from_secs(4000));
        match theirs {
            None => drop(scene.keyring.delete(HOST, "tokens")),
            Some(somebody) => {
                let token = jwt(scene.clock.now(), 5, |claims| claims["sub"] = somebody.into());
                scene.flyte_has(&token, Some("r9"));
            }
        }
        let before = scene.keyring.text(HOST, "tokens");
        assert_eq!(scene.token().await.unwrap(), "a2");
        assert_eq!(scene.refresh_tokens_sent(), ["r1"], "{theirs:?}");
        assert_eq!(scene.keyring.text(HOST, "tokens"), before, "{theirs:?}");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_not_adopted() {
    type Change = fn(&mut Value);
    let config = |change: fn(&mut Config)| {
        let mut config = person();
        change(&mut config);
        config
    };
    let as_it_is = || config(|_| {});
    for (why, config, change) in [
        ("issuer", as_it_is(), (|claims: &mut Value| claims["iss"] = "https://other.example".into()) as Change),
        ("issuer with a slash", as_it_is(), |claims| claims["iss"] = "https://idp.example/".into()),
        ("client", as_it_is(), |claims| claims["client_id"] = "ci".into()),
        ("no client", as_it_is(), |claims| claims["client_id"] = Value::Null),
        ("two clients", as_it_is(), |claims| claims["azp"] = "ci".into()),
        ("machine", as_it_is(), |claims| claims["sub"] = "flytectl".into()),
        ("nobody", as_it_is(), |claims| claims["sub"] = Value::Null),
        ("audience", config(|config| config.audience = Some(setting("api".into()))), |_| {}),
        ("account", config(|config| config.account = Some(setting("bob@example.org".into()))), |_| {}),
        ("scopes", config(|config| config.scopes = Some(setting(vec!["all".into()]))), |claims| {
            claims["scope"] = "other".into();
        }),
    ] {
        let scene = scene(config, vec![metadata("")]);
        scene.flyte_has(&jwt(scene.clock.now(), 60, change), Some("r1"));
        assert_eq!(scene.token().await.unwrap_err().code(), "not_signed_in", "{why}");
        assert!(scene.store.load(scene.session.key()).unwrap().is_none());
    }
    let opaque = scene(person(), vec![metadata("")]);
    opaque.flyte_has("opaque", Some("r1"));
    assert_eq!(opaque.token().await.unwrap_err().code(), "not_signed_in");
    let ended = scene(person(), vec![metadata("")]);
    ended.flyte_has(&ended.jwt(4000), None);
    assert_eq!(ended.token().await.unwrap_err().code(), "not_signed_in");
    let burnt = scene(person(), vec![metadata(""), invalid_grant()]);
    burnt.flyte_has(&burnt.jwt(4000), Some("r1"));
    assert_eq!(burnt.token().await.unwrap_err().code(), "not_signed_in");
}

#[tokio::test]
async fn a_token_that_serves_as_it_is_must_be_signed_by_the_issuer() {
    let jwks = format!(r#","jwks_uri":"{ISSUER}/jwks""#);
    let scene = scene(person(), vec![metadata(&jwks), ("/jwks", reply(200, r#"{"keys":[]}"#))]);
    scene.flyte_has(&scene.jwt(60), Some("r1"));
    assert_eq!(scene.token().await.unwrap_err().code(), "not_signed_in");
    assert_eq!(scene.transport.left(), 0);
}

#[test]
fn where_nothing_is_looked_for() {
    let foreign = |change: fn(&mut Config)| {
        let mut config = person();
        change(&mut config);
        let source = Source::select(&config).unwrap();
        Foreign::new(&config, &source, Some(Arc::new(Pocket::default())))
    };
    assert!(foreign(|_| {}).is_some());
    for change in [
        (|config: &mut Config| config.adopt = Some(setting(false))) as fn(&mut Config),
        |config| config.store = setting(StoreKind::None),
        |config| config.store = setting(StoreKind::Memory),
        |config| config.endpoint = None,
        |config| config.auth_type = setting(AuthType::Passthrough),
    ] {
        assert!(foreign(change).is_none());
    }
}

#[tokio::test]
async fn the_best_of_several_is_taken() {
    let scene = scene(person(), vec![metadata("")]);
    scene.flyte_has(&scene.jwt(5), None);
    let theirs = scene.jwt(60);
    scene.keyring.put(HOST, "access_token", &theirs);
    scene.keyring.put(HOST, "refresh_token", "r1");
    assert_eq!(scene.token().await.unwrap(), theirs, "a refresh token outweighs an hour");
    assert_eq!(scene.record().adopted_from.unwrap().client, ForeignClient::Flytekit);
}

#[tokio::test]
async fn logout_removes_equal_copies_only() {
    let scene = scene(person(), vec![metadata("")]);
    let ours = scene.jwt(60);
    scene.keyring.put(HOST, "access_token", &ours);
    scene.keyring.put(HOST, "refresh_token", "r1");
    scene.keyring.put(HOST, "id_token", "i1");
    scene.token().await.unwrap();
    scene.keyring.put("flytectl", &format!("dns:///{HOST}:flytectl-user"), r#"{"access_token":"another"}"#);
    scene.keyring.put("elsewhere.example", "tokens", &json!({ "access_token": ours }).to_string());
    // In another process: what was found at the adoption is not all that there is by now.
    let later = Session::builder(person())
        .store(Arc::new(scene.store.clone()))
        .adopt_from(Some(Arc::<Pocket>::clone(&scene.keyring)))
        .build()
        .unwrap();
    let outcome = later.logout(false).await.unwrap();
    assert_eq!(outcome.copies_removed, ["flytekit"]);
    let mut left: Vec<_> = scene.keyring.0.lock().unwrap().keys().map(|(service, _)| service.clone()).collect();
    left.sort();
    assert_eq!(left, ["elsewhere.example", "flytectl"]);
}

/// A keyring that takes a question and does not answer while the test runs.
#[derive(Debug)]
struct Mute(std::sync::Mutex<mpsc::Receiver<()>>);

impl ForeignItems for Mute {
    fn read(&self, _service: &str, _user: &str) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>> {
        let _ = self.0.lock().unwrap().recv();
        Ok(None)
    }
    fn write(&self, _service: &str, _user: &str, _secret: &[u8]) -> Result<()> {
        Ok(())
    }
    fn delete(&self, _service: &str, _user: &str) -> Result<bool> {
        Ok(false)
    }
}

#[test]
fn a_glance_does_not_wait_for_a_keyring_that_is_mute() {
    let (keep, muted) = mpsc::channel();
    let items: Arc<dyn ForeignItems> = Arc::new(Mute(std::sync::Mutex::new(muted)));
    let foreign = Foreign::new(&person(), &Source::select(&person()).unwrap(), Some(items)).unwrap();
    assert!(foreign.look(Some(Duration::from_millis(1))).is_empty());
    drop(keep);
}
