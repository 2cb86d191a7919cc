//! The sign-in page: what it shows, what it takes, what it refuses.

use crate::common::{Answer, REDIRECT, Server, claims, pkce};

async fn page(server: &Server, extra: &[(&str, &str)]) -> (Answer, String) {
    let (verifier, challenge) = pkce();
    let mut params = vec![
        ("client_id", "flytectl"),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", "openid all offline"),
        ("state", "s"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    params.extend(extra);
    let page = server.authorize(&params).await;
    assert_eq!(page.status, 200, "{page:?}");
    (page, verifier)
}

async fn answer(server: &Server, page: &Answer, cookie: &str, extra: &[(&str, &str)]) -> Answer {
    let (request, csrf) = (page.field("request"), page.field("csrf"));
    let mut params = vec![("request", request.as_str()), ("csrf", csrf.as_str())];
    params.extend(extra);
    server.post_with("/oauth2/consent", &params, &[("cookie", cookie)]).await
}

#[tokio::test]
async fn a_person_picks_types_or_denies() {
    let server = Server::start(|_| {}).await;
    for (form, subject) in [
        (vec![("user", "bob@example.org"), ("action", "approve")], "bob@example.org"),
        (vec![("user", "bob@example.org"), ("other", "carol"), ("action", "approve")], "carol"),
        (vec![("user", "bob@example.org"), ("other", ""), ("action", "approve")], "bob@example.org"),
    ] {
        let (page, verifier) = page(&server, &[]).await;
        let redirect = answer(&server, &page, &page.cookie(), &form).await;
        let (base, params) = redirect.location();
        assert_eq!((redirect.status, base.as_str(), &params["state"]), (303, REDIRECT, &"s".into()));
        let reply = server.redeem(params["code"].as_str().unwrap(), &verifier).await.json();
        assert_eq!(claims(reply["access_token"].as_str().unwrap())["sub"], subject);
        let again = answer(&server, &page, &page.cookie(), &form).await;
        assert_eq!((again.status, again.header("location")), (400, ""), "a page answers once");
    }
    let (page, _) = page(&server, &[]).await;
    let denied = answer(&server, &page, &page.cookie(), &[("user", "bob@example.org"), ("action", "deny")]).await;
    assert_eq!(denied.location().1["error"], "access_denied");
}

#[tokio::test]
async fn forms_from_elsewhere_are_refused() {
    let server = Server::start(|_| {}).await;
    let approve = [("user", "bob@example.org"), ("action", "approve")];
    let (shown, _) = page(&server, &[]).await;
    let (other, _) = page(&server, &[]).await;
    assert_ne!(shown.cookie(), other.cookie(), "each browser has its own value");
    for cookie in ["", "flyte_auth_csrf=", "flyte_auth_csrf=x", &other.cookie()] {
        let answer = answer(&server, &shown, cookie, &approve).await;
        assert_eq!((answer.status, answer.header("location")), (403, ""), "{cookie}");
    }
    let request = shown.field("request");
    let params = [("request", request.as_str()), approve[0], approve[1]];
    let missing = server.post_with("/oauth2/consent", &params, &[("cookie", &shown.cookie())]).await;
    assert_eq!(missing.status, 403);
    // None of these used the page up.
    assert_eq!(answer(&server, &shown, &shown.cookie(), &approve).await.status, 303);
}

#[tokio::test]
async fn nobody_no_page_and_late_answers() {
    let server = Server::start(|_| {}).await;
    let (shown, _) = page(&server, &[]).await;
    let nobody = answer(&server, &shown, &shown.cookie(), &[("other", " "), ("action", "approve")]).await;
    assert_eq!(nobody.status, 400);
    let unclear = answer(&server, &shown, &shown.cookie(), &[("user", "x"), ("action", "maybe")]).await;
    assert_eq!(unclear.location().1["error"], "access_denied", "only a clear yes is a yes");
    let (late, _) = page(&server, &[]).await;
    server.set_clock(301).await;
    let answer = answer(&server, &late, &late.cookie(), &[("user", "x"), ("action", "approve")]).await;
    assert_eq!((answer.status, answer.header("location")), (400, ""));
}

#[tokio::test]
async fn the_page_is_escaped_and_locked_down() {
    let server = Server::start(|_| {}).await;
    let (shown, _) = page(&server, &[("login_hint", "\"><script>alert(1)</script>")]).await;
    assert!(!shown.body.contains("<script>"), "{}", shown.body);
    assert!(shown.body.contains("&quot;&gt;&lt;script&gt;"));
    let policy = shown.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self' http://localhost:53593;",
    ] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(shown.header(name), value);
    }
    let cookie = shown.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && !cookie.contains("Secure"), "{cookie}");
    assert!(!shown.body.contains("http://") || !shown.body.contains("src="), "nothing from elsewhere");
    let (hinted, _) = page(&server, &[("login_hint", "bob@example.org")]).await;
    assert!(hinted.body.contains("value=\"bob@example.org\" checked"));
}
