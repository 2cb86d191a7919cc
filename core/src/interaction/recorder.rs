//! A person for tests: keeps what was shown, pastes what was prepared, and then nothing more.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;

use super::{LoginEvent, UserInteraction};

/// The person.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    shown: Mutex<Vec<LoginEvent>>,
    pastes: Mutex<VecDeque<String>>,
}

impl Recorder {
    pub(crate) fn pasting(lines: &[&str]) -> Self {
        Self { pastes: Mutex::new(lines.iter().map(ToString::to_string).collect()), ..Self::default() }
    }

    pub(crate) fn shown(&self) -> Vec<LoginEvent> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The explanations, without the countdown.
    pub(crate) fn explained(&self) -> Vec<String> {
        let explanation = |event| match event {
            LoginEvent::Explain(why) => Some(why),
            _ => None,
        };
        self.shown().into_iter().filter_map(explanation).collect()
    }
}

impl UserInteraction for Recorder {
    fn show(&self, event: LoginEvent) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    fn open_browser(&self, _url: &str) -> bool {
        false
    }

    fn pasted<'a>(&'a self) -> BoxFuture<'a, String> {
        let next = self.pastes.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match next {
            Some(line) => Box::pin(std::future::ready(line)),
            None => Box::pin(std::future::pending()),
        }
    }
}
