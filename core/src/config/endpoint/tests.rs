use super::*;

#[test]
fn every_form_normalises() {
    let cases = [
        // raw, insecure, base URL, key
        ("dns:///flyte.example.org", false, "https://flyte.example.org", "https://flyte.example.org:443"),
        ("DNS:///Flyte.Example.ORG:443/", false, "https://flyte.example.org", "https://flyte.example.org:443"),
        ("dns:///h:30080", true, "http://h:30080", "http://h:30080"),
        ("dns:///h", true, "http://h", "http://h:80"),
        ("h", false, "https://h", "https://h:443"),
        ("h:8443", false, "https://h:8443", "https://h:8443"),
        ("localhost:30080", true, "http://localhost:30080", "http://localhost:30080"),
        ("127.0.0.1:30080", true, "http://127.0.0.1:30080", "http://127.0.0.1:30080"),
        ("https://h", true, "https://h", "https://h:443"),
        ("http://h:8080", false, "http://h:8080", "http://h:8080"),
        ("HTTPS://H/", false, "https://h", "https://h:443"),
        ("https://h/a/b//", false, "https://h/a/b", "https://h:443/a/b"),
        ("h/a", false, "https://h/a", "https://h:443/a"),
        ("  h  ", false, "https://h", "https://h:443"),
        ("h.example.", false, "https://h.example", "https://h.example:443"),
        ("[::1]:8080", true, "http://[::1]:8080", "http://[::1]:8080"),
        ("::1", true, "http://[::1]", "http://[::1]:80"),
        ("[2001:DB8::0:1]", false, "https://[2001:db8::1]", "https://[2001:db8::1]:443"),
        ("dns:///[::1]:443", false, "https://[::1]", "https://[::1]:443"),
        ("flyte_admin:81", false, "https://flyte_admin:81", "https://flyte_admin:81"),
        ("bücher.example", false, "https://xn--bcher-kva.example", "https://xn--bcher-kva.example:443"),
        ("dns:8080", true, "http://dns:8080", "http://dns:8080"),
    ];
    for (raw, insecure, base_url, key) in cases {
        let endpoint =
            Endpoint::parse(raw, insecure, "admin.endpoint").unwrap_or_else(|error| panic!("{raw}: {error}"));
        assert_eq!(endpoint.base_url(), base_url, "{raw}");
        assert_eq!(endpoint.key(), key, "{raw}");
        assert_eq!(Endpoint::parse(&endpoint.base_url(), !insecure, "x").unwrap(), endpoint, "{raw}: round trip");
    }
}

#[test]
fn typos_are_refused_with_the_right_form() {
    let cases = [
        ("", "is empty"),
        ("   ", "is empty"),
        ("htp://h", "Use http://h"),
        ("htps://h", "Use https://h"),
        ("grpcs://h:443", "Use https://h:443"),
        ("dns://h", "Use dns:///h"),
        ("dns:/h", "Use dns:///h"),
        ("dns:h", "no port number"),
        ("dns:////h", "Use dns:///h"),
        ("dns:///https://h", "Use https://h"),
        ("dns:///h/path", "Use dns:///h"),
        ("dns:///", "no host"),
        ("https:/h", "Use https://h"),
        ("https//h", "Use https://h"),
        ("http:///h", "no host"),
        ("https://", "no host"),
        ("ftp://h", "Use dns:///HOST"),
        ("unix:///run/x.sock", "Use dns:///HOST"),
        ("h h", "white space"),
        ("https://h/console", "Use https://h"),
        ("https://h:8443/console/projects/p?", "query or fragment"),
        ("https://h:8443/console/projects/p", "Use https://h:8443"),
        ("h\tx", "white space"),
        ("h\u{0}", "white space"),
        ("h:", "no port number"),
        ("h:99999", "between 1 and 65535"),
        ("h:0", "between 1 and 65535"),
        ("h:+80", "no port number"),
        ("h:80a", "no port number"),
        ("a:1:2", "too many colons"),
        ("[::1", "unclosed bracket"),
        ("[h]:80", "no IPv6"),
        ("[::1]80", "after the closing bracket"),
        ("h?x=1", "query or fragment"),
        ("https://h/#top", "query or fragment"),
        (":443", "no host"),
        ("h..x", "not a host name"),
        ("-h", "not a host name"),
        ("h%41", "not a host name"),
        ("h$x", "not a host name"),
        ("0x7\u{37e}88885", "not a host name"),
        ("\u{34f}-h", "not a host name"),
        ("\u{34f}.h", "not a host name"),
    ];
    for (raw, expected) in cases {
        let error = Endpoint::parse(raw, false, "--endpoint").expect_err(raw);
        assert_eq!(error.code(), "endpoint_invalid", "{raw}");
        assert_eq!(error.setting(), Some("--endpoint"), "{raw}");
        assert!(error.to_string().contains(expected), "{raw}: {error}");
    }
}

#[test]
fn user_info_is_refused_and_not_repeated() {
    for raw in [
        "https://user:canary@h",
        "user:canary@h",
        "dns:///user:canary@h:1",
        "htp://user:canary@h",
        "dns:///https://canary@h",
        "https:/user:canary@h",
        "dns://user:canary@h",
        "dns:////user:canary@h",
        "dns:///h/user:canary@h",
        "grpc://user:canary@h",
        "user:canary@h://x",
        "https://h/console/user:canary@h",
    ] {
        let error = Endpoint::parse(raw, false, "admin.endpoint").expect_err(raw);
        assert!(!format!("{error} {error:?}").contains("canary"), "{raw}: {error}");
    }
}

#[test]
fn loopback() {
    for (raw, expected) in [
        ("localhost:1", true),
        ("a.localhost", false),
        ("127.8.0.1", true),
        ("[::1]:1", true),
        ("[::ffff:127.0.0.1]", true),
        ("localhost.example", false),
        ("10.0.0.1", false),
    ] {
        assert_eq!(Endpoint::parse(raw, true, "x").unwrap().is_loopback(), expected, "{raw}");
    }
}

#[test]
fn serde_is_the_string_form() {
    let endpoint = Endpoint::parse("dns:///h:8443", false, "x").unwrap();
    assert_eq!(serde_json::to_string(&endpoint).unwrap(), "\"https://h:8443\"");
    assert_eq!(serde_json::from_str::<Endpoint>("\"https://h:8443\"").unwrap(), endpoint);
    assert!(serde_json::from_str::<Endpoint>("\"htp://h\"").is_err());
    assert_eq!(endpoint.dns_form(), "dns:///h:8443");
    assert_eq!(Endpoint::parse("h", true, "x").unwrap().dns_form(), "dns:///h:80");
}
