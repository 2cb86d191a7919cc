use std::sync::atomic::Ordering;

use http::{Method, header};
use serde_json::{Value, json};

use super::*;
use crate::error::ErrorKind;
use crate::protocol::secret::SecretBytes;
use crate::transport::Purpose;

#[tokio::test]
async fn a_browser_signs_in_and_comes_back() {
    for world in [World::new(), World::with_store()] {
        let mut browser = Browser::default();
        let first = browser.open(&world.rp, "/runs?page=2&x=%2F").await.response.unwrap();
        assert_eq!(first.status(), StatusCode::FOUND);
        assert_eq!(location(&first), "/login?return_to=%2Fruns%3Fpage%3D2%26x%3D%252F");
        let login = location(&first).to_owned();
        let asked = world.begin(&mut browser, &login).await;
        assert_eq!(asked["client_id"], "console");
        assert_eq!(asked["redirect_uri"], "https://console.example/callback");
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["scope"], "openid profile email offline_access");
        assert_eq!(asked["code_challenge_method"], "S256");
        assert!(asked["nonce"].len() >= 43 && asked["state"].len() >= 43 && asked["nonce"] != asked["state"]);
        let transaction = browser.transactions()[0].clone();
        assert!(transaction.name.starts_with("__Secure-flyte_auth_t_"), "{transaction:?}");
        assert_eq!((transaction.path.as_str(), transaction.value.contains(&asked["state"])), ("/callback", false));
        assert!(transaction.attributes.contains("Max-Age=600"));

        let done = browser.open(&world.rp, &world.answer(&asked)).await.response.unwrap();
        assert_eq!((done.status(), location(&done)), (StatusCode::SEE_OTHER, "/runs?page=2&x=%2F"));
        assert!(browser.transactions().is_empty());
        let session = browser.session()[0];
        assert_eq!((session.name.as_str(), session.path.as_str()), ("__Host-flyte_auth", "/"));
        assert_eq!(session.attributes, "Path=/; Max-Age=604800; HttpOnly; Secure; SameSite=Lax");

        let handled = browser.open(&world.rp, "/runs").await;
        assert!(handled.response.is_none() && handled.set_cookies.is_empty() && handled.problem.is_none());
        let signed_in = handled.signed_in.unwrap();
        assert_eq!(signed_in.user().subject(), "alice");
        assert_eq!(signed_in.user().claims()["email"], "alice@example.org");
        assert!(!signed_in.user().claims().contains_key("nonce"));
        assert_eq!(signed_in.scopes(), SCOPES);
        let token = signed_in.token().await.unwrap();
        assert!(token.expose().starts_with("access-"));
        assert_eq!(signed_in.freshness(), token.generation());
        assert_eq!(world.idp.asked_for(Purpose::Token).len(), 1);
        // Whoever needs not wait does not.
        assert!(world.rp.handle_now(&browser.get("/runs"), Guard::Login).unwrap().signed_in.is_some());
    }
}

#[tokio::test]
async fn me_says_who_it_is() {
    let world = World::new();
    let mut browser = world.sign_in().await;
    let me = browser.open(&world.rp, "/me").await.response.unwrap();
    assert_eq!((me.status(), me.headers()[header::CACHE_CONTROL].to_str().unwrap()), (StatusCode::OK, "no-store"));
    let claims: Value = serde_json::from_str(me.body()).unwrap();
    assert_eq!((&claims["sub"], &claims["name"]), (&json!("alice"), &json!("Alice")));
    let stranger = Browser::default().open(&world.rp, "/me").await.response.unwrap();
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
    assert!(stranger.headers().contains_key(header::WWW_AUTHENTICATE));
    assert_eq!(serde_json::from_str::<Value>(stranger.body()).unwrap()["error"], "unauthenticated");
}

#[tokio::test]
async fn a_program_gets_401_and_no_redirect() {
    let world = World::new();
    let browser = Browser::default();
    for headers in [
        &[("accept", "application/json")][..],
        &[("accept", "*/*")],
        &[("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")],
        &[("accept", "text/html"), ("sec-fetch-mode", "cors")],
        &[("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-mode", "cors")],
        &[],
    ] {
        let request = browser.request(Method::GET, "/api/runs", headers);
        let response = world.rp.handle_now(&request, Guard::Login).unwrap().response.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{headers:?}");
        assert!(world.rp.handle_now(&request, Guard::Look).unwrap().response.is_none());
    }
    let post = browser.request(Method::POST, "/x", &super::browser::NAVIGATION);
    assert_eq!(world.rp.handle(&post, Guard::Login).await.response.unwrap().status(), StatusCode::UNAUTHORIZED);
    let plain = browser.request(Method::GET, "/x", &[("accept", "text/html;q=0.9, */*")]);
    assert_eq!(world.rp.handle(&plain, Guard::Login).await.response.unwrap().status(), StatusCode::FOUND);
}

#[tokio::test]
async fn two_tabs_sign_in_at_once_and_each_goes_where_it_was() {
    let world = World::new();
    let mut browser = Browser::default();
    let one = world.begin(&mut browser, "/login?return_to=/one").await;
    let two = world.begin(&mut browser, "/login?redirect_url=/two").await;
    assert_eq!(browser.transactions().len(), 2);
    for (asked, to) in [(two, "/two"), (one, "/one")] {
        let done = browser.open(&world.rp, &world.answer(&asked)).await.response.unwrap();
        assert_eq!(location(&done), to);
    }
}

#[tokio::test]
async fn sign_ins_that_nobody_ends_do_not_pile_up() {
    let world = World::new();
    let mut browser = Browser::default();
    let mut last = None;
    for _ in 0..40 {
        last = Some(world.begin(&mut browser, "/login").await);
        assert!(browser.transactions().len() <= 5);
    }
    let done = browser.open(&world.rp, &world.answer(&last.unwrap())).await.response.unwrap();
    assert_eq!(done.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn the_answer_may_be_a_form() {
    let world = World::with(|builder, _| builder.extra_param("response_mode", "form_post"));
    let mut browser = Browser::default();
    let asked = world.begin(&mut browser, "/login?return_to=/a").await;
    assert_eq!(asked["response_mode"], "form_post");
    assert!(browser.transactions()[0].attributes.ends_with("Secure; SameSite=None"));
    let (_, form) =
        world.answer(&asked).split_once('?').map(|(path, form)| (path.to_owned(), form.to_owned())).unwrap();
    let headers =
        [("content-type", "application/x-www-form-urlencoded;charset=utf-8"), ("sec-fetch-site", "cross-site")];
    let mut request = browser.request(Method::POST, "/callback", &headers);
    let mut wrong = request.clone();
    request.body = Some(SecretBytes::from(form.clone()));
    wrong.body = request.body.clone();
    wrong.headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    assert_eq!(browser.send(&world.rp, &wrong, Guard::Look).await.response.unwrap().status(), 400);
    let done = browser.send(&world.rp, &request, Guard::Look).await.response.unwrap();
    // Never 307: that would send the code along.
    assert_eq!((done.status(), location(&done)), (StatusCode::SEE_OTHER, "/a"));
}

#[tokio::test]
async fn strict_cookies_come_with_what_a_page_here_asks_for() {
    let world = World::with(|builder, _| builder.same_site(SameSite::Strict));
    let mut browser = Browser::default();
    let asked = world.begin(&mut browser, "/login?return_to=/a%3Fb%3D1%26c%3D%27%22").await;
    let done = browser.open(&world.rp, &world.answer(&asked)).await.response.unwrap();
    assert_eq!(done.status(), StatusCode::OK);
    assert!(done.body().contains("content=\"0;url=/a?b=1&amp;c=%27%22\""), "{}", done.body());
    assert!(browser.session()[0].attributes.ends_with("SameSite=Strict"));
}

#[tokio::test]
async fn what_goes_wrong_at_the_provider() {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    for (mood, status) in [
        (Mood::Down, unavailable),
        (Mood::Says(500, json!({})), unavailable),
        (Mood::Says(400, json!({"error": "temporarily_unavailable"})), unavailable),
        (Mood::Says(400, json!({"error": "invalid_grant"})), StatusCode::FORBIDDEN),
        (Mood::Says(401, json!({"error": "invalid_client"})), StatusCode::BAD_GATEWAY),
        (Mood::Says(200, json!({"token_type": "Bearer"})), StatusCode::BAD_GATEWAY),
        (Mood::Says(200, json!({"access_token": "a"})), StatusCode::BAD_GATEWAY),
        (Mood::Says(200, json!({"access_token": "a", "id_token": "a.b.c"})), StatusCode::FORBIDDEN),
    ] {
        let world = World::new();
        let mut browser = Browser::default();
        let asked = world.begin(&mut browser, "/login").await;
        world.idp.set_mood(mood.clone());
        let handled = browser.open(&world.rp, &world.answer(&asked)).await;
        let response = handled.response.unwrap();
        assert_eq!(response.status(), status, "{mood:?} {:?}", handled.problem);
        assert_eq!(response.headers().contains_key(header::RETRY_AFTER), status == unavailable);
        assert!(handled.problem.is_some() && browser.session().is_empty(), "{mood:?}");
        assert!(browser.transactions().is_empty(), "{mood:?}");
    }
}

#[tokio::test]
async fn a_provider_that_cannot_be_found_is_503_at_login() {
    let world = World::new();
    world.idp.metadata.lock().unwrap().insert("authorization_endpoint".into(), Value::Null);
    let response = Browser::default().open(&world.rp, "/login").await.response.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    let refused = World::with(|builder, _| builder.plaintext(true));
    refused.idp.metadata.lock().unwrap().insert("issuer".into(), "https://other.example".into());
    let handled = Browser::default().open(&refused.rp, "/login").await;
    assert_eq!(handled.problem.unwrap().code(), "issuer_mismatch");
}

#[tokio::test]
async fn metadata_that_cannot_be_had_is_not_asked_for_by_everybody() {
    let world = World::new();
    world.idp.metadata_down.store(true, Ordering::SeqCst);
    let request = Browser::default().get("/login");
    let all = futures_util::future::join_all((0..10).map(|_| world.rp.handle(&request, Guard::Look))).await;
    for handled in all {
        assert_eq!(handled.response.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(world.idp.asked_for(Purpose::Discovery).len(), 1);
    world.idp.metadata_down.store(false, Ordering::SeqCst);
    world.clock.advance(5 * SECOND);
    let mut browser = world.sign_in().await;
    // What is known serves on: a session outlives the metadata's time.
    world.idp.metadata_down.store(true, Ordering::SeqCst);
    for hours in 1..30 {
        world.clock.advance(Duration::from_secs(3500));
        assert_eq!(browser.open(&world.rp, "/x").await.signed_in.unwrap().freshness(), 1 + hours);
    }
}

#[tokio::test]
async fn id_tokens_are_checked_in_full() {
    for (claim, value) in [
        ("nonce", json!("another")),
        ("aud", json!("another")),
        ("iss", json!("https://evil.example")),
        ("exp", json!(1)),
        ("azp", json!("another")),
        ("at_hash", json!("AAAA")),
        ("sub", json!("")),
    ] {
        let world = World::new();
        let mut browser = Browser::default();
        let asked = world.begin(&mut browser, "/login").await;
        world.idp.claim(claim, value);
        let handled = browser.open(&world.rp, &world.answer(&asked)).await;
        assert_eq!(handled.response.unwrap().status(), StatusCode::FORBIDDEN, "{claim}");
        assert_eq!(handled.problem.unwrap().code(), "id_token_invalid", "{claim}");
        assert!(browser.session().is_empty());
    }
}

#[tokio::test]
async fn user_info_is_of_the_same_person_or_nobody_signs_in() {
    let world = World::new();
    *world.idp.user_info.lock().unwrap() = json!({
        "sub": "alice", "iss": "https://evil.example", "aud": "evil", "groups": ["a"], "email": null,
        "_claim_sources": {"x": {"endpoint": "https://x", "access_token": "canary"}},
    });
    let mut browser = world.sign_in().await;
    let handled = browser.open(&world.rp, "/x").await;
    let signed_in = handled.signed_in.unwrap();
    let claims = signed_in.user().claims();
    assert_eq!((&claims["iss"], &claims["aud"], &claims["groups"]), (&json!(ISSUER), &json!("console"), &json!(["a"])));
    assert!(!signed_in.user().json().contains("canary") && !claims.contains_key("email"));

    *world.idp.user_info.lock().unwrap() = json!({"sub": "mallory"});
    let mut browser = Browser::default();
    let asked = world.begin(&mut browser, "/login").await;
    let handled = browser.open(&world.rp, &world.answer(&asked)).await;
    assert_eq!(handled.problem.unwrap().code(), "subject_mismatch");

    // An endpoint that fails is no reason to keep a person out.
    *world.idp.user_info.lock().unwrap() = json!([]);
    world.sign_in().await;
}

#[tokio::test]
async fn a_client_secret_goes_the_way_that_the_provider_takes() {
    let world = World::new();
    let methods = json!(["client_secret_post"]);
    world.idp.metadata.lock().unwrap().insert("token_endpoint_auth_methods_supported".into(), methods);
    world.sign_in().await;
    assert_eq!(world.idp.asked_for(Purpose::Token)[0]["client_secret"], "canary-client-secret");
}

#[tokio::test]
async fn each_sign_in_is_a_new_session_and_the_old_one_ends() {
    for world in [World::new(), World::with_store()] {
        let mut browser = world.sign_in().await;
        let old = browser.clone();
        let asked = world.begin(&mut browser, "/login").await;
        browser.open(&world.rp, &world.answer(&asked)).await;
        assert_ne!(old.session()[0].value, browser.session()[0].value);
        assert!(browser.open(&world.rp, "/x").await.signed_in.is_some());
        assert!(old.clone().open(&world.rp, "/x").await.signed_in.is_none());
    }
}

#[tokio::test]
async fn a_session_that_does_not_fit_says_what_to_do() {
    let world = World::new();
    world.idp.padding.store(12_000, Ordering::SeqCst);
    let mut browser = Browser::default();
    let asked = world.begin(&mut browser, "/login").await;
    let handled = browser.open(&world.rp, &world.answer(&asked)).await;
    assert_eq!(handled.response.unwrap().status(), StatusCode::INTERNAL_SERVER_ERROR);
    let problem = handled.problem.unwrap();
    assert_eq!((problem.kind(), problem.code()), (ErrorKind::Config, "session_too_large"));
    assert!(problem.to_string().contains("store"), "{problem}");

    let world = World::with_store();
    world.idp.padding.store(200_000, Ordering::SeqCst);
    let mut browser = world.sign_in().await;
    assert!(browser.session()[0].value.len() < 400);
    let signed_in = browser.open(&world.rp, "/x").await.signed_in.unwrap();
    assert!(signed_in.fresh().unwrap().expose().len() > 200_000);
}

#[tokio::test]
async fn a_large_session_is_cut_and_what_is_left_over_goes() {
    let world = World::new();
    world.idp.padding.store(5000, Ordering::SeqCst);
    let mut browser = world.sign_in().await;
    let names = |browser: &Browser| -> Vec<String> {
        browser.session().iter().map(|cookie| cookie.name.trim_start_matches("__Host-flyte_auth").to_owned()).collect()
    };
    assert_eq!(names(&browser), [".0", ".1"]);
    assert!(browser.open(&world.restarted(), "/x").await.signed_in.is_some());
    world.idp.padding.store(0, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(3500));
    let handled = browser.open(&world.rp, "/x").await;
    assert_eq!((handled.set_cookies.len(), names(&browser)), (3, vec![String::new()]));
    assert!(browser.open(&world.restarted(), "/x").await.signed_in.is_some());
    // And back.
    world.idp.padding.store(6500, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(3500));
    browser.open(&world.rp, "/x").await;
    assert_eq!(names(&browser), [".0", ".1", ".2"]);
    assert!(browser.open(&world.restarted(), "/x").await.signed_in.is_some());
}

#[tokio::test]
async fn the_wish_for_an_identity_provider_is_passed_on() {
    let world =
        World::with(|builder, _| builder.idp_query_parameter("idp").extra_param("prompt", "login").audience("flyte"));
    let mut browser = Browser::default();
    let asked = world.begin(&mut browser, "/login?idp=okta%26x%3D1&prompt=none&state=s").await;
    assert_eq!((asked["idp"].as_str(), asked["prompt"].as_str()), ("okta&x=1", "login"));
    assert_eq!(asked["audience"], "flyte");
    assert_ne!(asked["state"], "s");
    let asked = world.begin(&mut browser, "/login?idp=a&idp=b").await;
    assert!(!asked.contains_key("idp"));
}
