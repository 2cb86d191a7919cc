//! A relying party, a provider and a browser, all three in memory.

mod any_bytes;
mod browser;
mod hostile;
mod lifetimes;
mod provider;
mod renewing;
mod return_to;
mod routes;
mod signing_in;
mod signing_out;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::*;
use crate::clock::Clock as _;
use crate::clock::fake::FakeClock;
use crate::protocol::secret::ClientSecret;
use browser::{Browser, location, query};
use provider::{ISSUER, Mood, Provider as Idp};

pub(super) const BASE: &str = "https://console.example";
pub(super) const KEY: &str = "a-cookie-key-of-the-tests-0123456789";
const SECOND: Duration = Duration::from_secs(1);

struct World {
    idp: Arc<Idp>,
    clock: Arc<FakeClock>,
    rp: RelyingParty,
}

fn builder(idp: &Arc<Idp>, clock: &Arc<FakeClock>) -> RelyingPartyBuilder {
    RelyingParty::builder(ISSUER, "console", BASE)
        .client_secret(ClientSecret::new("canary-client-secret"))
        .cookie_key(KEY)
        .transport(Arc::clone(idp) as _)
        .clock(Arc::clone(clock) as _)
}

impl World {
    fn new() -> Self {
        Self::with(|builder, _| builder)
    }

    fn with(change: impl FnOnce(RelyingPartyBuilder, &Arc<FakeClock>) -> RelyingPartyBuilder) -> Self {
        let clock = Arc::new(FakeClock::default());
        let idp = Idp::new(Arc::clone(&clock));
        let rp = change(builder(&idp, &clock), &clock).build().unwrap();
        Self { idp, clock, rp }
    }

    fn with_store() -> Self {
        Self::with(|builder, clock| builder.store(Arc::new(MemorySessions::new(Arc::clone(clock) as _, 100))))
    }

    /// Another process of the same application: it remembers nothing.
    fn restarted(&self) -> RelyingParty {
        builder(&self.idp, &self.clock).build().unwrap()
    }

    /// Begins a sign-in: what the provider was asked for.
    async fn begin(&self, browser: &mut Browser, target: &str) -> std::collections::HashMap<String, String> {
        let begun = browser.open(&self.rp, target).await.response.unwrap();
        assert_eq!(begun.status(), StatusCode::FOUND);
        query(&begun)
    }

    /// The callback's target for a good answer.
    fn answer(&self, asked: &std::collections::HashMap<String, String>) -> String {
        let code = self.idp.grant(asked);
        format!("/callback?code={code}&state={}&iss={ISSUER}", asked["state"])
    }

    async fn sign_in(&self) -> Browser {
        let mut browser = Browser::default();
        let asked = self.begin(&mut browser, "/login").await;
        let done = browser.open(&self.rp, &self.answer(&asked)).await;
        let response = done.response.unwrap();
        assert_eq!(response.status(), StatusCode::SEE_OTHER, "{:?} {}", done.problem, response.body());
        browser
    }
}
