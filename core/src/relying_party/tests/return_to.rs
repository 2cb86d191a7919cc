use super::*;

/// Every spelling that led somewhere else with some browser, framework or Flyte itself.
const ELSEWHERE: [&str; 72] = [
    "https:///console.example/a",
    "https:////console.example/a",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "//evil.example/%2f..",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "\t//evil.example",
    " //evil.example",
    "\u{0}//evil.example",
    "/\u{0}/evil.example",
    "\u{a0}//evil.example",
    "\u{2003}//evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/a/..//evil.example",
    "/a/../..//evil.example",
    "/%2e//evil.example",
    "/%2E%2e//evil.example",
    "/./%2e/..//evil.example",
    "https://evil.example",
    "HTTPS://evil.example",
    "hTTps://evil.example/a",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https:////evil.example",
    "https:\\\\evil.example",
    "https:/\\evil.example",
    "http://evil.example",
    "http://console.example",
    "https://console.example:444",
    "https://console.example:80",
    "https://console.example.evil.example",
    "https://console.exampleevil",
    "https://evil.example/console.example",
    "https://evil.example?console.example",
    "https://evil.example#console.example",
    "https://console.example@evil.example",
    "https://console.example:443@evil.example",
    "https://console.example%40evil.example",
    "https://console.example\\@evil.example",
    "https://evil.example\\@console.example",
    "https://user:pass@console.example/",
    "https://user@console.example/",
    "https://console.example./",
    "https://xn--console.example/",
    "https://console\u{2024}example.evil/",
    "https://\u{ff45}vil.example",
    "https://[::1]/",
    "https://127.0.0.1/",
    "javascript:alert(1)",
    "javascript://console.example/%0aalert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "ftp://console.example/",
    "file:///etc/passwd",
    "blob:https://console.example/x",
    "view-source:https://console.example",
    "evil.example",
    "a",
    "?x=1",
    "#x",
    ".",
    "",
];

#[test]
fn nowhere_else() {
    let settings = &World::new().rp.inner.settings;
    for wanted in ELSEWHERE {
        assert_eq!(settings.return_to(wanted), None, "{wanted:?}");
        assert_eq!(settings.return_to_or_home(Some(wanted)), "/", "{wanted:?}");
    }
    assert_eq!(settings.return_to(&format!("/{}", "a".repeat(3000))), None);
}

#[test]
fn a_path_here_is_written_anew() {
    let settings = &World::new().rp.inner.settings;
    for (wanted, expected) in [
        ("/", "/"),
        ("/a/b?c=d&e=%2F#f", "/a/b?c=d&e=%2F#f"),
        ("/a/../b", "/b"),
        ("/a/./b", "/a/b"),
        ("/a//b", "/a//b"),
        ("/\u{fc}", "/%C3%BC"),
        ("/a\"<>b", "/a%22%3C%3Eb"),
        ("/@evil.example", "/@evil.example"),
        ("/a?to=https://evil.example", "/a?to=https://evil.example"),
        ("/a:b", "/a:b"),
        ("https://console.example", "/"),
        ("https://CONSOLE.example:443/a?b#c", "/a?b#c"),
        ("/%5Cevil.example", "/%5Cevil.example"),
        ("/%0d%0aset-cookie:x", "/%0d%0aset-cookie:x"),
    ] {
        assert_eq!(settings.return_to(wanted).as_deref(), Some(expected), "{wanted:?}");
    }
}

#[test]
fn origins_that_are_named() {
    let world = World::with(|builder, _| {
        builder.return_origin("https://other.example").return_origin("http://localhost:8080").home("/console")
    });
    let settings = &world.rp.inner.settings;
    for (wanted, expected) in [
        ("https://other.example", Some("https://other.example/")),
        ("https://OTHER.example:443/a?b", Some("https://other.example/a?b")),
        ("http://localhost:8080/x", Some("http://localhost:8080/x")),
        ("http://other.example", None),
        ("https://sub.other.example", None),
        ("https://other.example:8443", None),
        ("https://a@other.example", None),
        ("http://localhost:8081/x", None),
        ("http://127.0.0.1:8080/x", None),
    ] {
        assert_eq!(settings.return_to(wanted).as_deref(), expected, "{wanted}");
    }
    assert_eq!(settings.return_to_or_home(None), "/console");
}

#[tokio::test]
async fn neither_login_nor_callback_nor_logout_leads_elsewhere() {
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let world = World::with(|builder, _| builder.provider_logout(false));
    for wanted in ELSEWHERE {
        let mut browser = Browser::default();
        let wish = format!("redirect_url={}", encoded(wanted));
        let asked = world.begin(&mut browser, &format!("/login?{wish}")).await;
        // What the callback itself says counts for nothing.
        let answer = format!("{}&{wish}&return_to=https://evil.example", world.answer(&asked));
        let done = browser.open(&world.rp, &answer).await.response.unwrap();
        assert_eq!((done.status(), location(&done)), (StatusCode::SEE_OTHER, "/"), "{wanted:?}");
        let out = browser.open(&world.rp, &format!("/logout?{wish}")).await.response.unwrap();
        assert_eq!((out.status(), location(&out)), (StatusCode::FOUND, "/"), "{wanted:?}");
    }
    // Two wishes are none.
    let mut browser = Browser::default();
    let asked = world.begin(&mut browser, "/login?return_to=/a&redirect_url=/b").await;
    assert_eq!(location(&browser.open(&world.rp, &world.answer(&asked)).await.response.unwrap()), "/");
}
