use http::{HeaderMap, HeaderName, Method};

use super::super::RelyingParty;
use super::*;

#[test]
fn who_may_change_something() {
    let party = RelyingParty::builder("https://idp.example", "console", "https://console.example")
        .cookie_key("a-cookie-key-of-the-tests-0123456789")
        .trusted_origin("https://partner.example")
        .return_origin("https://back.example")
        .build()
        .unwrap();
    let settings = &party.inner.settings;
    let (fetch, origin, referer) = ("sec-fetch-site", "origin", "referer");
    let own = "https://console.example";
    for (headers, forged) in [
        (&[(fetch, "same-origin")][..], false),
        (&[(fetch, "Same-Origin")], false),
        (&[(fetch, "none")], false),
        (&[(fetch, "same-site")], true),
        (&[(fetch, "cross-site")], true),
        (&[(fetch, "")], true),
        (&[(fetch, "something-new")], true),
        (&[(fetch, "same-origin"), (fetch, "cross-site")], true),
        (&[(fetch, "same-origin"), (fetch, "same-origin"), (origin, own)], true),
        (&[(fetch, "cross-site"), (origin, own)], true),
        (&[(fetch, "cross-site"), (origin, "https://partner.example")], false),
        (&[(fetch, "same-site"), (origin, "https://partner.example")], false),
        (&[(fetch, "cross-site"), (origin, "https://back.example")], true),
        (&[(fetch, "cross-site"), (referer, "https://partner.example/")], true),
        (&[(origin, own)], false),
        (&[(origin, "https://console.example:443")], false),
        (&[(origin, "https://CONSOLE.example")], false),
        (&[(origin, "https://partner.example")], false),
        (&[(origin, "https://console.example:444")], true),
        (&[(origin, "http://console.example")], true),
        (&[(origin, "https://console.example.evil.example")], true),
        (&[(origin, "https://evil.example")], true),
        (&[(origin, "https://back.example")], true),
        (&[(origin, "null")], true),
        (&[(origin, "")], true),
        (&[(origin, own), (origin, own)], true),
        (&[(origin, "https://evil.example"), (referer, "https://console.example/a")], true),
        (&[(referer, "https://console.example/a?b")], false),
        (&[(referer, "https://partner.example/")], false),
        (&[(referer, "https://evil.example/https://console.example")], true),
        (&[(referer, "https://console.example@evil.example/")], true),
        (&[(referer, "/relative")], true),
        (&[(referer, own), (referer, own)], true),
        (&[("x-requested-with", "XMLHttpRequest")], true),
        (&[("content-type", "application/json")], true),
        (&[], true),
    ] {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "BREW", "get"] {
            let request = Request::new(method.parse().unwrap(), "/x", map.clone());
            assert_eq!(settings.is_forged(&request), forged, "{method} {headers:?}");
        }
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
            assert!(!settings.is_forged(&Request::new(method, "/x", map.clone())), "{headers:?}");
        }
        // The handshake of a WebSocket is a GET.
        map.insert("sec-fetch-mode", "websocket".parse().unwrap());
        assert_eq!(settings.is_forged(&Request::new(Method::GET, "/x", map)), forged, "{headers:?}");
    }
}
