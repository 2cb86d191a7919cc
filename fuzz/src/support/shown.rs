//! Checks of what is shown to people and written into logs.

use std::collections::HashSet;

/// A shorter text says nothing: words of an error occur in inputs too.
const TELLING: usize = 16;

/// Nothing of `input` that is long enough to tell something is in `shown`. `public` are texts that may be shown, because
/// they are words of our messages or meant for the person.
pub(crate) fn assert_not_repeated(input: &[u8], shown: &str, public: &[&str]) {
    let mut shown = shown.to_owned();
    for text in public.iter().filter(|text| !text.is_empty()) {
        shown = shown.replace(text, "\u{0}");
    }
    // The engine writes what it sees compared into the next inputs, our messages too: it sees numbers here.
    let told: HashSet<u64> = input.windows(TELLING).map(mixed).collect();
    for part in shown.as_bytes().windows(TELLING).filter(|part| !part.contains(&0)) {
        assert!(!told.contains(&mixed(part)), "{:?} of the input is shown: {shown}", String::from_utf8_lossy(part));
    }
}

/// A number for a part of a text, from which the text cannot be seen.
fn mixed(part: &[u8]) -> u64 {
    part.iter().fold(0xcbf2_9ce4_8422_2325, |all, byte| (all ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A secret is in no text that is shown; too short a one would be found anywhere.
pub(crate) fn assert_hidden(secret: &str, shown: &str) {
    assert!(secret.len() < TELLING || !shown.contains(secret), "a secret is shown: {shown}");
}

/// Fit for one line of a terminal: no control characters, so no escape sequences.
pub(crate) fn assert_one_line(shown: &str) {
    assert!(!shown.contains(char::is_control), "control characters are shown: {shown:?}");
}

/// An error as it is shown and as it is logged.
pub(crate) fn both(error: &flyte_auth::Error) -> String {
    assert_one_line(&error.to_string());
    format!("{error} {error:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_is_noticed() {
        let repeats = |input: &str, shown: &str, public: &[&str]| {
            std::panic::catch_unwind(|| assert_not_repeated(input.as_bytes(), shown, public)).is_err()
        };
        assert!(repeats("a password of sixteen", "it was: password of sixteen.", &[]));
        assert!(!repeats("a password of sixteen", "it was: password of s", &[]));
        assert!(!repeats("at https://idp.example", "cannot reach https://idp.example", &["https://idp.example"]));
    }
}
