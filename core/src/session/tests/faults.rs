//! Servers in trouble, clocks that move, stores that cannot be written.

use super::*;
use crate::store::{LockGuard, LockKind, StoreDescription};

fn busy(retry_after: Option<&str>) -> Line {
    let mut busy = json(503, "").unwrap();
    if let Some(after) = retry_after {
        busy.headers.insert("retry-after", after.parse().unwrap());
    }
    ("/token", Ok(busy))
}

/// Another process with the same state folder and store.
fn sibling(scene: &Scene, state: &std::path::Path, config: Config) -> Session {
    Session::builder(config)
        .transport(Arc::<ScriptedTransport>::clone(&scene.transport))
        .clock(Arc::<FakeClock>::clone(&scene.clock))
        .store(Arc::new(scene.store.clone()))
        .state_folder(Some(state.to_owned()))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_pause_that_the_server_asks_for_holds_for_every_process() {
    let state = tempfile::tempdir().unwrap();
    let scene = scene(person(), vec![metadata(), busy(Some("40")), token("a2", "")]).signed_in();
    scene.past_the_end();
    let one = sibling(&scene, state.path(), person());
    let other = sibling(&scene, state.path(), person());
    let error = one.token().await.unwrap_err();
    assert_eq!((error.code(), error.retry_after()), ("unavailable", Some(Duration::from_secs(40))));
    let error = other.token().await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Server, true));
    assert!(error.to_string().contains("Try again in 40 s"), "{error}");
    assert_eq!(scene.transport.left(), 1, "nobody asked");
    assert_eq!(scene.record().generation, 1, "nothing is lost");
    scene.clock.advance(Duration::from_secs(40));
    assert_eq!(other.token().await.unwrap().unwrap().expose(), "a2");
    assert_eq!(one.token().await.unwrap().unwrap().expose(), "a2");
}

#[tokio::test]
async fn a_short_pause_is_waited_out() {
    let state = tempfile::tempdir().unwrap();
    let scene = scene(person(), vec![metadata(), busy(None), busy(Some("4")), token("a2", "")]).signed_in();
    scene.past_the_end();
    let began = scene.clock.now();
    assert!(sibling(&scene, state.path(), person()).token().await.is_err());
    assert!(sibling(&scene, state.path(), person()).token().await.is_err());
    assert_eq!(scene.clock.now().since(began), Duration::from_secs(1), "the back-off of a first failure");
    assert_eq!(sibling(&scene, state.path(), person()).token().await.unwrap().unwrap().expose(), "a2");
    assert_eq!(scene.clock.now().since(began), Duration::from_secs(5));
}

#[tokio::test]
async fn while_the_server_rests_a_valid_token_serves() {
    let state = tempfile::tempdir().unwrap();
    let scene = scene(person(), vec![metadata(), busy(Some("100"))]).signed_in();
    scene.move_into_the_margin();
    for _ in 0..3 {
        let session = sibling(&scene, state.path(), person());
        let token = session.token_once(TokenOptions::default()).await.unwrap().unwrap();
        assert_eq!(token.expose(), "a1");
    }
    assert_eq!(scene.transport.sent().len(), 2, "asked once");
}

/// An answer of a server whose clock says `date`.
fn rejecting(date: &str) -> Line {
    let mut reply = json(200, r#"{"access_token":"b","token_type":"Bearer","expires_in":3600}"#).unwrap();
    reply.headers.insert("date", date.parse().unwrap());
    ("/token", Ok(reply))
}

#[tokio::test]
async fn two_rejected_fresh_tokens_stop_the_loop_and_tell_the_skew() {
    let scene = scene(person(), vec![metadata(), token("a2", ""), token("a3", "")]).signed_in();
    scene.session.token().await.unwrap();
    scene.session.invalidate(None);
    assert_eq!(scene.token().await.unwrap(), "a2");
    scene.session.invalidate(None);
    scene.session.invalidate(None);
    let error = scene.token().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, "fresh_token_rejected"));
    assert_eq!(scene.token().await.unwrap_err().code(), "fresh_token_rejected");
    assert_eq!(scene.transport.left(), 1, "nobody asked");
    scene.clock.advance(Duration::from_secs(120));
    assert_eq!(scene.token().await.unwrap(), "a3", "one more try after a while");
}

#[tokio::test]
async fn a_wrong_clock_is_named() {
    let scene = scene(person(), vec![metadata(), rejecting("Tue, 24 Nov 2026 03:17:00 GMT")]).signed_in();
    scene.session.token().await.unwrap();
    scene.session.invalidate(None);
    scene.session.token().await.unwrap();
    scene.session.invalidate(None);
    let error = scene.token().await.unwrap_err();
    assert_eq!(error.code(), "clock_skew");
    assert!(error.to_string().contains("clock is 5 min behind"), "{error}");
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_a_token_due_not_immortal() {
    let scene = scene(person(), vec![metadata(), token("a2", "")]).signed_in();
    assert_eq!(scene.token().await.unwrap(), "a1");
    scene.clock.set(scene.clock.now().minus(Duration::from_secs(86_400)));
    assert_eq!(scene.session.fresh(), None);
    assert_eq!(scene.token().await.unwrap(), "a1", "it serves while a new one comes");
    scene.settle().await;
    assert_eq!(scene.token().await.unwrap(), "a2");
    scene.clock.advance(Duration::from_secs(7 * 86_400));
    assert_eq!(scene.session.fresh(), None);
}

/// A store whose disk is full for a while.
#[derive(Debug)]
struct Full {
    store: MemoryStore,
    full: std::sync::atomic::AtomicBool,
}

impl TokenStore for Full {
    fn load(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.store.load(key)
    }
    fn save(&self, key: &SessionKey, record: &Record) -> Result<()> {
        if self.full.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Store, "store_write", "no space left"));
        }
        self.store.save(key, record)
    }
    fn delete(&self, key: &SessionKey) -> Result<bool> {
        self.store.delete(key)
    }
    fn list(&self) -> Result<Vec<(SessionKey, Record)>> {
        self.store.list()
    }
    fn try_lock(&self, key: &SessionKey, kind: LockKind) -> Result<Result<Box<dyn LockGuard>, Option<u32>>> {
        self.store.try_lock(key, kind)
    }
    fn describe(&self) -> StoreDescription {
        self.store.describe()
    }
}

#[tokio::test]
async fn what_could_not_be_saved_serves_and_is_saved_later() {
    let scene = scene(person(), vec![metadata(), token("a2", r#","refresh_token":"r2""#)]).signed_in();
    let store = Arc::new(Full { store: scene.store.clone(), full: true.into() });
    let session = Session::builder(person())
        .transport(Arc::<ScriptedTransport>::clone(&scene.transport))
        .clock(Arc::<FakeClock>::clone(&scene.clock))
        .store(Arc::<Full>::clone(&store))
        .build()
        .unwrap();
    scene.past_the_end();
    assert_eq!(session.token().await.unwrap().unwrap().expose(), "a2");
    assert_eq!(scene.record().generation, 1);
    store.full.store(false, std::sync::atomic::Ordering::SeqCst);
    scene.clock.advance(Duration::from_secs(5));
    for _ in 0..200 {
        assert_eq!(session.token().await.unwrap().unwrap().expose(), "a2");
        if scene.record().generation == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(scene.record().refresh_token, Some(RefreshToken::new("r2")));
    assert_eq!(scene.transport.left(), 0);
}

#[tokio::test]
async fn a_token_about_to_end_waits_for_a_resting_server_too() {
    let state = tempfile::tempdir().unwrap();
    let scene = scene(person(), vec![metadata(), busy(Some("3")), token("a2", "")]).signed_in();
    scene.clock.advance(Duration::from_secs(3600 - 10));
    let one_shot = || sibling(&scene, state.path(), person());
    let error = one_shot().token_once(TokenOptions::default()).await.unwrap_err();
    assert_eq!(error.code(), "unavailable");
    assert_eq!(one_shot().token_once(TokenOptions::default()).await.unwrap().unwrap().expose(), "a2");
}

#[tokio::test]
async fn a_lock_that_is_not_let_go_is_named_by_its_holder() {
    let scene = scene(person(), vec![]).signed_in();
    let _held = scene.store.try_lock(scene.session.key(), LockKind::Refresh).unwrap().unwrap();
    let wait = Duration::from_millis(30);
    let error = keeping::lock(&scene.session.inner, LockKind::Refresh, wait).await.unwrap_err();
    assert_eq!((error.kind(), error.code(), error.is_retryable()), (ErrorKind::Store, "lock_timeout", true));
    assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
}

#[tokio::test]
async fn where_no_lock_can_be_had_a_valid_token_serves() {
    let scene = scene(person(), vec![metadata()]).signed_in();
    let session = Session::builder(person())
        .transport(Arc::<ScriptedTransport>::clone(&scene.transport))
        .clock(Arc::<FakeClock>::clone(&scene.clock))
        .store(Arc::new(Lockless(scene.store.clone())))
        .build()
        .unwrap();
    scene.move_into_the_margin();
    assert_eq!(session.token().await.unwrap().unwrap().expose(), "a1");
    scene.past_the_end();
    assert_eq!(session.token().await.unwrap_err().code(), "no_locks");
}

/// A store on a file system without locks.
#[derive(Debug)]
struct Lockless(MemoryStore);

impl TokenStore for Lockless {
    fn load(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.0.load(key)
    }
    fn save(&self, key: &SessionKey, record: &Record) -> Result<()> {
        self.0.save(key, record)
    }
    fn delete(&self, key: &SessionKey) -> Result<bool> {
        self.0.delete(key)
    }
    fn keys(&self) -> Result<Vec<SessionKey>> {
        self.0.keys()
    }
    fn list(&self) -> Result<Vec<(SessionKey, Record)>> {
        self.0.list()
    }
    fn try_lock(&self, _key: &SessionKey, _kind: LockKind) -> Result<Result<Box<dyn LockGuard>, Option<u32>>> {
        Err(Error::new(ErrorKind::Store, "no_locks", "no locks here"))
    }
    fn describe(&self) -> StoreDescription {
        self.0.describe()
    }
}

#[tokio::test]
async fn a_refused_refresh_token_is_not_shown_again_at_once() {
    let refused = || ("/token", json(400, r#"{"error":"invalid_grant"}"#));
    let scene = scene(person(), vec![metadata(), refused(), refused(), token("a2", "")]).signed_in();
    scene.past_the_end();
    for _ in 0..3 {
        let error = scene.session.token().await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::LoginRequired, "invalid_grant"));
        scene.clock.advance(Duration::from_secs(9));
    }
    assert_eq!(scene.transport.left(), 2, "one request for three calls");
    // A server that was wrong about it has its chance.
    scene.clock.advance(Duration::from_secs(9));
    assert!(scene.session.token().await.is_err());
    assert_eq!(scene.transport.left(), 1);
    // Another process's login is another record.
    let mut newer = scene.record();
    newer.generation += 1;
    scene.store.save(scene.session.key(), &newer).unwrap();
    assert_eq!(scene.session.token().await.unwrap().unwrap().expose(), "a2");
}
