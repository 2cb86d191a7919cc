//! The blocking session: from plain threads, from inside a runtime, from a callback of its own, in a forked child.

use super::*;
use crate::blocking::Session as Blocking;

#[test]
fn a_plain_thread_gets_tokens() {
    let transport = tokens(&["t1", "t2"]);
    let session = Blocking::new(session_of(config("http://flyte.example"), &transport));
    let token = session.token().unwrap().unwrap();
    assert_eq!(session.header().unwrap().unwrap(), ("flyte-authorization".to_owned(), "Bearer t1".to_owned()));
    session.invalidate(Some(&token));
    assert_eq!(session.token().unwrap().unwrap().expose(), "t2");
    session.invalidate(Some(&token));
    assert_eq!(session.token().unwrap().unwrap().expose(), "t2", "a late rejection starts nothing");
    assert!(session.status().unwrap().signed_in);
    assert!(session.logout(false).unwrap().was_signed_in);
}

#[test]
fn threads_share_one_refresh() {
    let transport = tokens(&["t1"]);
    let session = Blocking::new(session_of(config("http://flyte.example"), &transport));
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let session = session.clone();
            std::thread::spawn(move || session.token().unwrap().unwrap().expose().to_owned())
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), "t1");
    }
    assert_eq!(transport.sent().len(), 2);
}

#[test]
fn inside_a_runtime_nothing_panics() {
    for builder in [tokio::runtime::Builder::new_current_thread(), tokio::runtime::Builder::new_multi_thread()] {
        let mut builder = builder;
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let session = Blocking::new(session("http://flyte.example", &["t1"]));
        let token = runtime.block_on(async { tokio::spawn(async move { session.token() }).await.unwrap() });
        assert_eq!(token.unwrap().unwrap().expose(), "t1");
    }
}

#[test]
fn a_session_may_go_while_its_refresh_runs_on() {
    for _ in 0..3 {
        drop(Blocking::new(session("http://flyte.example", &["t1"])).token().unwrap());
    }
}

#[test]
fn an_error_comes_through() {
    let nobody = Config { client_secret: None, ..config("http://flyte.example") };
    let error = Blocking::new(session_of(nobody, &tokens(&[]))).token().unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::LoginRequired);
}

/// Shows nothing; asks the blocking session from within the login.
struct AsksBack(Blocking, std::sync::Mutex<Option<String>>);

impl crate::interaction::UserInteraction for AsksBack {
    fn show(&self, _: crate::interaction::LoginEvent) {
        let code = self.0.token().err().map(|error| error.code().to_owned());
        self.1.lock().unwrap().get_or_insert(code.unwrap_or_default());
    }
    fn open_browser(&self, _: &str) -> bool {
        false
    }
    fn pasted(&self) -> futures_util::future::BoxFuture<'_, String> {
        Box::pin(std::future::ready("nonsense".to_owned()))
    }
}

#[test]
fn a_callback_that_calls_back_is_told_and_does_not_wait_for_ever() {
    use crate::session::login::LoginOptions;
    let person = Config { client_secret: None, ..config("http://flyte.example") };
    let session = Blocking::new(session_of(person, &tokens(&[])));
    let asks = Arc::new(AsksBack(session.clone(), std::sync::Mutex::default()));
    let options = LoginOptions {
        flow: crate::interaction::Flow::Paste,
        no_browser: true,
        timeout: std::time::Duration::from_millis(300),
        ..LoginOptions::default()
    };
    session.login(options, Arc::<AsksBack>::clone(&asks)).unwrap_err();
    assert_eq!(asks.1.lock().unwrap().as_deref(), Some("blocking_inside_itself"));
}
