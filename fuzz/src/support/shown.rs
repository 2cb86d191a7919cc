//! Checks of what is shown to people and written into logs.

use std::collections::HashSet;

/// A shorter text says nothing: words of an error occur in inputs too.
const TELLING: usize = 16;

// The engine writes what it sees compared into the next inputs, words of our messages too, and would then find them
// there. So texts are compared as numbers here.

/// Nothing of `input` that is long enough to tell something is in `shown`. `public` are texts that may be shown, because
/// they are words of our messages or meant for the person.
pub(crate) fn assert_not_repeated(input: &[u8], shown: &str, public: &[&str]) {
    let told: HashSet<u64> = numbers(input, TELLING).collect();
    let mut hidden = vec![false; shown.len()];
    for text in public.iter().filter(|text| !text.is_empty()) {
        for at in places(text, shown) {
            hidden[at..at + text.len()].fill(true);
        }
    }
    for (at, number) in numbers(shown.as_bytes(), TELLING).enumerate() {
        let part = at..at + TELLING;
        let repeated = told.contains(&number) && !hidden[part.clone()].contains(&true);
        assert!(!repeated, "{:?} of the input is shown: {shown}", String::from_utf8_lossy(&shown.as_bytes()[part]));
    }
}

/// A secret is in no text that is shown; too short a one would be found anywhere.
pub(crate) fn assert_hidden(secret: &str, shown: &str) {
    assert!(secret.len() < TELLING || !says(shown, secret), "a secret is shown: {shown}");
}

/// Whether `text` is in `shown`.
pub(crate) fn says(shown: &str, text: &str) -> bool {
    places(text, shown).next().is_some()
}

/// Where `text` is in `shown`.
fn places(text: &str, shown: &str) -> impl Iterator<Item = usize> {
    let wanted = numbers(text.as_bytes(), text.len()).next();
    let found = numbers(shown.as_bytes(), text.len()).enumerate();
    found.filter(move |(_, number)| Some(*number) == wanted).map(|(at, _)| at)
}

/// A number for each part of this length, made from that of the part before it (Rabin and Karp).
fn numbers(text: &[u8], length: usize) -> impl Iterator<Item = u64> {
    const BASE: u64 = 0x0100_0000_01b3;
    let add = |number: u64, byte: u8| number.wrapping_mul(BASE).wrapping_add(u64::from(byte) + 1);
    let leaving = (0..length).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    let first = text.get(..length).filter(|part| !part.is_empty()).map(|part| part.iter().copied().fold(0, add));
    let steps = text.iter().zip(text.iter().skip(length));
    let rest = steps.scan(first.unwrap_or_default(), move |number, (old, new)| {
        *number = add(*number, *new).wrapping_sub((u64::from(*old) + 1).wrapping_mul(leaving));
        Some(*number)
    });
    first.into_iter().chain(rest.take(if first.is_some() { usize::MAX } else { 0 }))
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
        assert!(says("one two three", "two three") && says("x", "x") && !says("one", "one two") && !says("one", "two"));
    }
}
