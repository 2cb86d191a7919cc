//! A person whom the host language shows everything, for its bindings: what a login wants of them comes out as [`Wish`]es,
//! and a login that was begun can be waited for by many.

use std::future::Future;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flyte_auth::interaction::surroundings::BrowserVariable;
use flyte_auth::interaction::{Flow, LoginEvent, UserInteraction};
use flyte_auth::session::login::{LoginOptions, LoginOutcome, PendingLogin};
use flyte_auth::{Error, ErrorKind, Result};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::person;

/// The flow of that name.
///
/// # Errors
/// `flow_invalid`.
pub fn flow(name: &str) -> Result<Flow> {
    match name {
        "auto" => Ok(Flow::Auto),
        "pkce" => Ok(Flow::Pkce),
        "device" => Ok(Flow::Device),
        "paste" => Ok(Flow::Paste),
        other => Err(Error::config("flow_invalid", "flow", format!("flow is {other:?}"))
            .with_next("Use one of auto, pkce, device, paste")),
    }
}

/// What the core needs to know of a login. `opens_browser`: the program opens it, which is as good as a `BROWSER` that is
/// set.
pub fn options(login: person::Login, opens_browser: bool) -> LoginOptions {
    let person::Login { flow, no_browser, timeout } = login;
    let mut surroundings = person::surroundings();
    if opens_browser {
        surroundings.browser = BrowserVariable::Set;
    }
    LoginOptions { flow, no_browser, timeout, surroundings, ..LoginOptions::default() }
}

/// What a login tells the person, in the one shape that every language has.
#[derive(Default)]
pub struct Event {
    /// `explain`, `url`, `user_code`, `waiting` or `fallback`.
    pub kind: &'static str,
    /// A line for the person.
    pub message: String,
    /// `url`: the address to open.
    pub url: Option<String>,
    /// `url`: a browser was started with it.
    pub opened: bool,
    /// `url`: an `ssh -L …` line that makes the redirect reachable from the person's own machine.
    pub ssh_hint: Option<String>,
    /// `url`: the address that the browser ends at may be pasted back.
    pub paste: bool,
    /// `user_code`: the code to enter.
    pub user_code: Option<String>,
    /// `user_code`: where to enter it.
    pub verification_uri: Option<String>,
    /// `user_code`: the same with the code in it, if the server gave one.
    pub verification_uri_complete: Option<String>,
    /// `waiting`: how long is left.
    pub remaining: Option<Duration>,
}

impl From<LoginEvent> for Event {
    fn from(event: LoginEvent) -> Self {
        match event {
            LoginEvent::Explain(message) => Self { kind: "explain", message, ..Self::default() },
            LoginEvent::Url { url, opened, ssh_hint, paste } => {
                let how = if opened { "A browser opens. If it does not, open" } else { "Open" };
                let message = format!("{how} {url}");
                Self { kind: "url", message, url: Some(url), opened, ssh_hint, paste, ..Self::default() }
            }
            LoginEvent::UserCode { user_code, verification_uri, verification_uri_complete, .. } => Self {
                kind: "user_code",
                message: format!("Open {verification_uri} and enter the code {user_code}"),
                user_code: Some(user_code),
                verification_uri: Some(verification_uri),
                verification_uri_complete,
                ..Self::default()
            },
            LoginEvent::Waiting { what, remaining } => {
                let left = remaining.as_secs();
                let message = format!("Waiting for {what} ({}:{:02} left)", left / 60, left % 60);
                Self { kind: "waiting", message, remaining: Some(remaining), ..Self::default() }
            }
            LoginEvent::Fallback { why } => Self { kind: "fallback", message: why, ..Self::default() },
            _ => Self { kind: "explain", ..Self::default() },
        }
    }
}

/// Something that the login wants of the host language.
pub enum Wish {
    /// Show it to the person.
    Show(Event),
    /// Open a browser with this address, and say whether one opened ([`Browser::answer`]).
    Open(String),
    /// A line that the person pasted.
    Paste(oneshot::Sender<String>),
}

/// Where the answer of a callback that opens a browser is awaited; whoever ends the login takes it away.
#[derive(Clone, Default)]
pub struct Browser(Arc<Mutex<Option<mpsc::SyncSender<bool>>>>);

impl Browser {
    fn awaited(&self) -> MutexGuard<'_, Option<mpsc::SyncSender<bool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a browser was opened.
    pub fn answer(&self, opened: bool) {
        if let Some(sender) = self.awaited().take() {
            let _ = sender.send(opened);
        }
    }

    /// Nobody will answer any more.
    pub fn give_up(&self) {
        *self.awaited() = None;
    }
}

/// The person whom the host language shows everything.
pub struct Person {
    wishes: UnboundedSender<Wish>,
    /// Where a callback opens it.
    browser: Option<Browser>,
    pastes: bool,
    /// The login's deadline, if it has one that a clock can show.
    until: Option<Instant>,
}

impl Person {
    /// The person of a login that begins now, and what comes of them.
    pub fn new(login: &LoginOptions, opens_browser: bool, pastes: bool) -> (Self, UnboundedReceiver<Wish>) {
        let (wishes, asks) = unbounded_channel();
        let until = Instant::now().checked_add(login.timeout);
        (Self { wishes, browser: opens_browser.then(Browser::default), pastes, until }, asks)
    }

    /// Where a callback's answer is awaited.
    pub fn browser(&self) -> Browser {
        self.browser.clone().unwrap_or_default()
    }
}

impl UserInteraction for Person {
    fn show(&self, event: LoginEvent) {
        let _ = self.wishes.send(Wish::Show(event.into()));
    }

    fn open_browser(&self, url: &str) -> bool {
        let Some(browser) = &self.browser else { return person::open_browser(url) };
        let (sender, answer) = mpsc::sync_channel(1);
        *browser.awaited() = Some(sender);
        let _ = self.wishes.send(Wish::Open(url.to_owned()));
        // The runtime's other thread goes on; whoever ends the login drops the sender. But the timer of the login's deadline
        // belongs to the task that waits here: it must get its turn, whatever the callback does.
        let left = self.until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
        match tokio::task::block_in_place(|| answer.recv_timeout(left)) {
            Ok(opened) => opened,
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        }
    }

    fn pasted(&self) -> BoxFuture<'_, String> {
        let (sender, line) = oneshot::channel();
        if self.pastes {
            let _ = self.wishes.send(Wish::Paste(sender));
        }
        Box::pin(async move {
            match line.await {
                Ok(line) => line,
                // Nowhere to paste.
                Err(_) => std::future::pending().await,
            }
        })
    }
}

/// Somebody who is shown nothing and may paste.
struct Pasting(tokio::sync::Mutex<UnboundedReceiver<String>>);

impl UserInteraction for Pasting {
    fn show(&self, _event: LoginEvent) {}
    fn open_browser(&self, _url: &str) -> bool {
        false
    }
    fn pasted(&self) -> BoxFuture<'_, String> {
        Box::pin(async {
            match self.0.lock().await.recv().await {
                Some(line) => line,
                None => std::future::pending().await,
            }
        })
    }
}

enum Phase<C> {
    Begun(Box<PendingLogin>),
    Finishing { call: C, lines: UnboundedSender<String> },
    Over,
}

/// A login that was begun. `C` is the host language's call under way; whoever waits second waits for the same one.
pub struct Begun<C>(Mutex<Phase<C>>);

impl<C: Clone> Begun<C> {
    /// Waits for nobody yet.
    pub fn new(pending: PendingLogin) -> Self {
        Self(Mutex::new(Phase::Begun(Box::new(pending))))
    }

    /// The call that ends it, begun by `start` the first time. A redirect URL goes to a login that is waited for already
    /// as a pasted line.
    ///
    /// # Errors
    /// `login_over` after [`Begun::cancel`]; the failure of `start`.
    pub fn finish<E: From<Error>>(
        &self,
        redirect_url: Option<String>,
        timeout: Option<Duration>,
        start: impl FnOnce(BoxFuture<'static, Result<LoginOutcome>>) -> Result<C, E>,
    ) -> Result<C, E> {
        let mut phase = self.phase();
        if let Phase::Finishing { call, lines } = &*phase {
            if let Some(line) = redirect_url {
                let _ = lines.send(line);
            }
            return Ok(call.clone());
        }
        let Phase::Begun(pending) = std::mem::replace(&mut *phase, Phase::Over) else {
            let error = Error::new(ErrorKind::Cancelled, "login_over", "this login was cancelled");
            return Err(error.with_next("Begin another login").into());
        };
        let (lines, pasted) = unbounded_channel();
        let call = start(Box::pin(concluded(pending, redirect_url, timeout, pasted)))?;
        *phase = Phase::Finishing { call: call.clone(), lines };
        Ok(call)
    }

    /// Ends the attempt; gives the call under way, which is to be stopped.
    pub fn cancel(&self) -> Option<C> {
        match std::mem::replace(&mut *self.phase(), Phase::Over) {
            Phase::Finishing { call, .. } => Some(call),
            Phase::Begun(_) | Phase::Over => None,
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase<C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn concluded(
    pending: Box<PendingLogin>,
    redirect_url: Option<String>,
    timeout: Option<Duration>,
    pasted: UnboundedReceiver<String>,
) -> impl Future<Output = Result<LoginOutcome>> + Send {
    let person = Pasting(tokio::sync::Mutex::new(pasted));
    async move {
        match redirect_url {
            Some(line) => pending.finish(Some(line), timeout).await,
            None => pending.finish_with(&person, timeout).await,
        }
    }
}
