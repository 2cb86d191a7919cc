//! An OpenID provider that signs with keys of its own, rotates refresh tokens and ends a session whose old one comes
//! again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::clock::Clock as _;
use crate::clock::fake::FakeClock;
use crate::protocol::pkce;
use crate::protocol::secret::CodeVerifier;
use crate::transport::{Call, Failure, FailureKind, HttpTransport, Purpose, Reply, scripted};
use crate::verify::signer::Signer;

pub(super) const ISSUER: &str = "https://idp.example";
pub(super) const LIFETIME: i64 = 3600;

/// What the token endpoint does with the next requests.
#[derive(Clone, Debug)]
pub(super) enum Mood {
    Good,
    Down,
    /// Status and JSON.
    Says(u16, Value),
}

pub(super) struct Provider {
    signer: Signer,
    clock: Arc<FakeClock>,
    /// Nonce and challenge by code.
    codes: Mutex<HashMap<String, (String, String)>>,
    /// The refresh token that is good.
    refresh: Mutex<Option<String>>,
    pub(super) mood: Mutex<Mood>,
    /// Changes an ID token's claims before they are signed.
    pub(super) claims: Mutex<Map<String, Value>>,
    pub(super) metadata: Mutex<Map<String, Value>>,
    pub(super) user_info: Mutex<Value>,
    pub(super) no_refresh_token: AtomicBool,
    pub(super) no_id_token_at_refresh: AtomicBool,
    pub(super) keys_down: AtomicBool,
    pub(super) metadata_down: AtomicBool,
    /// Padding of the access token.
    pub(super) padding: AtomicUsize,
    pub(super) asked: Mutex<Vec<(Purpose, HashMap<String, String>)>>,
    count: AtomicUsize,
    /// Exchanges pass one for each permit; a test that takes them all holds every exchange up.
    pub(super) gate: Semaphore,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Provider")
    }
}

impl Provider {
    pub(super) fn new(clock: Arc<FakeClock>) -> Arc<Self> {
        Arc::new(Self {
            signer: Signer::es256(),
            clock,
            codes: Mutex::default(),
            refresh: Mutex::default(),
            mood: Mutex::new(Mood::Good),
            claims: Mutex::default(),
            metadata: Mutex::default(),
            user_info: Mutex::new(json!({"sub": "alice", "name": "Alice", "email": "alice@example.org"})),
            no_refresh_token: AtomicBool::new(false),
            no_id_token_at_refresh: AtomicBool::new(false),
            keys_down: AtomicBool::new(false),
            metadata_down: AtomicBool::new(false),
            padding: AtomicUsize::new(0),
            asked: Mutex::default(),
            count: AtomicUsize::new(0),
            gate: Semaphore::new(1000),
        })
    }

    pub(super) fn set_mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(super) fn claim(&self, name: &str, value: Value) {
        self.claims.lock().unwrap().insert(name.to_owned(), value);
    }

    /// A person signs in: the code that goes back.
    pub(super) fn grant(&self, query: &HashMap<String, String>) -> String {
        let code = format!("code-{}", self.count.fetch_add(1, Ordering::SeqCst));
        let kept = (query["nonce"].clone(), query["code_challenge"].clone());
        self.codes.lock().unwrap().insert(code.clone(), kept);
        code
    }

    /// How often a grant was asked for, by `grant_type`.
    pub(super) fn exchanges(&self, grant_type: &str) -> usize {
        self.asked_for(Purpose::Token).iter().filter(|form| form["grant_type"] == grant_type).count()
    }

    pub(super) fn asked_for(&self, purpose: Purpose) -> Vec<HashMap<String, String>> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(found, _)| *found == purpose).map(|(_, form)| form.clone()).collect()
    }

    fn metadata(&self) -> Value {
        let mut metadata = json!({
            "issuer": ISSUER,
            "authorization_endpoint": format!("{ISSUER}/authorize"),
            "token_endpoint": format!("{ISSUER}/token"),
            "jwks_uri": format!("{ISSUER}/jwks"),
            "userinfo_endpoint": format!("{ISSUER}/userinfo"),
            "revocation_endpoint": format!("{ISSUER}/revoke"),
            "end_session_endpoint": format!("{ISSUER}/end?x=1"),
            "authorization_response_iss_parameter_supported": true,
        });
        for (name, value) in &*self.metadata.lock().unwrap() {
            metadata[name] = value.clone();
        }
        metadata
    }

    fn tokens(&self, nonce: Option<&str>) -> Value {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        let now = self.clock.now().as_secs();
        let mut claims = json!({
            "iss": ISSUER, "aud": "console", "sub": "alice", "iat": now, "exp": now + 600,
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        for (name, value) in &*self.claims.lock().unwrap() {
            claims[name] = value.clone();
        }
        let mut reply = json!({
            "access_token": format!("access-{number}-{}", "x".repeat(self.padding.load(Ordering::SeqCst))),
            "token_type": "Bearer", "expires_in": LIFETIME,
        });
        if nonce.is_some() || !self.no_id_token_at_refresh.load(Ordering::SeqCst) {
            reply["id_token"] = self.signer.sign(&claims).into();
        }
        if !self.no_refresh_token.load(Ordering::SeqCst) {
            let token = format!("refresh-{number}");
            reply["refresh_token"] = token.as_str().into();
            *self.refresh.lock().unwrap() = Some(token);
        }
        reply
    }

    fn token(&self, form: &HashMap<String, String>) -> Result<Reply, Failure> {
        match &*self.mood.lock().unwrap() {
            Mood::Good => {}
            Mood::Down => return scripted::failure(FailureKind::Connect),
            Mood::Says(status, body) => return scripted::json(*status, &body.to_string()),
        }
        let refused = || scripted::json(400, r#"{"error":"invalid_grant"}"#);
        let reply = match form["grant_type"].as_str() {
            "authorization_code" => {
                let Some((nonce, challenge)) = self.codes.lock().unwrap().remove(&form["code"]) else {
                    return refused();
                };
                if pkce::s256_challenge(&CodeVerifier::new(&*form["code_verifier"])) != challenge {
                    return refused();
                }
                self.tokens(Some(&nonce))
            }
            "refresh_token" => {
                let mut good = self.refresh.lock().unwrap();
                if good.as_ref() != Some(&form["refresh_token"]) {
                    // Reuse ends the whole grant.
                    *good = None;
                    return refused();
                }
                drop(good);
                self.tokens(None)
            }
            other => panic!("grant {other}"),
        };
        scripted::json(200, &reply.to_string())
    }
}

impl HttpTransport for Provider {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Reply, Failure>> {
        let form: HashMap<String, String> = url::form_urlencoded::parse(call.request.body()).into_owned().collect();
        self.asked.lock().unwrap().push((call.purpose, form.clone()));
        async move {
            tokio::task::yield_now().await;
            match call.purpose {
                Purpose::Discovery if self.metadata_down.load(Ordering::SeqCst) => {
                    scripted::failure(FailureKind::Timeout)
                }
                Purpose::Discovery => scripted::json(200, &self.metadata().to_string()),
                Purpose::Jwks if self.keys_down.load(Ordering::SeqCst) => scripted::failure(FailureKind::Connect),
                Purpose::Jwks => scripted::json(200, &json!({"keys": [self.signer.jwk]}).to_string()),
                Purpose::Token => {
                    let _pass = self.gate.acquire().await.unwrap();
                    self.token(&form)
                }
                Purpose::UserInfo => scripted::json(200, &self.user_info.lock().unwrap().to_string()),
                Purpose::Revocation => {
                    *self.refresh.lock().unwrap() = None;
                    scripted::json(200, "")
                }
                _ => panic!("unexpected call"),
            }
        }
        .boxed()
    }
}
