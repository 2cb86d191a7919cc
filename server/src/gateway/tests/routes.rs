use std::fmt::Write as _;

use crate::gateway::{Gateway, Roots, Target, Upstream};

fn gateway(upstreams: &[(&str, &str)]) -> flyte_auth::Result<Gateway> {
    let upstreams: Vec<Upstream> = upstreams
        .iter()
        .map(|(matches, url)| Upstream { matches: (*matches).to_owned(), url: url.parse().unwrap() })
        .collect();
    Gateway::new(&upstreams, Roots::platform())
}

#[test]
fn the_longest_match_wins_and_prefixes_end_at_segments() {
    let gateway = gateway(&[
        ("/", "http://rest:8088"),
        ("flyteidl.", "h2c://admin:8089"),
        ("flyteidl.service.DataProxyService", "h2c://data:8089"),
        ("grpc.health.v1.Health", "http://health:1"),
        ("/console", "http://console:8080"),
        ("/api/v1/", "http://admin:8088"),
    ])
    .unwrap();
    for (path, expected) in [
        ("/flyteidl.service.AdminService/ListProjects", "flyteidl."),
        ("/flyteidl.service.DataProxyService/Get", "flyteidl.service.DataProxyService"),
        ("/flyteidl.service.DataProxyServiceX/Get", "flyteidl."),
        ("/grpc.health.v1.Health/Check", "grpc.health.v1.Health"),
        ("/grpc.health.v1.HealthX/Check", "/"),
        ("/flyteidl2.x.Y/Z", "/"),
        ("/flyteidl.service.AdminService", "/"),
        ("/flyteidl.service.AdminService/", "/"),
        ("/flyteidl.service.AdminService/A/B", "/"),
        ("/flyteidl.service.Admin%53ervice/A", "/"),
        ("/console", "/console"),
        ("/console/", "/console"),
        ("/console/a/b", "/console"),
        ("/consoleX", "/"),
        ("/console%2fa", "/"),
        ("/api/v1", "/api/v1/"),
        ("/api/v1/projects", "/api/v1/"),
        ("//console", "/"),
        ("/", "/"),
    ] {
        assert_eq!(gateway.route(path).map(Target::matches), Some(expected), "{path}");
    }
}

#[test]
fn a_path_of_no_upstream_goes_nowhere() {
    let gateway = gateway(&[("flyteidl.", "h2c://admin:8089"), ("/console", "http://console:8080")]).unwrap();
    for path in ["/", "", "*", "console", "/x", "/flyteidl2.a.B/C", "/flyteidl./C", "/flyteidl.a/../b"] {
        assert!(gateway.route(path).is_none(), "{path}");
    }
}

#[test]
fn a_dot_segment_in_any_encoding_matches_no_path() {
    let gateway = gateway(&[("/console", "http://console:8080"), ("/", "http://rest:8088")]).unwrap();
    for path in [
        "/console/..",
        "/console/../admin",
        "/console/./x",
        "/console/.",
        "/console/%2e%2e/admin",
        "/console/%2E./admin",
        "/console/.%2e",
        "/console/..%2fadmin",
        "/console%2f..%2Fadmin",
        "/console/..%5cadmin",
        "/console/..\\admin",
        "/console/%252e%252e/admin",
        "/console/%25252e%25252e/admin",
        "/console/%2%35%32e./admin",
        "/console/..;x/admin",
        "/console/..%3bx/admin",
        "/console/..%00/admin",
        "/console/..%20/admin",
        "/console/%c0%ae%c0%ae/admin",
        "/console/..%c0%afadmin",
    ] {
        assert!(gateway.route(path).is_none(), "{path}");
    }
    for path in
        ["/console/..a", "/console/a..", "/console/...", "/console/.well-known", "/console/a%2eb", "/console/100%"]
    {
        assert_eq!(gateway.route(path).map(Target::matches), Some("/console"), "{path}");
    }
}

#[test]
fn a_path_that_is_encoded_many_thousand_times_is_read_at_once() {
    let gateway = gateway(&[("/", "http://rest:8088")]).unwrap();
    let mut path = String::from("/%");
    for _ in 0..500_000 {
        path.push_str("25");
    }
    write!(path, "2e%2e").unwrap();
    assert!(gateway.route(&path).is_none());
}

#[test]
fn an_upstream_that_cannot_be_used_is_refused_without_its_password() {
    for (matches, url, code) in [
        ("flyteidl", "http://a", "upstream_invalid"),
        ("", "http://a", "upstream_invalid"),
        (".", "http://a", "upstream_invalid"),
        ("a..b", "http://a", "upstream_invalid"),
        ("a.b/c", "http://a", "upstream_invalid"),
        ("/a/../b", "http://a", "upstream_invalid"),
        ("/a%2fb", "http://a", "upstream_invalid"),
        ("/x", "ftp://a", "upstream_invalid"),
        ("/x", "http://canary:canary@a", "upstream_invalid"),
        ("/x", "http://:canary@a", "upstream_invalid"),
        ("/x", "http://a/?q=canary", "upstream_invalid"),
        ("/x", "http://a/#canary", "upstream_invalid"),
        ("/x", "h2c:a", "upstream_invalid"),
    ] {
        let error = gateway(&[(matches, url)]).unwrap_err();
        assert_eq!((error.code(), error.setting()), (code, Some("gateway.upstreams")), "{matches} {url}");
        assert!(error.next_step().is_some());
        assert!(!format!("{error}{error:?}").contains("canary"), "{error}");
    }
    for twice in [["/x", "/x/"], ["a.", "a."]] {
        let error = gateway(&twice.map(|matches| (matches, "http://a"))).unwrap_err();
        assert_eq!(error.code(), "upstream_twice", "{twice:?}");
    }
}

#[test]
fn path_and_query_go_on_byte_for_byte_below_the_targets_own() {
    let gateway = gateway(&[("/a", "http://b:80/base/"), ("/c", "https://d"), ("/v6", "h2c://[::1]:8089")]).unwrap();
    let at = |asked: &str| {
        let uri: axum::http::Uri = asked.parse().unwrap();
        let target = gateway.route(uri.path()).unwrap();
        target.address(&uri, target.authority()).unwrap().to_string()
    };
    assert_eq!(at("/a/%7Ex//y?q=%20&r="), "http://b/base/a/%7Ex//y?q=%20&r=");
    assert_eq!(at("/a?"), "http://b/base/a?");
    assert_eq!(at("/c/é%C3%A9"), "https://d/c/é%C3%A9");
    assert_eq!(at("/v6"), "http://[::1]:8089/v6");
}
