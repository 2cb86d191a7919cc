use http::{Method, header};
use serde_json::Value;

use super::*;
use crate::protocol::secret::SecretBytes;
use crate::transport::Purpose;

async fn revocations(world: &World) -> Vec<std::collections::HashMap<String, String>> {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    world.idp.asked_for(Purpose::Revocation)
}

#[tokio::test]
async fn signed_out_here_and_there() {
    for world in [World::new(), World::with_store()] {
        let mut browser = world.sign_in().await;
        let copy = browser.clone();
        let response = browser.open(&world.rp, "/logout").await.response.unwrap();
        assert_eq!(response.status(), StatusCode::FOUND);
        let asked = query(&response);
        assert!(location(&response).starts_with("https://idp.example/end?x=1&id_token_hint="));
        assert_eq!((asked["client_id"].as_str(), asked.contains_key("post_logout_redirect_uri")), ("console", false));
        assert!(browser.session().is_empty());
        let revoked = revocations(&world).await;
        assert_eq!((revoked.len(), revoked[0]["token_type_hint"].as_str()), (1, "refresh_token"));
        assert!(revoked[0]["token"].starts_with("refresh-"));
        // A copied cookie is worth nothing here.
        let mut copy = copy;
        assert!(copy.open(&world.rp, "/x").await.signed_in.is_none());
        assert!(copy.session().is_empty());
    }
}

#[tokio::test]
async fn a_session_in_an_application_s_hands_ends_too() {
    let world = World::new();
    let mut browser = world.sign_in().await;
    let signed_in = browser.open(&world.rp, "/x").await.signed_in.unwrap();
    browser.open(&world.rp, "/logout").await;
    assert!(signed_in.fresh().is_none());
    assert_eq!(signed_in.token().await.unwrap_err().code(), "session_over");
    assert_eq!((signed_in.take_cookies().len(), signed_in.take_cookies().len()), (1, 0));
}

#[tokio::test]
async fn an_exchange_under_way_brings_nobody_back() {
    let world = World::new();
    let mut browser = world.sign_in().await;
    let old = browser.clone();
    world.clock.advance(Duration::from_secs(3300));
    let held = world.idp.gate.acquire_many(1000).await.unwrap();
    let request = old.get("/x");
    let handling = world.rp.handle(&request, Guard::Login);
    assert!(tokio::time::timeout(Duration::from_millis(30), handling).await.is_err());
    browser.open(&world.rp, "/logout").await;
    drop(held);
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(old.clone().open(&world.rp, "/x").await.signed_in.is_none());
    let revoked = revocations(&world).await;
    assert_eq!(revoked.len(), 2, "the token that came too late is revoked as well");
}

#[tokio::test]
async fn where_it_leads() {
    let with = |change: fn(RelyingPartyBuilder) -> RelyingPartyBuilder| World::with(|builder, _| change(builder));
    let after = "https://console.example/bye";
    for (world, target, expected) in [
        (with(|made| made.provider_logout(false)), "/logout", "/"),
        (with(|made| made.provider_logout(false)), "/logout?return_to=/a", "/a"),
        (with(|made| made.provider_logout(false)), "/logout?redirect_url=/a", "/a"),
        (with(|made| made.provider_logout(false)), "/logout?redirect_url=//evil.example", "/"),
        (with(|made| made.provider_logout(false)), "/logout?redirect_url=https://evil.example", "/"),
        (with(|made| made.provider_logout(false).home("/console")), "/logout", "/console"),
        (
            with(|made| made.provider_logout(false).post_logout_redirect("https://console.example/bye")),
            "/logout?return_to=//x",
            after,
        ),
    ] {
        let mut browser = world.sign_in().await;
        let response = browser.open(&world.rp, target).await.response.unwrap();
        assert_eq!(location(&response), expected, "{target}");
        assert!(browser.session().is_empty());
    }
    let world = with(|made| made.post_logout_redirect("https://console.example/bye").revoke_on_logout(false));
    let mut browser = world.sign_in().await;
    let response = browser.open(&world.rp, "/logout?return_to=/a").await.response.unwrap();
    assert_eq!(query(&response)["post_logout_redirect_uri"], after);
    assert!(revocations(&world).await.is_empty());

    let world = World::new();
    world.idp.metadata.lock().unwrap().insert("end_session_endpoint".into(), Value::Null);
    let mut browser = world.sign_in().await;
    assert_eq!(location(&browser.open(&world.rp, "/logout").await.response.unwrap()), "/");
    // Nobody is signed in: nothing at the provider either.
    assert_eq!(location(&Browser::default().open(&World::new().rp, "/logout").await.response.unwrap()), "/");
}

#[tokio::test]
async fn a_provider_that_is_away_keeps_nobody_signed_in() {
    let world = World::new();
    let browser = world.sign_in().await;
    let elsewhere = world.restarted();
    world.idp.metadata.lock().unwrap().insert("issuer".into(), "https://other.example".into());
    let mut browser = browser;
    let response = browser.open(&elsewhere, "/logout").await.response.unwrap();
    assert_eq!((response.status(), location(&response)), (StatusCode::FOUND, "/"));
    assert!(browser.session().is_empty());
}

#[tokio::test]
async fn who_may_sign_a_person_out_by_get() {
    let same = ("sec-fetch-site", "same-origin");
    let mode = ("sec-fetch-mode", "navigate");
    for (base, headers, taken) in [
        (BASE, &[same, mode][..], true),
        (BASE, &[("sec-fetch-site", "none"), mode], true),
        (BASE, &[("sec-fetch-site", "cross-site"), mode], false),
        (BASE, &[("sec-fetch-site", "same-site"), mode], false),
        (BASE, &[same, ("sec-fetch-site", "cross-site")], false),
        (BASE, &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")], false),
        // A page that fetches its links ahead.
        (BASE, &[same, ("sec-fetch-mode", "cors")], false),
        (BASE, &[same, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")], false),
        (BASE, &[same, mode, ("sec-purpose", "prefetch")], false),
        // No browser.
        (BASE, &[], true),
        (BASE, &[("accept", "text/html")], true),
        ("http://localhost:3000", &[], true),
        // A browser that hides where it comes from, or is too old to tell.
        (BASE, &[mode], false),
        (BASE, &[("referer", "https://evil.example/")], false),
        (BASE, &[("referer", "https://console.example/")], false),
        (BASE, &[("origin", "null")], false),
        ("http://console.example", &[], false),
    ] {
        let world = World::with(|builder, _| builder.plaintext(base.starts_with("http://console")));
        let rp = RelyingParty::builder(ISSUER, "console", base)
            .cookie_key(KEY)
            .plaintext(true)
            .transport(Arc::clone(&world.idp) as _)
            .clock(Arc::clone(&world.clock) as _)
            .build()
            .unwrap();
        let world = World { rp, ..world };
        let mut browser = world.sign_in().await;
        let request = browser.request(Method::GET, "/logout?return_to=/a", headers);
        let response = browser.send(&world.rp, &request, Guard::Look).await.response.unwrap();
        let expected = if taken { StatusCode::FOUND } else { StatusCode::OK };
        assert_eq!(response.status(), expected, "{base} {headers:?}");
        assert_eq!(browser.session().is_empty(), taken, "{base} {headers:?}");
    }
}

/// The token in the form of a page that asks.
fn confirmation(page: &Response) -> String {
    let (_, rest) = page.body().split_once("name=\"confirmation\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn the_page_that_asks_is_this_session_s_own() {
    let world = World::with(|builder, _| builder.provider_logout(false));
    let mut browser = world.sign_in().await;
    let link = browser.request(Method::GET, "/logout?return_to=/a%22%3E", &[("sec-fetch-site", "cross-site")]);
    let page = browser.send(&world.rp, &link, Guard::Look).await.response.unwrap();
    let token = confirmation(&page);
    assert!(
        page.body().contains("action=\"/logout\"") && page.body().contains("value=\"/a%22%3E\""),
        "{}",
        page.body()
    );
    // An old browser says nothing, and `no-referrer` makes its Origin null.
    let send = |from: &Browser, token: &str, headers: &[(&str, &str)]| {
        let form = ("content-type", "application/x-www-form-urlencoded");
        let headers: Vec<_> = headers.iter().copied().chain([form]).collect();
        let mut request = from.request(Method::POST, "/logout", &headers);
        request.body = Some(SecretBytes::from(format!("confirmation={token}&return_to=%2Fa")));
        request
    };
    let mut other = world.sign_in().await;
    let link = other.request(Method::GET, "/logout", &[("sec-fetch-site", "cross-site")]);
    let other_token = confirmation(&other.send(&world.rp, &link, Guard::Look).await.response.unwrap());
    let null = [("origin", "null")];
    for request in [
        send(&browser, "", &null),
        send(&browser, "1.00000000.AAAA", &null),
        send(&browser, &format!("{token}&confirmation={token}"), &null),
        send(&other, &token, &null),
    ] {
        assert_eq!(world.rp.handle(&request, Guard::Look).await.response.unwrap().status(), StatusCode::FORBIDDEN);
    }
    world.clock.advance(Duration::from_secs(3599));
    let good = send(&browser, &token, &null);
    let response = browser.send(&world.rp, &good, Guard::Look).await.response.unwrap();
    assert_eq!((response.status(), location(&response)), (StatusCode::SEE_OTHER, "/a"));
    assert!(browser.session().is_empty());

    world.clock.advance(SECOND);
    let late = send(&other, &other_token, &null);
    assert_eq!(world.rp.handle(&late, Guard::Look).await.response.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_post_from_here_needs_no_page() {
    let world = World::new();
    for (headers, status) in [
        (&[("sec-fetch-site", "same-origin")][..], StatusCode::SEE_OTHER),
        (&[("origin", BASE)], StatusCode::SEE_OTHER),
        (&[("origin", "https://evil.example")], StatusCode::FORBIDDEN),
        (&[("sec-fetch-site", "cross-site"), ("origin", BASE)], StatusCode::FORBIDDEN),
        (&[], StatusCode::FORBIDDEN),
    ] {
        let mut browser = world.sign_in().await;
        let request = browser.request(Method::POST, "/logout", headers);
        let response = browser.send(&world.rp, &request, Guard::Look).await.response.unwrap();
        assert_eq!(response.status(), status, "{headers:?}");
        assert_eq!(browser.session().is_empty(), status == StatusCode::SEE_OTHER);
        assert!(response.headers().contains_key(header::CACHE_CONTROL));
    }
}
