use http::{HeaderMap, Method, header};
use serde_json::Value;

use super::*;

#[tokio::test]
async fn every_answer_of_the_routes_is_kept_by_nobody() {
    let world = World::new();
    let mut browser = world.sign_in().await;
    for target in ["/me", "/login", "/callback?state=x", "/x", "/logout"] {
        let request = browser.get(target);
        let Some(response) = browser.send(&world.rp, &request, Guard::Login).await.response else { continue };
        let header = |name: &str| response.headers()[name].to_str().unwrap();
        assert_eq!(header("cache-control"), "no-store", "{target}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{target}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{target}");
        assert!(header("content-security-policy").contains("default-src 'none'"), "{target}");
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"), "{target}");
    }
}

#[tokio::test]
async fn methods() {
    let world = World::new();
    let browser = Browser::default();
    for (path, good) in [
        ("/login", &["GET", "HEAD"][..]),
        ("/callback", &["GET", "POST"]),
        ("/logout", &["GET", "POST"]),
        ("/me", &["GET", "HEAD"]),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
            let request = browser.request(method.parse().unwrap(), path, &[("sec-fetch-site", "same-origin")]);
            let response = world.rp.handle(&request, Guard::Look).await.response.unwrap();
            let refused = response.status() == StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(refused, !good.contains(&method), "{method} {path}");
            assert_eq!(response.headers().get(header::ALLOW).is_some(), refused);
        }
    }
}

#[tokio::test]
async fn people_get_pages_and_programs_json() {
    let world = World::new();
    let browser = Browser::default();
    let page = world.rp.handle(&browser.get("/callback?state=x"), Guard::Look).await.response.unwrap();
    assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
    for part in ["<html lang=\"en\">", "<h1>", "href=\"/login\"", "prefers-color-scheme:dark", "width=device-width"] {
        assert!(page.body().contains(part), "{part}");
    }
    assert!(!page.body().contains("<script") && !page.body().contains(" style="));
    let request = browser.request(Method::GET, "/callback?state=x", &[("accept", "application/json")]);
    let json = world.rp.handle(&request, Guard::Look).await.response.unwrap();
    let body: Value = serde_json::from_str(json.body()).unwrap();
    assert_eq!((json.status(), &body["error"]), (StatusCode::BAD_REQUEST, &Value::from("login_unknown")));
}

#[tokio::test]
async fn a_base_url_with_a_path_and_other_names() {
    let idp = World::new();
    let rp = RelyingParty::builder(ISSUER, "console", "http://localhost:3000/sub/")
        .cookie_key(KEY)
        .login_path("/auth/in")
        .callback_path("/auth/back")
        .cookie_name("mine")
        .transport(Arc::clone(&idp.idp) as _)
        .clock(Arc::clone(&idp.clock) as _)
        .build()
        .unwrap();
    assert_eq!(rp.redirect_uri(), "http://localhost:3000/sub/auth/back");
    let expected = Paths {
        login: "/sub/auth/in".into(),
        callback: "/sub/auth/back".into(),
        logout: "/sub/logout".into(),
        me: "/sub/me".into(),
    };
    assert_eq!(rp.paths(), &expected);
    let world = World { rp, ..idp };
    let mut browser = Browser::default();
    let asked = world.begin(&mut browser, "/sub/auth/in").await;
    let answer = world.answer(&asked).replace("/callback", "/sub/auth/back");
    let done = browser.open(&world.rp, &answer).await.response.unwrap();
    assert_eq!(location(&done), "/sub/");
    let session = browser.session()[0];
    assert_eq!((session.name.as_str(), session.attributes.contains("Secure")), ("mine", false));
    assert!(browser.open(&world.rp, "/login").await.response.is_none(), "no route of ours");
    // As a proxy sends it.
    let mut request = browser.get("/sub/me");
    request.target = "http://localhost:3000/sub/me".to_owned();
    assert_eq!(world.rp.handle(&request, Guard::Look).await.response.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn state_changing_requests_of_other_sites() {
    let world = World::with(|builder, _| {
        builder.trusted_origin("https://partner.example").return_origin("https://back.example")
    });
    let browser = world.sign_in().await;
    for (headers, passes) in [
        (&[("origin", BASE)][..], true),
        (&[("origin", "https://partner.example"), ("sec-fetch-site", "cross-site")], true),
        (&[("origin", "https://back.example")], false),
        (&[("origin", "https://evil.example")], false),
        (&[], false),
    ] {
        let request = browser.request(Method::DELETE, "/x", headers);
        let handled = world.rp.handle(&request, Guard::Login).await;
        assert_eq!(handled.signed_in.is_some(), passes, "{headers:?}");
        assert_eq!(handled.response.map(|response| response.status()), (!passes).then_some(StatusCode::FORBIDDEN));
        // Whoever only looks sees nobody.
        let handled = world.rp.handle_now(&request, Guard::Look).unwrap();
        assert_eq!((handled.signed_in.is_some(), handled.response.is_none()), (passes, true));
    }
}

#[tokio::test]
async fn clones_know_the_same() {
    let world = World::new();
    let mut browser = world.sign_in().await;
    let clone = world.rp.clone();
    let copy = browser.clone();
    browser.open(&clone, "/logout").await;
    assert!(world.rp.handle(&copy.get("/x"), Guard::Look).await.signed_in.is_none());
    assert!(world.rp.handle_now(&Request::new(Method::GET, "/login", HeaderMap::new()), Guard::Look).is_none());
}

/// Prints what a request of a signed-in person costs; see the module's target.
#[test]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture handle_now_costs"]
#[expect(clippy::disallowed_methods, reason = "measures")]
fn handle_now_costs() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = World::new();
    let browser = runtime.block_on(world.sign_in());
    let request = browser.get("/x");
    for name in ["warm", "measured"] {
        let began = std::time::Instant::now();
        for _ in 0..100_000 {
            assert!(world.rp.handle_now(&request, Guard::Login).unwrap().signed_in.is_some());
        }
        println!(
            "{name}: {:?} a request, cookie of {} bytes",
            began.elapsed() / 100_000,
            browser.session()[0].value.len()
        );
    }
}
