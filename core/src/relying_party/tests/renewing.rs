use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use http::Method;
use serde_json::json;

use super::*;
use crate::error::ErrorKind;
use crate::transport::Purpose;

const DUE: Duration = Duration::from_secs(3300);
const EXPIRED: Duration = Duration::from_secs(3700);

fn due(world: &World) {
    world.clock.advance(DUE);
}

#[tokio::test]
async fn fifty_requests_are_one_exchange() {
    for world in [World::new(), World::with_store()] {
        let browser = world.sign_in().await;
        due(&world);
        let request = browser.get("/x");
        assert!(world.rp.handle_now(&request, Guard::Login).is_none(), "it has to be awaited");
        let all = join_all((0..50).map(|_| world.rp.handle(&request, Guard::Login))).await;
        assert_eq!(world.idp.exchanges("refresh_token"), 1);
        let tokens: Vec<_> = all.iter().map(|handled| handled.signed_in.as_ref().unwrap().fresh().unwrap()).collect();
        assert!(tokens.iter().all(|token| *token == tokens[0] && token.generation() == 2));
    }
}

#[tokio::test]
async fn whoever_decides_late_causes_no_second_exchange() {
    let world = World::new();
    let mut browser = world.sign_in().await;
    due(&world);
    let (inner, now) = (&world.rp.inner, world.clock.now());
    assert_eq!(browser.open(&world.rp, "/x").await.signed_in.unwrap().freshness(), 2);
    let sid = inner.session_id(&browser.get("/x")).unwrap();
    let live = inner.registry.live(&sid).unwrap();
    // Another request saw the first tokens, and comes only now.
    inner.join(&live, 1, now).await.unwrap();
    assert_eq!(world.idp.exchanges("refresh_token"), 1);
    world.idp.set_mood(Mood::Down);
    assert!(inner.join(&live, 2, now).await.is_err());
    assert!(inner.join(&live, 2, now).await.is_err());
    assert_eq!(world.idp.exchanges("refresh_token"), 2, "a failure that just was is not tried again");
}

#[tokio::test]
async fn sessions_do_not_wait_for_each_other_and_threads_share() {
    let world = Arc::new(World::new());
    let browser = world.sign_in().await;
    due(&world);
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (world, request) = (Arc::clone(&world), browser.get("/x"));
            tokio::spawn(async move { world.rp.handle(&request, Guard::Login).await.signed_in.is_some() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!(world.idp.exchanges("refresh_token"), 1);
}

#[tokio::test]
async fn the_old_cookie_gets_the_renewed_session_and_its_cookie() {
    let world = World::new();
    let mut browser = world.sign_in().await;
    let mut old = browser.clone();
    due(&world);
    let renewed = browser.open(&world.rp, "/x").await;
    assert_eq!(renewed.set_cookies.len(), 1);
    world.clock.advance(50 * SECOND);
    let handled = old.open(&world.rp, "/x").await;
    assert_eq!(handled.set_cookies.len(), 1, "the browser must learn of it");
    assert_eq!(handled.signed_in.unwrap().freshness(), 2);
    assert_eq!(world.idp.exchanges("refresh_token"), 1);
    // What it was given is complete: another process opens it.
    let elsewhere = old.open(&world.restarted(), "/x").await;
    assert_eq!(elsewhere.signed_in.unwrap().freshness(), 2);
    // The new cookie is due for nothing.
    assert!(browser.open(&world.rp, "/x").await.set_cookies.is_empty());
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_nothing() {
    let world = World::new();
    let mut browser = world.sign_in().await;
    due(&world);
    let held = world.idp.gate.acquire_many(1000).await.unwrap();
    let request = browser.get("/x");
    for _ in 0..3 {
        let handling = world.rp.handle(&request, Guard::Login);
        assert!(tokio::time::timeout(Duration::from_millis(30), handling).await.is_err());
    }
    drop(held);
    let handled = browser.open(&world.rp, "/x").await;
    assert_eq!(handled.signed_in.unwrap().freshness(), 2);
    assert_eq!(world.idp.exchanges("refresh_token"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_provider_delays_nobody_for_long_while_the_token_lives() {
    let world = World::new();
    let mut browser = world.sign_in().await;
    due(&world);
    let held = world.idp.gate.acquire_many(1000).await.unwrap();
    let handled = browser.open(&world.rp, "/x").await;
    let signed_in = handled.signed_in.unwrap();
    assert_eq!((signed_in.user().subject(), signed_in.freshness()), ("alice", 0));
    assert!(signed_in.take_cookies().is_empty());
    drop(held);
    // The exchange goes on; whoever asks next joins it.
    assert_eq!(signed_in.token().await.unwrap().generation(), 2);
    assert_eq!(world.idp.exchanges("refresh_token"), 1);
    let cookies = signed_in.take_cookies();
    assert_eq!((cookies.len(), signed_in.take_cookies().len()), (1, 0));
    browser.take(&cookies);
    assert_eq!(browser.open(&world.restarted(), "/x").await.signed_in.unwrap().freshness(), 2);
}

#[tokio::test]
async fn what_the_provider_refuses_ends_the_session() {
    for error in ["invalid_grant", "interaction_required"] {
        for world in [World::new(), World::with_store()] {
            let mut browser = world.sign_in().await;
            let old = browser.clone();
            due(&world);
            world.idp.set_mood(Mood::Says(400, json!({"error": error})));
            let handled = browser.open(&world.rp, "/x").await;
            let response = handled.response.unwrap();
            assert_eq!((response.status(), location(&response)), (StatusCode::FOUND, "/login?return_to=%2Fx"));
            assert!(browser.session().is_empty());
            world.idp.set_mood(Mood::Good);
            // Over is over, whatever the provider says later.
            assert!(old.clone().open(&world.rp, "/x").await.signed_in.is_none());
            assert_eq!(world.idp.exchanges("refresh_token"), 1, "{error}");
        }
    }
}

#[tokio::test]
async fn what_merely_fails_ends_nothing_and_is_not_tried_at_once() {
    for mood in [Mood::Down, Mood::Says(503, json!({})), Mood::Says(401, json!({"error": "invalid_client"}))] {
        let world = World::new();
        let mut browser = world.sign_in().await;
        due(&world);
        world.idp.set_mood(mood.clone());
        for _ in 0..5 {
            let handled = browser.open(&world.rp, "/x").await;
            assert_eq!(handled.signed_in.unwrap().fresh(), None, "it needs renewal");
        }
        let tries = world.idp.exchanges("refresh_token");
        assert!(tries <= 2, "{tries} {mood:?}");
        let signed_in = browser.open(&world.rp, "/x").await.signed_in.unwrap();
        assert_eq!(signed_in.token().await.unwrap().generation(), 1, "a valid token beats a failed exchange");
        world.clock.advance(60 * SECOND);
        world.idp.set_mood(Mood::Good);
        assert_eq!(browser.open(&world.rp, "/x").await.signed_in.unwrap().freshness(), 2);
    }
}

#[tokio::test]
async fn a_provider_that_is_away_longer_than_the_token_lives_is_503_and_the_session_stays() {
    let world = World::new();
    let mut browser = world.sign_in().await;
    world.clock.advance(EXPIRED);
    world.idp.set_mood(Mood::Down);
    for target in ["/x", "/me"] {
        let response = browser.open(&world.rp, target).await.response.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{target}");
        assert!(response.headers().contains_key(http::header::RETRY_AFTER));
    }
    let looked = world.rp.handle(&browser.get("/x"), Guard::Look).await;
    assert!(looked.signed_in.is_none() && looked.problem.is_some() && looked.response.is_none());
    assert_eq!(browser.session().len(), 1);
    world.clock.advance(60 * SECOND);
    world.idp.set_mood(Mood::Good);
    assert!(browser.open(&world.rp, "/x").await.signed_in.is_some());
}

#[tokio::test]
async fn a_new_id_token_is_of_the_same_person() {
    for (claim, value) in [("sub", json!("mallory")), ("iss", json!("https://evil.example")), ("aud", json!("evil"))] {
        let world = World::new();
        let mut browser = world.sign_in().await;
        due(&world);
        world.idp.claim(claim, value);
        assert!(browser.open(&world.rp, "/x").await.signed_in.is_none(), "{claim}");
        assert!(browser.session().is_empty());
        tokio::task::yield_now().await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.idp.asked_for(Purpose::Revocation).len(), 1, "what came with it is not left about");
    }
}

#[tokio::test]
async fn a_renewal_keeps_what_the_provider_leaves_out() {
    let world = World::new();
    world.idp.claim("department", json!("one"));
    let mut browser = world.sign_in().await;
    world.idp.no_id_token_at_refresh.store(true, Ordering::SeqCst);
    due(&world);
    let signed_in = browser.open(&world.rp, "/x").await.signed_in.unwrap();
    assert_eq!(signed_in.user().claims()["department"], "one");
    world.idp.no_id_token_at_refresh.store(false, Ordering::SeqCst);
    world.idp.claim("department", json!("two"));
    due(&world);
    let signed_in = browser.open(&world.rp, "/x").await.signed_in.unwrap();
    assert_eq!(signed_in.user().claims()["department"], "two");
    assert_eq!(signed_in.user().claims()["name"], "Alice");
}

#[tokio::test]
async fn tokens_survive_when_the_new_id_token_cannot_be_checked() {
    let world = World::with(|builder, _| builder.idle_timeout(Duration::from_secs(7 * 86_400)));
    let mut lasting = world.sign_in().await;
    world.clock.advance(Duration::from_secs(3 * 86_400));
    world.idp.keys_down.store(true, Ordering::SeqCst);
    let handled = lasting.open(&world.rp, "/x").await;
    assert_eq!(handled.signed_in.unwrap().freshness(), 2, "the old refresh token is used up: the new one must be kept");
}

#[tokio::test]
async fn a_rejected_token_is_renewed_once() {
    let world = World::new();
    let mut browser = world.sign_in().await;
    world.clock.advance(10 * SECOND);
    let signed_in = browser.open(&world.rp, "/x").await.signed_in.unwrap();
    let rejected = signed_in.token().await.unwrap();
    signed_in.invalidate(Some(&rejected));
    assert_eq!((signed_in.fresh(), signed_in.freshness()), (None, 0));
    let next = signed_in.token().await.unwrap();
    assert_ne!(next, rejected);
    // The word on the old token says nothing of the new one.
    signed_in.invalidate(Some(&rejected));
    assert_eq!(signed_in.token().await.unwrap(), next);
    // Rejected as soon as it came: no exchange for each.
    signed_in.invalidate(None);
    assert_eq!(signed_in.token().await.unwrap_err().code(), "token_rejected");
    assert_eq!(world.idp.exchanges("refresh_token"), 1);
    assert_eq!(signed_in.take_cookies().len(), 1);
    world.clock.advance(10 * SECOND);
    assert_eq!(signed_in.token().await.unwrap().generation(), 3);
}

#[tokio::test]
async fn without_a_refresh_token_a_session_ends_with_its_access_token() {
    let world = World::new();
    world.idp.no_refresh_token.store(true, Ordering::SeqCst);
    let mut browser = world.sign_in().await;
    world.clock.advance(Duration::from_secs(3590));
    let signed_in = browser.open(&world.rp, "/x").await.signed_in.unwrap();
    assert!(signed_in.token().await.is_ok());
    signed_in.invalidate(None);
    assert_eq!(signed_in.token().await.unwrap_err().kind(), ErrorKind::LoginRequired);
    world.clock.advance(10 * SECOND);
    let handled = browser.open(&world.rp, "/x").await;
    assert_eq!(handled.response.unwrap().status(), StatusCode::FOUND);
    assert!(browser.session().is_empty());
}

#[tokio::test]
async fn another_provider_behind_the_same_name_gets_no_refresh_token() {
    for (member, value) in
        [("token_endpoint", "https://elsewhere.example/token"), ("token_endpoint", "https://idp.example:444/token")]
    {
        let world = World::new();
        let browser = world.sign_in().await;
        world.idp.metadata.lock().unwrap().insert(member.into(), value.into());
        due(&world);
        let handled = browser.clone().open(&world.restarted(), "/x").await;
        assert!(handled.signed_in.is_none());
        assert_eq!(world.idp.exchanges("refresh_token"), 0);
    }
}

#[tokio::test]
async fn another_site_causes_no_exchange() {
    let world = World::new();
    let browser = world.sign_in().await;
    let forged = browser.request(Method::POST, "/x", &[("sec-fetch-site", "cross-site")]);
    for wait in [DUE, EXPIRED] {
        world.clock.advance(wait);
        assert_eq!(world.rp.handle(&forged, Guard::Login).await.response.unwrap().status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(world.idp.exchanges("refresh_token"), 0);
}

#[tokio::test]
async fn processes_with_one_store_renew_once() {
    let clock = Arc::new(FakeClock::default());
    let idp = Idp::new(Arc::clone(&clock));
    let store = Arc::new(MemorySessions::new(Arc::clone(&clock) as _, 100));
    let process = || builder(&idp, &clock).store(Arc::clone(&store) as _).build().unwrap();
    let (one, two) = (process(), process());
    let world = World { idp, clock, rp: one };
    let mut browser = world.sign_in().await;
    assert!(browser.open(&two, "/x").await.signed_in.is_some());
    due(&world);
    assert_eq!(browser.open(&world.rp, "/x").await.signed_in.unwrap().freshness(), 2);
    assert_eq!(browser.open(&two, "/x").await.signed_in.unwrap().freshness(), 2);
    assert_eq!(world.idp.exchanges("refresh_token"), 1);
    // Signed out in one is signed out in both.
    let out = browser.get("/logout");
    let old = browser.clone();
    browser.send(&two, &out, Guard::Look).await;
    assert!(old.clone().open(&world.rp, "/x").await.signed_in.is_none());
}
