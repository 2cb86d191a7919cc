use super::super::RelyingParty;
use super::*;

fn with_settings(check: impl Fn(&Settings)) {
    let made = RelyingParty::builder("https://idp.example", "console", "https://console.example");
    check(&made.cookie_key("a-cookie-key-of-the-tests-0123456789").build().unwrap().inner.settings);
}

/// The `Cookie` header that a browser sends after these.
fn sent(cookies: &[HeaderValue]) -> HeaderMap {
    let pairs = cookies.iter().map(|line| line.to_str().unwrap().split("; ").next().unwrap());
    HeaderMap::from_iter([(header::COOKIE, pairs.collect::<Vec<_>>().join("; ").parse().unwrap())])
}

#[test]
fn what_is_cut_is_joined() {
    with_settings(|settings| {
        for (length, count) in
            [(1, 1), (LARGEST, 1), (LARGEST + 1, 2), (2 * LARGEST - 2, 2), (2 * LARGEST - 1, 3), (3 * LARGEST - 2, 3)]
        {
            let text: String = ('a'..='z').cycle().take(length).collect();
            let cookies = settings.session_cookies(&text, Duration::from_secs(60), Held::default()).unwrap();
            assert_eq!(cookies.len(), count, "{length}");
            assert!(cookies.iter().all(HeaderValue::is_sensitive));
            let headers = sent(&cookies);
            let jar = Jar::read(&headers, &settings.cookie_name);
            assert_eq!(jar.sealed().collect::<Vec<_>>(), [text], "{length}");
        }
        let error =
            settings.session_cookies(&"x".repeat(3 * LARGEST - 1), Duration::ZERO, Held::default()).unwrap_err();
        assert_eq!(error.code(), "session_too_large");
    });
}

#[test]
fn what_is_no_text_hides_no_cookie_beside_it() {
    let line = HeaderValue::from_bytes(b"name=Zo\xeb; city=K\xc3\xb6ln; flyte=w; \xff; =; x").unwrap();
    let headers = HeaderMap::from_iter([(header::COOKIE, line)]);
    assert_eq!(all(&headers).collect::<Vec<_>>(), [("city", "K\u{f6}ln"), ("flyte", "w"), ("", "")]);
}

#[test]
fn pieces_of_a_longer_session_are_cleared_and_never_taken_in() {
    with_settings(|settings| {
        let name = &settings.cookie_name;
        let line = format!("{name}=w; {name}.0=2.a; {name}.1=b; {name}.2=c; {name}.7=d; {name}.10=e; {name}x=f");
        let headers = HeaderMap::from_iter([(header::COOKIE, line.parse().unwrap())]);
        let jar = Jar::read(&headers, name);
        assert_eq!(jar.sealed().collect::<Vec<_>>(), ["w", "ab"]);
        let cookies = settings.session_cookies(&"x".repeat(LARGEST + 1), Duration::from_secs(9), jar.held()).unwrap();
        let starts: Vec<_> = cookies
            .iter()
            .map(|line| line.to_str().unwrap().split_once('=').unwrap())
            .map(|(name, rest)| (name.to_owned(), rest.starts_with("; ")))
            .collect();
        let expected = [(".0", false), (".1", false), ("", true), (".2", true), (".7", true)];
        let expected = expected.map(|(piece, gone)| (format!("{name}{piece}"), gone));
        assert_eq!(starts, expected);
        for cookie in &cookies[2..] {
            assert!(cookie.to_str().unwrap().contains("; Path=/; Max-Age=0; HttpOnly; Secure"), "{cookie:?}");
        }
    });
}

#[test]
fn pieces_that_are_not_all_there_are_nothing() {
    for line in
        ["n.0=2.a", "n.1=b", "n.0=a; n.1=b", "n.0=1.a", "n.0=4.a; n.1=b; n.2=c; n.3=d", "n.0=x.a; n.1=b", "n.0=2"]
    {
        let headers = HeaderMap::from_iter([(header::COOKIE, line.parse().unwrap())]);
        assert_eq!(Jar::read(&headers, "n").sealed().count(), 0, "{line}");
    }
}

#[test]
fn the_first_of_a_name_counts_in_one_header_or_several() {
    let mut headers = HeaderMap::new();
    headers.append(header::COOKIE, "a=1;\tn=first;n=second".parse().unwrap());
    headers.append(header::COOKIE, "n=third; b=2".parse().unwrap());
    assert_eq!(Jar::read(&headers, "n").sealed().collect::<Vec<_>>(), ["first"]);
    assert_eq!(all(&headers).count(), 5);
}
