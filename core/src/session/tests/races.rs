//! What others do at the wrong moment: between two steps of a refresh, in another process, on a disk that is full. The
//! model (`tests/model`) found the first three; here is the engine.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::store::{LockGuard, LockKind, StoreDescription};

impl Scene {
    fn lock(&self) -> Box<dyn LockGuard> {
        self.store.try_lock(self.session.key(), LockKind::Refresh).unwrap().unwrap()
    }

    /// Another process's record becomes the stored one.
    fn others_record(&self, generation: u64, access: &str) {
        let now = self.clock.now();
        let record = Record {
            generation,
            access_token: AccessToken::new(access),
            refresh_token: Some(RefreshToken::new(format!("refresh-{access}"))),
            expires_at: Some(now.plus(Duration::from_secs(3600))),
            obtained_at: Some(now),
            ..self.record()
        };
        self.store.save(self.session.key(), &record).unwrap();
    }

    /// Waits until a refresh is past discovery, which is the script's first line, and stands before the lock.
    async fn stands_before_the_lock(&self, left: usize) {
        while self.transport.left() > left {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_token_rejected_while_a_refresh_fails_is_not_served_again() {
    let busy = || ("/token", reply(503, "text/plain", ""));
    let scene = scene(person(), vec![metadata(), busy(), busy()]).signed_in();
    let first = scene.session.token().await.unwrap().unwrap();
    scene.move_into_the_margin();
    let held = scene.lock();
    assert_eq!(scene.token().await.unwrap(), "a1", "it serves while a new one is fetched");
    scene.stands_before_the_lock(2).await;
    scene.session.invalidate(Some(&first));
    drop(held);
    // The refresh fails, and must not take the stored token for one that still serves.
    let error = scene.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server);
    assert!(scene.token().await.is_err());
}

#[tokio::test]
async fn a_login_after_a_logout_is_not_taken_for_the_token_that_was_rejected() {
    let scene = scene(person(), vec![metadata()]).signed_in();
    let first = scene.session.token().await.unwrap().unwrap();
    scene.session.invalidate(Some(&first));
    // In another process: logout, and a login, whose count starts anew.
    scene.others_record(1, "b1");
    assert_eq!(scene.token().await.unwrap(), "b1");
    assert_eq!(scene.record().generation, 1, "nobody asked for another");
    scene.session.invalidate(Some(&first));
    assert_eq!(scene.token().await.unwrap(), "b1", "a late rejection of the first session's token");
}

#[tokio::test]
async fn the_store_is_read_again_once_the_lock_is_held() {
    let scene = scene(person(), vec![metadata()]).signed_in();
    scene.past_the_end();
    let held = scene.lock();
    let session = scene.session.clone();
    let waits = tokio::spawn(async move { session.token().await });
    scene.stands_before_the_lock(0).await;
    scene.others_record(2, "a-sibling");
    drop(held);
    assert_eq!(waits.await.unwrap().unwrap().unwrap().expose(), "a-sibling");
    assert_eq!(scene.transport.sent().len(), 1, "metadata, and no exchange");
}

/// A memory store that can be full, and looks at what is published when it is asked to save.
#[derive(Debug)]
struct Watching {
    store: MemoryStore,
    is_full: AtomicBool,
    session: OnceLock<Session>,
    published: AtomicBool,
}

impl TokenStore for Watching {
    fn load(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.store.load(key)
    }
    fn save(&self, key: &SessionKey, record: &Record) -> Result<()> {
        let is_published = self.session.get().and_then(Session::fresh).is_some();
        self.published.fetch_or(is_published, Ordering::SeqCst);
        if self.is_full.load(Ordering::SeqCst) {
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

fn watched(scene: &mut Scene, is_full: bool) -> Arc<Watching> {
    let store = Arc::new(Watching {
        store: scene.store.clone(),
        is_full: is_full.into(),
        session: OnceLock::new(),
        published: false.into(),
    });
    scene.session = Session::builder(person())
        .transport(Arc::<ScriptedTransport>::clone(&scene.transport))
        .clock(Arc::<FakeClock>::clone(&scene.clock))
        .store(Arc::<Watching>::clone(&store))
        .build()
        .unwrap();
    store.session.set(scene.session.clone()).unwrap();
    store
}

#[tokio::test]
async fn a_token_is_saved_before_anybody_sees_it() {
    let mut scene = scene(person(), vec![metadata(), token("a2", r#","refresh_token":"r2""#)]).signed_in();
    let store = watched(&mut scene, false);
    scene.past_the_end();
    assert_eq!(scene.token().await.unwrap(), "a2");
    assert_eq!(scene.record().refresh_token, Some(RefreshToken::new("r2")));
    assert!(!store.published.load(Ordering::SeqCst), "published before it was saved");
}

/// Ends with a process that holds a record which could not be saved, while there is room again.
async fn with_an_unsaved_record() -> Scene {
    let mut scene = scene(person(), vec![metadata(), token("a2", r#","refresh_token":"r2""#)]).signed_in();
    let store = watched(&mut scene, true);
    scene.past_the_end();
    assert_eq!(scene.token().await.unwrap(), "a2");
    assert!(scene.session.is_unsaved());
    store.is_full.store(false, Ordering::SeqCst);
    scene.clock.advance(Duration::from_secs(5));
    scene
}

#[tokio::test]
async fn what_could_not_be_saved_does_not_undo_a_logout() {
    let scene = with_an_unsaved_record().await;
    scene.store.delete(scene.session.key()).unwrap();
    let _ = scene.token().await;
    scene.settle().await;
    assert_eq!(scene.store.load(scene.session.key()).unwrap(), None, "the session came back");
    scene.past_the_end();
    assert_eq!(scene.token().await.unwrap_err().kind(), ErrorKind::LoginRequired);
}

#[tokio::test]
async fn what_could_not_be_saved_does_not_replace_a_new_login() {
    let scene = with_an_unsaved_record().await;
    // After a logout: the count starts anew, below that of what could not be saved.
    scene.others_record(1, "b1");
    let _ = scene.token().await;
    scene.settle().await;
    assert_eq!(scene.record().access_token, AccessToken::new("b1"));
    assert_eq!(scene.token().await.unwrap(), "b1");
}

#[tokio::test]
async fn a_logout_forgets_what_could_not_be_saved() {
    let scene = with_an_unsaved_record().await;
    assert!(scene.session.logout(false).await.unwrap().was_signed_in);
    assert!(!scene.session.is_unsaved());
    assert_eq!(scene.token().await.unwrap_err().kind(), ErrorKind::LoginRequired);
    assert_eq!(scene.store.load(scene.session.key()).unwrap(), None);
}

#[tokio::test]
async fn a_suspicion_of_an_old_token_is_not_held_against_a_siblings_new_one() {
    let scene = scene(person(), vec![metadata()]).signed_in();
    let caller = suspicion::Caller { pid: 7, started: 1 };
    let mut ledger = suspicion::Ledger::default();
    ledger.note(caller, 1, scene.clock.now());
    scene.past_the_end();
    scene.others_record(2, "a-sibling");
    // This server names no UserInfo endpoint, so it cannot be asked about the token.
    scene.session.follow_up(&mut ledger, caller).await.unwrap();
    assert_eq!(scene.token().await.unwrap(), "a-sibling");
    assert_eq!((scene.record().generation, scene.transport.sent().len()), (2, 1), "metadata, and no exchange");
}

#[tokio::test]
async fn a_source_that_gives_a_rejected_token_again_is_asked_once() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let script = format!("echo run >> {}; echo always-the-same", runs.display());
    let argv = ["sh", "-c", &script].map(str::to_owned).to_vec();
    let config = Config { auth_type: setting(AuthType::ExternalCommand), command: Some(setting(argv)), ..person() };
    let scene = scene(config, vec![metadata()]);
    let count = || std::fs::read_to_string(&runs).unwrap().lines().count();
    let first = scene.session.token().await.unwrap().unwrap();
    scene.session.invalidate(Some(&first));
    assert_eq!((scene.token().await.unwrap().as_str(), count()), ("always-the-same", 2));
    scene.session.invalidate(Some(&first));
    assert_eq!((scene.token().await.unwrap().as_str(), count()), ("always-the-same", 2), "a late rejection");
}
