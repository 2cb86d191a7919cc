use super::*;

fn gateway(upstreams: &[(&str, &str)]) -> Gateway {
    let upstreams: Vec<Upstream> = upstreams
        .iter()
        .map(|(matches, url)| Upstream { matches: (*matches).to_owned(), url: url.parse().unwrap() })
        .collect();
    Gateway::new(&upstreams).unwrap()
}

#[test]
fn the_longest_match_wins_and_prefixes_end_at_segments() {
    let gateway = gateway(&[
        ("flyteidl.", "h2c://admin:8089"),
        ("flyteidl.service.DataProxyService", "h2c://data:8089"),
        ("/", "http://rest:8088"),
        ("/console", "http://console:8080"),
        ("/api/v1/", "http://admin:8088"),
    ]);
    let to = |path: &str| gateway.route(path).map(|target| target.authority.to_string());
    for (path, expected) in [
        ("/flyteidl.service.AdminService/ListProjects", "admin:8089"),
        ("/flyteidl.service.DataProxyService/Get", "data:8089"),
        ("/flyteidl.service.DataProxyServiceX/Get", "admin:8089"),
        ("/flyteidl2.x.Y/Z", "rest:8088"),
        ("/console", "console:8080"),
        ("/console/", "console:8080"),
        ("/console/a/b", "console:8080"),
        ("/consoleX", "rest:8088"),
        ("/api/v1/projects", "admin:8088"),
        ("/", "rest:8088"),
    ] {
        assert_eq!(to(path).as_deref(), Some(expected), "{path}");
    }
}

#[test]
fn a_path_that_climbs_goes_nowhere() {
    let gateway = gateway(&[("/console", "http://console:8080")]);
    for path in [
        "/console/../admin",
        "/console/..",
        "/console/./x",
        "/console/%2e%2e/admin",
        "/console/%2E./admin",
        "/console/..%2fadmin",
        "/console/..%5cadmin",
        "/console/..\\admin",
        "/console/%252e%252e/admin",
    ] {
        assert_eq!(gateway.route(path), None, "{path}");
    }
    for path in ["/console/..a", "/console/a..", "/console/.well-known", "/console/a%2eb"] {
        assert!(gateway.route(path).is_some(), "{path}");
    }
}

#[test]
fn an_upstream_that_cannot_be_used_is_named() {
    for (matches, url) in [
        ("flyteidl", "http://a"),
        ("", "http://a"),
        ("/x", "ftp://a"),
        ("/x", "http://user:canary@a"),
        ("/x", "http://a/?q=1"),
        ("/x", "h2c:a"),
    ] {
        let upstream = Upstream { matches: matches.to_owned(), url: url.parse().unwrap() };
        let error = Gateway::new(&[upstream]).unwrap_err();
        assert_eq!((error.code(), error.setting()), ("upstream_invalid", Some("gateway.upstreams")), "{url}");
        assert!(!error.to_string().contains("canary"));
    }
}

#[test]
fn the_path_goes_on_byte_for_byte_below_the_targets_own() {
    let gateway = gateway(&[("/a", "http://b/base/"), ("/c", "http://d")]);
    let at = |path: &str| {
        let target = gateway.route(path.split('?').next().unwrap()).unwrap();
        address(target, &path.parse().unwrap()).unwrap().to_string()
    };
    assert_eq!(at("/a/%7Ex//y?q=%20&r"), "http://b/base/a/%7Ex//y?q=%20&r");
    assert_eq!(at("/c"), "http://d/c");
}
