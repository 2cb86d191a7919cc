//! What an attacker sends.

use http::{HeaderValue, Method, header};

use super::*;
use crate::protocol::secret::SecretBytes;
use crate::transport::Purpose;

async fn answered(world: &World, browser: &Browser, target: &str) -> (StatusCode, String) {
    let handled = world.rp.handle(&browser.get(target), Guard::Look).await;
    let response = handled.response.unwrap();
    (response.status(), response.into_body())
}

#[tokio::test]
async fn callbacks_that_nobody_asked_for() {
    let world = World::new();
    let mut browser = Browser::default();
    let asked = world.begin(&mut browser, "/login").await;
    let (code, state) = (world.idp.grant(&asked), asked["state"].clone());
    let large = "x".repeat(40_000);
    let markup = "<script>alert(1)</script>";
    for (target, status) in [
        (format!("/callback?code={code}&iss={ISSUER}"), 400),
        (format!("/callback?code={code}&state=&iss={ISSUER}"), 400),
        (format!("/callback?code={code}&state=wrong&iss={ISSUER}"), 400),
        (format!("/callback?code={code}&state={state}x&iss={ISSUER}"), 400),
        (format!("/callback?code={code}&state={markup}&iss={ISSUER}"), 400),
        (format!("/callback?error={markup}&error_description={markup}&state=wrong"), 400),
        (format!("/callback?code={code}&state={state}&state={state}&iss={ISSUER}"), 400),
        (format!("/callback?code={code}&state={state}&state=other&iss={ISSUER}"), 400),
        (format!("/callback?code={large}&state={state}&iss={ISSUER}"), 400),
        (format!("/callback?code={code}&state={large}&iss={ISSUER}"), 400),
        (format!("/callback?{large}{large}"), 400),
        ("/callback".to_owned(), 400),
        ("/callback?".to_owned(), 400),
        ("/callback?%ff=%ff&state=%ff".to_owned(), 400),
    ] {
        let (found, body) = answered(&world, &browser, &target).await;
        assert_eq!(found, status, "{}", &target[..target.len().min(100)]);
        assert!(!body.contains("<script") && !body.contains("alert"), "{body}");
        assert!(!body.contains(&code) && !body.contains(&state));
    }
    assert_eq!(world.idp.exchanges("authorization_code"), 0);
    // None of them used the sign-in up.
    let done = browser.open(&world.rp, &world.answer(&asked)).await.response.unwrap();
    assert_eq!(done.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn answers_with_the_right_state_that_are_wrong_all_the_same() {
    for (rest, status) in [
        ("code=c&iss=https://evil.example", 400),
        ("code=c&iss=https://idp.example/", 400),
        ("code=c", 400),
        ("code=c&code=d&iss=https://idp.example", 400),
        ("code=c&iss=https://idp.example&iss=https://idp.example", 400),
        ("code=c&iss=https://idp.example&extra=1&extra=2", 400),
        ("iss=https://idp.example", 400),
        ("code=&iss=https://idp.example", 400),
        ("error=access_denied&iss=https://evil.example", 400),
        ("error=access_denied&iss=https://idp.example", 403),
        ("error=%3Cscript%3Ealert(1)%3C/script%3E&iss=https://idp.example", 403),
        ("error=invalid_scope&error_description=%3Cimg%20src=x%20onerror=alert(1)%3E&iss=https://idp.example", 403),
        ("error=login_required&iss=https://idp.example", 403),
        ("error=access_denied&code=c&iss=https://idp.example", 403),
        ("error=temporarily_unavailable&iss=https://idp.example", 503),
        ("error=server_error&iss=https://idp.example", 503),
    ] {
        let world = World::new();
        let mut browser = Browser::default();
        let asked = world.begin(&mut browser, "/login").await;
        let target = format!("/callback?{rest}&state={}", asked["state"]);
        let handled = browser.open(&world.rp, &target).await;
        let response = handled.response.unwrap();
        assert_eq!(response.status(), status, "{rest}");
        for markup in ["<script", "<img", "alert", "onerror", "evil"] {
            assert!(!response.body().contains(markup), "{rest}");
        }
        assert_eq!(world.idp.exchanges("authorization_code"), 0, "{rest}");
        assert!(browser.session().is_empty() && browser.transactions().is_empty(), "{rest}");
        // That was the answer: no second one counts.
        let again = world.answer(&asked);
        assert_eq!(browser.open(&world.rp, &again).await.response.unwrap().status(), 400);
    }
}

#[tokio::test]
async fn an_answer_counts_once() {
    let world = World::new();
    let mut browser = Browser::default();
    let asked = world.begin(&mut browser, "/login").await;
    let before = browser.clone();
    let answer = world.answer(&asked);
    assert_eq!(browser.open(&world.rp, &answer).await.response.unwrap().status(), StatusCode::SEE_OTHER);
    // The browser has no cookie of it any more; a thief who copied it has.
    assert_eq!(answered(&world, &browser, &answer).await.0, 400);
    assert_eq!(answered(&world, &before, &answer).await.0, 400);
    assert_eq!(world.idp.exchanges("authorization_code"), 1);

    // At once, too.
    let mut browser = Browser::default();
    let asked = world.begin(&mut browser, "/login").await;
    let (answer, rp) = (world.answer(&asked), &world.rp);
    let request = browser.get(&answer);
    let all = futures_util::future::join_all((0..20).map(|_| rp.handle(&request, Guard::Look))).await;
    let good = all.iter().filter(|one| one.response.as_ref().unwrap().status() == StatusCode::SEE_OTHER).count();
    assert_eq!((good, world.idp.exchanges("authorization_code")), (1, 2));
}

#[tokio::test]
async fn a_sign_in_of_another_browser_is_no_sign_in_here() {
    let world = World::new();
    let mut attacker = Browser::default();
    let asked = world.begin(&mut attacker, "/login").await;
    let answer = world.answer(&asked);
    let mut victim = Browser::default();
    assert_eq!(answered(&world, &victim, &answer).await.0, 400);
    world.begin(&mut victim, "/login").await;
    assert_eq!(answered(&world, &victim, &answer).await.0, 400);
    assert_eq!(world.idp.exchanges("authorization_code"), 0);
}

#[tokio::test]
async fn a_sign_in_has_an_end() {
    let world = World::new();
    let mut browser = Browser::default();
    let asked = world.begin(&mut browser, "/login").await;
    world.clock.advance(600 * SECOND);
    assert_eq!(answered(&world, &browser, &world.answer(&asked)).await.0, 400);
}

#[tokio::test]
async fn cookies_that_were_changed_or_moved() {
    for world in [World::new(), World::with_store()] {
        let browser = world.sign_in().await;
        let session = browser.session()[0].clone();
        let mut begun = Browser::default();
        world.begin(&mut begun, "/login").await;
        let transaction = begun.transactions()[0].clone();
        let mut values = vec![
            String::new(),
            "1".into(),
            "1..".into(),
            "1.00000000.AAAA".into(),
            "2".to_owned() + &session.value[1..],
            format!("{}A", session.value),
            format!("{}=", session.value),
            session.value[..session.value.len() - 1].to_owned(),
            session.value.to_lowercase(),
            session.value.replace('.', ""),
            // Sealed for another place.
            transaction.value.clone(),
            "x".repeat(100_000),
            session.value.repeat(50),
            "\"".to_owned() + &session.value + "\"",
        ];
        for at in (11..session.value.len()).step_by(97) {
            let mut bytes = session.value.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            values.push(String::from_utf8(bytes).unwrap());
        }
        for value in values {
            let mut forged = browser.clone();
            forged.session_mut().value.clone_from(&value);
            let request = forged.get("/x");
            let handled = world.rp.handle(&request, Guard::Login).await;
            assert!(handled.signed_in.is_none() && handled.problem.is_none(), "{value:.40}");
            assert_eq!(handled.response.unwrap().status(), StatusCode::FOUND, "never a failure");
        }
        // A session is no sign-in either.
        let mut forged = begun.clone();
        let at = forged.cookies.iter().position(|cookie| cookie.name == transaction.name).unwrap();
        forged.cookies[at].value.clone_from(&session.value);
        assert_eq!(answered(&world, &forged, "/callback?code=c&state=s").await.0, 400);
        // In a piece, in another name.
        for name in
            ["__Host-flyte_auth.0", "__Host-flyte_auth.1", "flyte_auth", "__Host-flyte_authx", "__Host-flyte_aut"]
        {
            let mut moved = browser.clone();
            moved.session_mut().name = name.to_owned();
            assert!(world.rp.handle(&moved.get("/x"), Guard::Look).await.signed_in.is_none(), "{name}");
        }
    }
}

#[tokio::test]
async fn cookies_of_another_application_with_the_same_key_are_none_here() {
    let world = World::new();
    let browser = world.sign_in().await;
    let other = builder(&world.idp, &world.clock).cookie_name("other").build().unwrap();
    let mut moved = browser.clone();
    moved.session_mut().name = "__Host-other".to_owned();
    assert!(other.handle(&moved.get("/x"), Guard::Look).await.signed_in.is_none());
    // A session id is no session, and a session no session id.
    let stored = World::with_store();
    let small = stored.sign_in().await;
    assert!(world.rp.handle(&small.get("/x"), Guard::Look).await.signed_in.is_none());
    assert!(stored.rp.handle(&browser.get("/x"), Guard::Look).await.signed_in.is_none());
}

#[tokio::test]
async fn the_store_gives_nothing_away_and_takes_nothing_that_was_swapped() {
    let clock = Arc::new(FakeClock::default());
    let idp = Idp::new(Arc::clone(&clock));
    let store = Arc::new(Swapped::default());
    let rp = builder(&idp, &clock).store(Arc::clone(&store) as _).build().unwrap();
    let world = World { idp, clock, rp };
    let one = world.sign_in().await;
    let two = world.sign_in().await;
    let kept = store.0.lock().unwrap().clone();
    assert_eq!(kept.len(), 2);
    for (key, sealed) in &kept {
        let text = String::from_utf8(sealed.to_vec()).unwrap();
        assert!(key.len() == 64 && !text.contains("refresh-") && !text.contains("alice"));
        assert!(!one.session()[0].value.contains(key.as_str()));
    }
    assert!(world.rp.handle_now(&one.get("/x"), Guard::Login).is_none(), "it has to be asked");
    assert!(world.rp.handle(&one.get("/x"), Guard::Look).await.signed_in.is_some());
    let keys: Vec<String> = kept.keys().cloned().collect();
    {
        let mut store = store.0.lock().unwrap();
        store.insert(keys[0].clone(), kept[&keys[1]].clone());
        store.insert(keys[1].clone(), "1.x.y".into());
    }
    for browser in [one, two] {
        assert!(world.restarted_with(&store).handle(&browser.get("/x"), Guard::Look).await.signed_in.is_none());
    }
}

/// A store that has to be awaited.
#[derive(Debug, Default)]
pub(super) struct Swapped(std::sync::Mutex<std::collections::BTreeMap<String, bytes::Bytes>>);

impl SessionStore for Swapped {
    fn get<'a>(&'a self, key: &'a str) -> futures_util::future::BoxFuture<'a, crate::Result<Option<bytes::Bytes>>> {
        let found = self.0.lock().unwrap().get(key).cloned();
        Box::pin(async move { Ok(found) })
    }
    fn put<'a>(
        &'a self,
        key: &'a str,
        sealed: bytes::Bytes,
        _: Duration,
    ) -> futures_util::future::BoxFuture<'a, crate::Result<()>> {
        self.0.lock().unwrap().insert(key.to_owned(), sealed);
        Box::pin(async { Ok(()) })
    }
    fn delete<'a>(&'a self, key: &'a str) -> futures_util::future::BoxFuture<'a, crate::Result<()>> {
        self.0.lock().unwrap().remove(key);
        Box::pin(async { Ok(()) })
    }
}

impl World {
    fn restarted_with(&self, store: &Arc<Swapped>) -> RelyingParty {
        builder(&self.idp, &self.clock).store(Arc::clone(store) as _).build().unwrap()
    }
}

#[tokio::test]
async fn nothing_of_a_request_becomes_a_header() {
    let world = World::with(|builder, _| builder.idp_query_parameter("idp"));
    let attack = "%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<script>";
    for target in [
        format!("/x{attack}"),
        format!("/x?{attack}"),
        format!("/login?return_to=/{attack}"),
        format!("/login?return_to={attack}"),
        format!("/login?idp={attack}"),
        format!("/callback?code={attack}&state={attack}"),
        format!("/logout?return_to=/{attack}"),
        format!("/me?{attack}"),
    ] {
        let mut request = Browser::default().get(&target);
        for raw in [false, true] {
            if raw {
                request.target = request.target.replace("%0d%0a", "\r\n");
            }
            let response = world.rp.handle(&request, Guard::Login).await.response.unwrap();
            for (name, value) in response.headers() {
                let value = value.to_str().unwrap();
                assert!(!value.contains(['\r', '\n']), "{name} {value}");
                assert!(name != header::SET_COOKIE || !value.starts_with("a=b"), "{value}");
            }
            assert!(!response.body().contains("<script"));
        }
    }
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let world = World::new();
    let mut browser = Browser::default();
    let asked = world.begin(&mut browser, "/login").await;
    let request = browser.get(&world.answer(&asked));
    let done = world.rp.handle(&request, Guard::Look).await;
    let shown = format!("{:?} {:?} {:?} {:?}", world.rp, request, done, done.response);
    browser.take(done.response.as_ref().unwrap().headers().get_all(header::SET_COOKIE));
    let handled = browser.open(&world.rp, "/x").await;
    let signed_in = handled.signed_in.as_ref().unwrap();
    let shown = format!("{shown} {handled:?} {signed_in:?} {:?}", builder(&world.idp, &world.clock));
    let access = signed_in.fresh().unwrap();
    let secrets = ["canary", KEY, "code-0", asked["state"].as_str(), asked["nonce"].as_str(), "refresh-", "eyJ"];
    for secret in secrets.into_iter().chain([access.expose(), &browser.session()[0].value]) {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[tokio::test]
async fn a_body_or_target_without_end() {
    let world = World::new();
    let mut browser = Browser::default();
    world.begin(&mut browser, "/login").await;
    let form = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    for path in ["/callback", "/logout"] {
        let mut request = browser.request(Method::POST, path, &form);
        request.body = Some(SecretBytes::from(vec![b'a'; MAX_BODY + 1]));
        assert_eq!(world.rp.handle(&request, Guard::Look).await.response.unwrap().status(), 413, "{path}");
    }
    let target = format!("/x?{}", "a".repeat(1_000_000));
    let response = world.rp.handle(&browser.get(&target), Guard::Login).await.response.unwrap();
    assert_eq!(location(&response), "/login");
    assert!(world.idp.asked_for(Purpose::Token).is_empty());
}

#[test]
fn a_cookie_header_that_is_no_text_is_no_cookie() {
    let world = World::new();
    let mut request = Browser::default().get("/x");
    for value in [&b"__Host-flyte_auth=\xff\xfe"[..], b";;;===;", b"__Host-flyte_auth", b"__Host-flyte_auth.0=9.x"] {
        request.headers.append(header::COOKIE, HeaderValue::from_bytes(value).unwrap());
    }
    assert!(world.rp.handle_now(&request, Guard::Look).unwrap().signed_in.is_none());
}
