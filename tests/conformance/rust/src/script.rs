//! The exchanges of one case: which request gets which reply, and what was wrong with what came.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flyte_auth::Timestamp;
use flyte_auth::clock::SystemClock;
use http::HeaderMap;
use serde_json::{Map, Value};
use tokio::sync::Notify;
use url::form_urlencoded;

use crate::Verdict;
use crate::case::{Case, Exchange, Otherwise, Wanted};
use crate::crypto::Signer;
use crate::matcher::{Matching, Window};
use crate::reply::Planned;
use crate::rules;
use crate::template::Variables;

/// A request as it came.
#[derive(Clone)]
pub struct Request {
    /// The listener's name in the case.
    pub host: String,
    /// Method and path, for example `POST /token`.
    pub line: String,
    /// The decoded query.
    pub query: Vec<(String, String)>,
    /// The decoded form, if it is one.
    pub form: Vec<(String, String)>,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: String,
    /// When it came, on the machine's clock.
    pub at: Timestamp,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("host", &self.host).field("line", &self.line).finish_non_exhaustive()
    }
}

impl Request {
    /// From its parts.
    pub fn new(host: &str, parts: &http::request::Parts, body: &[u8]) -> Self {
        let pairs = |text: &[u8]| form_urlencoded::parse(text).into_owned().collect::<Vec<_>>();
        let is_form = header(&parts.headers, "content-type")
            .is_some_and(|media_type| media_type.starts_with("application/x-www-form-urlencoded"));
        Self {
            host: host.to_owned(),
            line: format!("{} {}", parts.method, parts.uri.path()),
            query: pairs(parts.uri.query().unwrap_or_default().as_bytes()),
            form: if is_form { pairs(body) } else { Vec::new() },
            headers: parts.headers.clone(),
            body: String::from_utf8_lossy(body).into_owned(),
            at: SystemClock::read(),
        }
    }

    /// A form parameter.
    pub fn form(&self, name: &str) -> Option<&str> {
        value(&self.form, name)
    }

    fn is_grpc(&self) -> bool {
        header(&self.headers, "content-type").is_some_and(|media_type| media_type.starts_with("application/grpc"))
    }
}

/// The first value of a parameter.
pub fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

struct Scripted {
    exchange: Exchange,
    used: usize,
}

/// Everything that a case knows while it runs.
pub struct State {
    /// `{{name}}`.
    pub variables: Variables,
    /// Every request so far.
    pub requests: Vec<Request>,
    /// What was wrong, the first reason first.
    pub problems: Vec<String>,
    /// How far the case has moved its clock, in milliseconds.
    pub offset: i64,
    /// What the rules remember.
    pub memory: rules::Memory,
    scripted: Vec<Scripted>,
}

/// The script of one case, shared by its listeners and its steps.
pub struct Script {
    state: Mutex<State>,
    /// Signs tokens.
    pub signer: Signer,
    /// Told of each request.
    pub arrived: Notify,
    otherwise: Option<Otherwise>,
    ordered: bool,
    started: Timestamp,
}

impl Script {
    /// The case's script, before anything has happened.
    ///
    /// # Errors
    /// A fault of the crypto library.
    pub fn new(case: &Case, variables: Variables) -> Verdict<Arc<Self>> {
        let scripted = case.exchanges.iter().map(|exchange| Scripted { exchange: exchange.clone(), used: 0 }).collect();
        Ok(Arc::new(Self {
            state: Mutex::new(State {
                variables,
                requests: Vec::new(),
                problems: Vec::new(),
                offset: 0,
                memory: rules::Memory::default(),
                scripted,
            }),
            signer: Signer::new()?,
            arrived: Notify::new(),
            otherwise: case.otherwise,
            ordered: case.ordered,
            started: SystemClock::read(),
        }))
    }

    /// The state. Never held across an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time as the SDK under test sees it.
    pub fn now(&self) -> Timestamp {
        moved(SystemClock::read(), self.state().offset)
    }

    /// When a value may have been made that exists now.
    pub fn window(&self) -> Window {
        let offset = self.state().offset;
        Window { from: moved(self.started, offset), to: moved(SystemClock::read(), offset) }
    }

    /// Judges a request and gives its reply.
    pub fn answer(&self, request: Request) -> Planned {
        let (now, window) = (self.now(), self.window());
        let mut state = self.state();
        let planned = self.planned(&mut state, &request, now, window);
        state.requests.push(request);
        drop(state);
        self.arrived.notify_waiters();
        planned
    }

    fn planned(&self, state: &mut State, request: &Request, now: Timestamp, window: Window) -> Planned {
        let grpc = request.is_grpc();
        if let Err(problem) = rules::request(request, &mut state.memory) {
            state.problems.push(format!("{}: {problem}", request.line));
        }
        let Some(at) = self.chosen(state, request, window) else {
            if self.otherwise.is_none() {
                let form: Vec<&str> = request.form.iter().map(|(name, _)| name.as_str()).collect();
                let said = request.form("grant_type").map(|grant| format!(" grant_type={grant}")).unwrap_or_default();
                state.problems.push(format!(
                    "a request that the case does not expect: {} at {}{said} (form: {form:?})",
                    request.line, request.host
                ));
            }
            if let Err(problem) = rules::no_credentials(request, &Map::new()) {
                state.problems.push(format!("{}: {problem}", request.line));
            }
            return Planned::not_here(grpc);
        };
        let State { scripted, variables, problems, memory, .. } = state;
        let scripted = &mut scripted[at];
        scripted.used += 1;
        let exchange = &scripted.exchange;
        let mut matching = Matching { variables, window };
        let judged = wanted(&mut matching, &exchange.expect, request)
            .and_then(|()| rules::no_credentials(request, &exchange.expect.headers));
        if let Err(problem) = judged {
            problems.push(format!("{}: {problem}", request.line));
        }
        match Planned::new(&exchange.reply, variables, now, &self.signer) {
            Ok(planned) => {
                memory.replied(request, planned.refresh_token());
                planned
            }
            Err(problem) => {
                problems.push(format!("{}: the reply cannot be made: {problem}", request.line));
                Planned::not_here(grpc)
            }
        }
    }

    /// The first exchange that is for this request and has uses left; else the last that is for it, so that one request
    /// too many is told as that.
    fn chosen(&self, state: &mut State, request: &Request, window: Window) -> Option<usize> {
        let mut spent = None;
        for at in 0..state.scripted.len() {
            let Scripted { exchange, used } = &state.scripted[at];
            if exchange.on != request.line || exchange.host != request.host {
                continue;
            }
            if let Some(when) = exchange.when.clone()
                && wanted(&mut Matching { variables: &mut state.variables.clone(), window }, &when, request).is_err()
            {
                continue;
            }
            if *used >= exchange.times.max() {
                spent = Some(at);
                continue;
            }
            if self.ordered
                && let Some(before) =
                    state.scripted[..at].iter().find(|before| before.used < before.exchange.times.min())
            {
                let problem = format!("{} came before {}", request.line, before.exchange.on);
                state.problems.push(problem);
            }
            return Some(at);
        }
        if let Some(at) = spent {
            let count = state.scripted[at].used + 1;
            state.problems.push(format!("{} came {count} times", request.line));
        }
        spent
    }

    /// What is wrong at the end of the case.
    ///
    /// # Errors
    /// The first reason.
    pub fn verdict(&self) -> Verdict {
        let state = self.state();
        if let Some(problem) = state.problems.first() {
            return Err(problem.clone());
        }
        for Scripted { exchange, used } in &state.scripted {
            if *used < exchange.times.min() {
                return Err(format!("{} came {used} times, not {}", exchange.on, exchange.times.min()));
            }
        }
        Ok(())
    }

    /// Requests of this line to this host.
    pub fn count(&self, host: &str, line: &str) -> usize {
        self.state().requests.iter().filter(|request| request.host == host && request.line == line).count()
    }
}

fn moved(time: Timestamp, offset: i64) -> Timestamp {
    Timestamp::from_millis(time.as_millis().saturating_add(offset))
}

/// Compares a request with what is wanted of it.
fn wanted(matching: &mut Matching<'_>, wanted: &Wanted, request: &Request) -> Verdict {
    if let Some(exact) = &wanted.form {
        pairs(matching, "form", exact, &request.form)?;
    }
    if let Some(exact) = &wanted.query {
        pairs(matching, "query", exact, &request.query)?;
    }
    for (name, value) in &wanted.form_has {
        matching.text(&format!("form parameter {name}"), value, request.form(name))?;
    }
    for (name, value) in &wanted.headers {
        matching.text(&format!("header {name}"), value, header(&request.headers, name))?;
    }
    match &wanted.body {
        Some(body) if *body != request.body => Err("the body is another one".to_owned()),
        _ => Ok(()),
    }
}

/// Exactly these parameters, in any order.
///
/// # Errors
/// The reason.
pub fn pairs(
    matching: &mut Matching<'_>,
    what: &str,
    wanted: &Map<String, Value>,
    found: &[(String, String)],
) -> Verdict {
    for (name, wanted) in wanted {
        matching.text(&format!("{what} parameter {name}"), wanted, value(found, name))?;
    }
    let known: HashSet<&String> = wanted.keys().collect();
    match found.iter().find(|(name, _)| !known.contains(name)) {
        Some((name, _)) => Err(format!("{what} parameter {name} was not expected")),
        None => Ok(()),
    }
}
