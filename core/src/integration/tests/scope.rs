//! Where the token may go.

use http::{HeaderMap, Uri};

use super::*;
use crate::firewall::calls::Scope;

#[test]
fn own_host_only() {
    // Endpoint, request, Host header, verdict.
    for (endpoint, uri, host, expected) in [
        ("dns:///flyte.example", "https://flyte.example/x", None, Ok(())),
        ("dns:///flyte.example", "https://FLYTE.example:443/x", None, Ok(())),
        ("dns:///flyte.example", "https://flyte.example./x", None, Ok(())),
        ("dns:///flyte.example", "/flyteidl.service.AdminService/GetVersion", None, Ok(())),
        ("dns:///flyte.example", "/x", Some("flyte.example"), Ok(())),
        ("dns:///flyte.example", "/x", Some("evil.example"), Err("foreign_host")),
        ("dns:///flyte.example", "https://flyte.example/x", Some("evil.example"), Err("foreign_host")),
        ("dns:///flyte.example", "https://evil.example/x", None, Err("foreign_host")),
        ("dns:///flyte.example", "https://flyte.example.evil/x", None, Err("foreign_host")),
        ("dns:///flyte.example", "https://xflyte.example/x", None, Err("foreign_host")),
        ("dns:///flyte.example", "https://sub.flyte.example/x", None, Err("foreign_host")),
        ("dns:///flyte.example", "https://flyte.example:8443/x", None, Err("foreign_host")),
        ("dns:///flyte.example", "https://flyte.example@evil.example/x", None, Err("foreign_host")),
        ("dns:///flyte.example", "https://user@flyte.example/x", None, Err("foreign_host")),
        ("dns:///flyte.example", "http://flyte.example/x", None, Err("foreign_host")),
        ("dns:///flyte.example", "http://flyte.example:443/x", None, Err("plaintext_refused")),
        ("dns:///flyte.example:8089", "http://flyte.example:8089/x", None, Err("plaintext_refused")),
        ("https://127.0.0.1:8089", "http://127.0.0.1:8089/x", None, Ok(())),
        ("http://flyte.example", "http://flyte.example/x", None, Ok(())),
        ("http://flyte.example:81", "https://flyte.example:81/x", None, Ok(())),
        ("https://[::1]:8089", "https://[0:0::1]:8089/x", None, Ok(())),
        ("https://[::1]:8089", "https://[::2]:8089/x", None, Err("foreign_host")),
        ("http://localhost:8088", "http://127.0.0.1:8088/x", None, Err("foreign_host")),
        ("https://flyte.example/below", "https://flyte.example/x", None, Ok(())),
    ] {
        let scope = Scope::new(&session(endpoint, &[]));
        let headers = HeaderMap::from_iter(host.map(|host| (http::header::HOST, host.parse().unwrap())));
        let found = scope.check(&uri.parse::<Uri>().unwrap(), &headers);
        let found = found.as_ref().copied().map_err(|error| error.code());
        assert_eq!(found, expected, "{endpoint} {uri} {host:?}");
    }
}

#[test]
fn insecure_is_the_users_word() {
    let endpoint = Endpoint::parse("dns:///flyte.example:8089", true, "test").unwrap();
    let config = Config { endpoint: Some(setting(endpoint)), ..config("https://x") };
    let scope = Scope::new(&session_of(config, &tokens(&[])));
    assert!(scope.check(&Uri::from_static("http://flyte.example:8089/x"), &HeaderMap::new()).is_ok());
}

#[test]
fn an_issuer_alone_is_no_place_for_tokens() {
    let config = Config { endpoint: None, ..config("https://x") };
    let scope = Scope::new(&session_of(config, &tokens(&[])));
    let uri = Uri::from_static("https://idp.example/x");
    assert_eq!(scope.check(&uri, &HeaderMap::new()).unwrap_err().code(), "no_endpoint");
    let scope = scope.and(Endpoint::parse("https://flyte.example", false, "test").unwrap());
    assert!(scope.check(&Uri::from_static("https://flyte.example/x"), &HeaderMap::new()).is_ok());
    assert_eq!(scope.check(&uri, &HeaderMap::new()).unwrap_err().code(), "foreign_host");
}

#[test]
fn what_is_refused_is_named_without_its_password() {
    let scope = Scope::new(&session("dns:///flyte.example", &[]));
    let error =
        scope.check(&Uri::from_static("https://a:canary@evil.example/x?canary"), &HeaderMap::new()).unwrap_err();
    assert!(!error.to_string().contains("canary"), "{error}");
    let error = scope.check(&Uri::from_static("https://evil.example/x?canary"), &HeaderMap::new()).unwrap_err();
    assert!(error.to_string().contains("evil.example") && !error.to_string().contains("canary"), "{error}");
}
