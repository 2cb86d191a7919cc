//! Checks of what is shown to people and written into logs.

/// A shorter text says nothing: words of an error occur in inputs too.
const TELLING: usize = 16;

/// Nothing of `input` that is long enough to tell something is in `shown`. `public` are texts that may be shown, because
/// they are words of our messages or meant for the person.
pub(crate) fn assert_not_repeated(input: &[u8], shown: &str, public: &[&str]) {
    let mut shown = shown.to_owned();
    for text in public.iter().filter(|text| !text.is_empty()) {
        shown = shown.replace(text, "\u{0}");
    }
    let input = String::from_utf8_lossy(input);
    for part in shown.as_bytes().windows(TELLING) {
        if part.contains(&0) {
            continue;
        }
        let repeated = std::str::from_utf8(part).is_ok_and(|part| input.contains(part));
        assert!(!repeated, "{:?} of the input is shown: {shown}", String::from_utf8_lossy(part));
    }
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
