use http::header;

use super::*;
use crate::transport::Purpose;

const DAY: u64 = 86_400;

fn short() -> World {
    World::with(|builder, _| {
        builder.session_lifetime(Duration::from_secs(3000)).idle_timeout(Duration::from_secs(600)).scopes(["openid"])
    })
}

#[tokio::test]
async fn a_session_that_nobody_uses_ends() {
    let world = short();
    let mut browser = world.sign_in().await;
    world.clock.advance(599 * SECOND);
    assert!(browser.open(&world.rp, "/x").await.signed_in.is_some());
    world.clock.advance(599 * SECOND);
    let old = browser.clone();
    assert!(browser.open(&world.rp, "/x").await.signed_in.is_some(), "it was used");
    world.clock.advance(600 * SECOND);
    assert!(browser.open(&world.rp, "/x").await.signed_in.is_none());
    assert!(browser.session().is_empty());
    assert!(old.clone().open(&world.restarted(), "/x").await.signed_in.is_some(), "other settings: a day");
}

#[tokio::test]
async fn use_counts_though_the_browser_missed_the_new_cookie() {
    let world = short();
    let browser = world.sign_in().await;
    for _ in 0..4 {
        world.clock.advance(599 * SECOND);
        assert!(world.rp.handle(&browser.get("/x"), Guard::Login).await.signed_in.is_some());
    }
}

#[tokio::test]
async fn idleness_counts_over_a_restart() {
    let world = short();
    let mut browser = world.sign_in().await;
    for _ in 0..3 {
        world.clock.advance(500 * SECOND);
        let elsewhere = builder(&world.idp, &world.clock).idle_timeout(Duration::from_secs(600)).build().unwrap();
        let handled = browser.open(&elsewhere, "/x").await;
        assert!(handled.signed_in.is_some());
        assert_eq!(handled.set_cookies.len(), 1, "the cookie has to say that it was used");
    }
    world.clock.advance(600 * SECOND);
    let elsewhere = builder(&world.idp, &world.clock).idle_timeout(Duration::from_secs(600)).build().unwrap();
    assert!(browser.open(&elsewhere, "/x").await.signed_in.is_none());
}

#[tokio::test]
async fn use_is_written_now_and_then() {
    let world = World::new();
    let mut browser = world.sign_in().await;
    let mut written = 0;
    for _ in 0..60 {
        world.clock.advance(30 * SECOND);
        written += browser.open(&world.rp, "/x").await.set_cookies.len();
    }
    assert_eq!(written, 2, "every quarter of an hour");
}

#[tokio::test]
async fn a_session_ends_by_its_age_however_it_is_used() {
    for with_store in [false, true] {
        let world = World::with(|builder, clock| {
            let builder = builder.session_lifetime(Duration::from_secs(3000));
            if with_store { builder.store(Arc::new(MemorySessions::new(Arc::clone(clock) as _, 100))) } else { builder }
        });
        let mut browser = world.sign_in().await;
        let mut age = 0;
        while age + 100 < 3000 {
            world.clock.advance(100 * SECOND);
            age += 100;
            let handled = browser.open(&world.rp, "/x").await;
            assert!(handled.signed_in.is_some(), "{age}");
            for cookie in &handled.set_cookies {
                let left = format!("Max-Age={}", 3000 - age);
                assert!(cookie.to_str().unwrap().contains(&left), "{left} {cookie:?}");
            }
        }
        world.clock.advance(100 * SECOND);
        let old = browser.clone();
        assert!(browser.open(&world.rp, "/x").await.signed_in.is_none());
        assert!(browser.session().is_empty() || with_store);
        assert!(old.clone().open(&world.rp, "/x").await.signed_in.is_none());
    }
}

#[tokio::test]
async fn a_renewed_session_lives_for_its_whole_time() {
    let world = World::new();
    let mut browser = world.sign_in().await;
    let mut hours = 0;
    while hours < 7 * 24 - 1 {
        world.clock.advance(Duration::from_secs(3300));
        hours = (world.clock.now().as_secs() - 1_795_489_920) / 3600;
        if browser.open(&world.rp, "/x").await.signed_in.is_none() {
            break;
        }
    }
    assert!(hours >= 7 * 24 - 1, "{hours}");
    world.clock.advance(Duration::from_secs(DAY));
    assert!(browser.open(&world.rp, "/x").await.signed_in.is_none());
}

#[tokio::test]
async fn keys_change_and_nobody_is_signed_out() {
    for with_store in [false, true] {
        let clock = Arc::new(FakeClock::default());
        let idp = Idp::new(Arc::clone(&clock));
        let store = Arc::new(MemorySessions::new(Arc::clone(&clock) as _, 100));
        let with = |keys: &[&str]| {
            let made = RelyingParty::builder(ISSUER, "console", BASE).transport(Arc::clone(&idp) as _);
            let made = keys.iter().fold(made, |made, key| made.cookie_key(*key)).clock(Arc::clone(&clock) as _);
            if with_store { made.store(Arc::clone(&store) as _) } else { made }.build().unwrap()
        };
        let (old, new) = (KEY, "another-cookie-key-of-the-tests-1234");
        let world = World { rp: with(&[old]), idp: Arc::clone(&idp), clock: Arc::clone(&clock) };
        let mut browser = world.sign_in().await;
        let before = browser.clone();
        let both = with(&[new, old]);
        let handled = browser.open(&both, "/x").await;
        assert!(handled.signed_in.is_some());
        assert_eq!(handled.set_cookies.len(), 1, "sealed anew with the first key");
        assert!(browser.open(&both, "/x").await.set_cookies.is_empty());
        let after = with(&[new]);
        assert!(browser.open(&after, "/x").await.signed_in.is_some());
        // A sign-in that began with the old key ends with both.
        let mut waiting = Browser::default();
        let asked = world.begin(&mut waiting, "/login").await;
        let done = waiting.open(&both, &world.answer(&asked)).await.response.unwrap();
        assert_eq!(done.status(), StatusCode::SEE_OTHER);
        // An unknown key is no session, no failure, and no reason to throw the cookie away.
        let mut stale = before.clone();
        let handled = stale.open(&with(&[new]), "/x").await;
        let response = handled.response.unwrap();
        assert_eq!(response.status(), StatusCode::FOUND);
        assert!(!response.headers().contains_key(header::SET_COOKIE) && handled.problem.is_none());
    }
}

#[tokio::test]
async fn what_is_remembered_has_an_end() {
    let world = World::new();
    for _ in 0..3000 {
        world.clock.advance(61 * SECOND);
        let mut browser = world.sign_in().await;
        assert!(browser.open(&world.rp, "/x").await.signed_in.is_some());
    }
    let [lives, cookies, ..] = world.rp.inner.registry.sizes();
    assert!(lives <= 2 * 1024 + 2 && cookies <= 2 * 4096 + 2, "{lives} {cookies}");
    assert_eq!(world.idp.asked_for(Purpose::Token).len(), 3000);
}
