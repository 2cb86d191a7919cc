//! Lifetimes, the disk, single flight.

use super::*;
use crate::config::{Origin, Setting};

fn with_folder(router: &Arc<Router>, clock: &Arc<FakeClock>, folder: &std::path::Path) -> Discoverer {
    Discoverer::new(Arc::<Router>::clone(router), Arc::<FakeClock>::clone(clock), Some(folder.to_owned()))
}

fn flyte2() -> Arc<Router> {
    Router::new(not_found, vec![(V2, json(200, CAMEL)), (V2_CLIENT, json(200, "{}"))])
}

#[tokio::test]
async fn answers_have_a_lifetime() {
    for (router, lifetime) in [(flyte2(), AUTH_LIFETIME), (Router::new(not_found, vec![]), NO_AUTH_LIFETIME)] {
        let clock = Arc::new(FakeClock::default());
        let discoverer = Discoverer::new(Arc::<Router>::clone(&router), Arc::<FakeClock>::clone(&clock), None);
        assert_eq!(discoverer.cached(&secure()), None);
        let found = discoverer.discover(&secure()).await.unwrap();
        let calls = router.calls().len();
        clock.advance(lifetime - Duration::from_secs(1));
        assert_eq!(discoverer.discover(&secure()).await.unwrap(), found);
        assert_eq!(router.calls().len(), calls);
        clock.advance(Duration::from_secs(1));
        assert_eq!(discoverer.cached(&secure()), Some(found));
        discoverer.discover(&secure()).await.unwrap();
        assert_eq!(router.calls().len(), 2 * calls);
    }
}

#[tokio::test]
async fn another_process_finds_it_on_disk() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state/metadata");
    let clock = Arc::new(FakeClock::default());
    let found = with_folder(&flyte2(), &clock, &folder).discover(&secure()).await.unwrap();
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    }
    let silent = Router::new(|_| failed(FailureKind::Dns), vec![]);
    let other = with_folder(&silent, &clock, &folder);
    assert_eq!(other.cached(&secure()), Some(found.clone()));
    assert_eq!(other.discover(&secure()).await.unwrap(), found);
    assert!(silent.calls().is_empty());
    // Another endpoint is another answer.
    assert_eq!(other.cached(&plaintext()), None);
    // Forgotten here is forgotten on disk.
    assert!(other.forget(&secure()));
    assert!(!other.forget(&secure()));
    assert_eq!(with_folder(&silent, &clock, &folder).cached(&secure()), None);
    assert!(other.discover(&secure()).await.is_err());
}

/// Whoever answers a call without certificate checks must not be heard by the next call that has them.
#[tokio::test]
async fn what_was_seen_without_checks_serves_no_call_with_them() {
    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::default());
    let set = |value| Some(Setting::new(value, Origin::Default));
    let unchecked = NetworkConfig { insecure_skip_verify: set(true), ..NetworkConfig::default() };
    let ca = Some(Setting::new("/ca.pem".into(), Origin::Default));
    let with_ca = NetworkConfig { ca_cert: ca, ..NetworkConfig::default() };
    let found = with_folder(&flyte2(), &clock, home.path()).seen_through(&unchecked).discover(&secure()).await.unwrap();
    let silent = Router::new(|_| failed(FailureKind::Dns), vec![]);
    let later = |network| with_folder(&silent, &clock, home.path()).seen_through(network).cached(&secure());
    assert_eq!(later(&unchecked), Some(found));
    assert_eq!((later(&NetworkConfig::default()), later(&with_ca)), (None, None));
}

#[tokio::test]
async fn files_that_are_not_ours_cost_a_round_trip() {
    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::default());
    let found = with_folder(&flyte2(), &clock, home.path()).discover(&secure()).await.unwrap();
    let file = std::fs::read_dir(home.path()).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&file).unwrap();
    let at = clock.now().as_millis().to_string();
    let future = clock.now().plus(Duration::from_secs(3600)).as_millis().to_string();
    for bad in [
        String::new(),
        text[..text.len() / 2].to_owned(),
        "{}".to_owned(),
        text.replace("\"version\":1", "\"version\":2"),
        text.replace("flyte.example", "other.example"),
        text.replace(&at, &future),
    ] {
        assert_ne!(bad, text);
        std::fs::write(&file, &bad).unwrap();
        let router = flyte2();
        assert_eq!(with_folder(&router, &clock, home.path()).discover(&secure()).await.unwrap(), found);
        assert_eq!(router.calls().len(), 2, "{bad}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_not_fatal() {
    let home = tempfile::tempdir().unwrap();
    let blocked = home.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let discoverer = with_folder(&flyte2(), &Arc::new(FakeClock::default()), &blocked.join("metadata"));
    assert!(discoverer.discover(&secure()).await.is_ok());
    assert!(discoverer.cached(&secure()).is_some());
}

#[tokio::test]
async fn one_request_for_all_who_wait() {
    let router = flyte2();
    let discoverer = discoverer(&router);
    let target = secure();
    let (a, b, c) =
        tokio::join!(discoverer.discover(&target), discoverer.discover(&target), discoverer.discover(&target));
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(router.calls().len(), 2);
}

#[tokio::test]
async fn failures_are_not_remembered() {
    let router = Router::new(not_found, vec![(V2, json(503, ""))]);
    let discoverer = discoverer(&router);
    assert!(discoverer.discover(&secure()).await.is_err());
    router.routes.lock().unwrap().insert(V2.to_owned(), json(200, CAMEL));
    assert!(discoverer.discover(&secure()).await.is_ok());
}
