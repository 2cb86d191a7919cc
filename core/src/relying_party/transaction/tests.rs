use http::header;

use super::super::RelyingParty;
use super::*;
use crate::clock::SystemEntropy;
use crate::clock::fake::FakeEntropy;

const NOW: Timestamp = Timestamp::from_secs(1_795_489_920);

fn party() -> RelyingParty {
    let made = RelyingParty::builder("https://idp.example", "console", "https://console.example");
    made.cookie_key("a-cookie-key-of-the-tests-0123456789").build().unwrap()
}

fn metadata() -> ServerMetadata {
    ServerMetadata {
        issuer: Some("https://idp.example".to_owned()),
        authorization_endpoint: Some("https://idp.example/authorize?tenant=1".to_owned()),
        ..ServerMetadata::default()
    }
}

fn begun(settings: &Settings, entropy: &dyn Entropy, headers: &HeaderMap) -> Begun {
    begin(settings, &metadata(), entropy, NOW, "/a".to_owned(), None, headers).unwrap()
}

fn carried(cookie: &HeaderValue) -> HeaderMap {
    let pair = cookie.to_str().unwrap().split("; ").next().unwrap();
    HeaderMap::from_iter([(header::COOKIE, pair.parse().unwrap())])
}

#[test]
fn pure_in_time_and_randomness() {
    let party = party();
    let settings = &party.inner.settings;
    let urls = || begun(settings, &FakeEntropy::default(), &HeaderMap::new()).url;
    assert_eq!(urls(), urls());
    assert!(urls().starts_with("https://idp.example/authorize?tenant=1&response_type=code&client_id=console&state="));
    let fresh = || begun(settings, &SystemEntropy, &HeaderMap::new()).url;
    assert_ne!(fresh(), fresh());
}

#[test]
fn found_by_its_state_in_its_time_under_its_name() {
    let party = party();
    let settings = &party.inner.settings;
    let begun = begun(settings, &SystemEntropy, &HeaderMap::new());
    let url = url::Url::parse(&begun.url).unwrap();
    let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let headers = carried(&begun.cookies[0]);
    let find = |headers: &HeaderMap, state: &str, now| Transaction::find(settings, headers, state, now);
    let found = find(&headers, &state, NOW.plus(Duration::from_secs(599))).unwrap();
    assert_eq!((found.return_to.as_str(), &found.state), ("/a", &state));
    assert!(find(&headers, &state, NOW.plus(LIFETIME)).is_none());
    assert!(find(&headers, "other", NOW).is_none());
    assert!(find(&HeaderMap::new(), &state, NOW).is_none());
    // Under another attempt's name.
    let value = begun.cookies[0].to_str().unwrap().split("; ").next().unwrap().split_once('=').unwrap().1.to_owned();
    let moved = format!("{}={value}", settings.transaction_name("other"));
    let moved = HeaderMap::from_iter([(header::COOKIE, moved.parse().unwrap())]);
    assert!(find(&moved, "other", NOW).is_none());
}

#[test]
fn the_list_takes_only_what_looks_like_ours() {
    let party = party();
    let settings = &party.inner.settings;
    let name = settings.index_name();
    for (listed, kept, cleared) in [
        ("", 1, 0),
        ("0123456789abcdef", 2, 0),
        ("../../x.0123456789abcdef.\"><script>.0123456789ABCDEFG", 2, 0),
        ("0000000000000001.0000000000000002.0000000000000003.0000000000000004.0000000000000005", 5, 1),
    ] {
        let line = format!("{name}={listed}");
        let headers = HeaderMap::from_iter([(header::COOKIE, line.parse().unwrap())]);
        let cookies = index(settings, &headers, "ffffffffffffffff").unwrap();
        assert_eq!(cookies.len(), cleared + 1, "{listed}");
        let last = cookies.last().unwrap().to_str().unwrap();
        let value = last.split("; ").next().unwrap().split_once('=').unwrap().1;
        assert_eq!(value.split('.').count(), kept, "{value}");
        assert!(value.ends_with("ffffffffffffffff") && last.contains("Path=/login"), "{last}");
    }
    let many = vec!["0123456789abcdef"; 1000].join(".");
    let headers = HeaderMap::from_iter([(header::COOKIE, format!("{name}={many}").parse().unwrap())]);
    assert!(index(settings, &headers, "ffffffffffffffff").unwrap().len() <= 4 * MOST + 1);
}
