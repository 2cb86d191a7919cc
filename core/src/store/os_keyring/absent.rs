//! Platforms without a keyring for command-line programs.

use std::time::Duration;

use super::{ANSWER, Answer, Item, Request, absent};
use crate::error::Result;

pub(super) fn longest(_unlock: bool) -> Duration {
    ANSWER
}

pub(super) fn run(_item: &Item, _request: Request, _unlock: bool) -> Result<Answer> {
    Err(absent("this platform has none for command-line programs"))
}
