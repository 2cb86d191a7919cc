use super::*;

const STATE: &str = "s-7f3a";
const ISSUER: &str = "https://idp.example";

fn expected(iss_required: bool) -> Expected {
    Expected { path: "/callback".into(), state: STATE.into(), issuer: Some(ISSUER.into()), iss_required }
}

fn code(code: &str) -> Outcome {
    Outcome::Done(Answer::Code(AuthorizationCode::new(code)))
}

fn error(error: &str, description: Option<&str>) -> Outcome {
    Outcome::Done(Answer::Error { error: error.into(), description: description.map(str::to_owned) })
}

fn unusable(refusal: Refusal) -> Outcome {
    Outcome::Done(Answer::Unusable(refusal))
}

#[test]
fn requests() {
    use Outcome::{Invalid, NotOurs};
    let long = "c".repeat(MAX_CODE);
    let table: &[(String, Outcome)] = &[
        ("/callback?code=abc&state=s-7f3a".into(), code("abc")),
        ("http://localhost:53593/callback?code=abc&state=s-7f3a".into(), code("abc")),
        ("/callback?state=s-7f3a&code=a%2Bb+c%3D".into(), code("a+b c=")),
        ("/callback?code=abc&state=s-7f3a&iss=https%3A%2F%2Fidp.example&session_state=x".into(), code("abc")),
        (format!("/callback?code={long}&state={STATE}"), code(&long)),
        (format!("/callback?code={long}c&state={STATE}"), unusable(Refusal::TooLarge)),
        (format!("/callback?code={long}{long}&state={STATE}"), Invalid(Refusal::TooLarge)),
        ("/".into(), NotOurs),
        ("/favicon.ico".into(), NotOurs),
        ("/callback/?code=abc&state=s-7f3a".into(), NotOurs),
        ("http://localhost:53593".into(), NotOurs),
        ("/x?next=http://localhost/callback?code=abc".into(), NotOurs),
        ("/callback".into(), Invalid(Refusal::NoState)),
        ("/callback?code=abc".into(), Invalid(Refusal::NoState)),
        ("/callback?error=access_denied".into(), Invalid(Refusal::NoState)),
        ("/callback?code=abc&state=".into(), Invalid(Refusal::NoState)),
        ("/callback?code=abc&state=s-7f3".into(), Invalid(Refusal::WrongState)),
        ("/callback?code=abc&state=s-7f3ab".into(), Invalid(Refusal::WrongState)),
        ("/callback?error=access_denied&state=wrong".into(), Invalid(Refusal::WrongState)),
        ("/callback?code=abc&state=s-7f3a&state=wrong".into(), Invalid(Refusal::Duplicate)),
        ("/callback?code=abc&state=wrong&state=s-7f3a".into(), Invalid(Refusal::Duplicate)),
        ("/callback?code=abc&code=def&state=s-7f3a".into(), unusable(Refusal::Duplicate)),
        ("/callback?code=abc&state=s-7f3a&x=1&x=1".into(), unusable(Refusal::Duplicate)),
        ("/callback?state=s-7f3a".into(), unusable(Refusal::Empty)),
        ("/callback?code=&state=s-7f3a".into(), unusable(Refusal::Empty)),
        ("/callback?code=abc&state=s-7f3a&iss=https://evil.example".into(), unusable(Refusal::WrongIssuer)),
        ("/callback?code=abc&state=s-7f3a&iss=https://idp.example/".into(), unusable(Refusal::WrongIssuer)),
        ("/callback?error=access_denied&state=s-7f3a&iss=https://evil".into(), unusable(Refusal::WrongIssuer)),
        ("/callback?error=access_denied&state=s-7f3a".into(), error("access_denied", None)),
        ("/callback?error=access_denied&code=abc&state=s-7f3a".into(), error("access_denied", None)),
        ("/callback?error=&code=abc&state=s-7f3a".into(), code("abc")),
        ("/callback?error=x&error_description=no%1b%5b31m+way%0a&state=s-7f3a".into(), error("x", Some("no [31m way"))),
    ];
    for (target, outcome) in table {
        assert_eq!(from_request(target, None, &expected(false)), *outcome, "{target}");
    }
}

#[test]
fn form_post_counts_alone() {
    let form: &[u8] = b"code=abc&state=s-7f3a";
    assert_eq!(from_request("/callback", Some(form), &expected(false)), code("abc"));
    assert_eq!(from_request("/callback?code=evil&state=s-7f3a", Some(form), &expected(false)), code("abc"));
    assert_eq!(
        from_request("/callback?code=abc&state=s-7f3a", Some(b""), &expected(false)),
        Outcome::Invalid(Refusal::NoState)
    );
    assert_eq!(from_request("/other", Some(form), &expected(false)), Outcome::NotOurs);
    assert_eq!(
        from_request("/callback", Some(b"\xff=\xfe&code=%ff"), &expected(false)),
        Outcome::Invalid(Refusal::NoState)
    );
}

#[test]
fn the_issuer_where_it_is_announced() {
    let required = expected(true);
    let ask = |target: &str| from_request(target, None, &required);
    assert_eq!(ask("/callback?code=abc&state=s-7f3a"), unusable(Refusal::NoIssuer));
    assert_eq!(ask("/callback?error=access_denied&state=s-7f3a"), unusable(Refusal::NoIssuer));
    assert_eq!(ask("/callback?code=abc&state=s-7f3a&iss=https://idp.example"), code("abc"));
    // A wrong state outweighs everything: a stranger must not end the wait.
    assert_eq!(ask("/callback?code=abc&state=x"), Outcome::Invalid(Refusal::WrongState));
    let unknown = Expected { issuer: None, ..expected(false) };
    assert_eq!(from_request("/callback?code=abc&state=s-7f3a&iss=https://any", None, &unknown), code("abc"));
}

#[test]
fn pasted_lines() {
    use Outcome::Invalid;
    let bare = "4/0AeanS0b-Xq_=~.mQ";
    let table: &[(&str, Outcome)] = &[
        ("http://localhost:53593/callback?code=abc&state=s-7f3a", code("abc")),
        ("  \"http://localhost:53593/callback?code=abc&state=s-7f3a#_=_\"\r\n", code("abc")),
        ("\u{1b}[200~<http://localhost:53593/callback?code=abc&state=s-7f3a>\u{1b}[201~", code("abc")),
        ("localhost:53593/callback?code=abc&state=s-7f3a", code("abc")),
        ("https://app.example/done#code=abc&state=s-7f3a", code("abc")),
        ("?code=abc&state=s-7f3a", code("abc")),
        ("code=abc&state=s-7f3a", code("abc")),
        ("state=s-7f3a&error=access_denied", error("access_denied", None)),
        ("http://localhost:53593/callback?code=abc&state=old", Invalid(Refusal::WrongState)),
        ("http://localhost:53593/callback?code=abc", Invalid(Refusal::NoState)),
        ("https://idp.example/auth?response_type=code&state=s-7f3a", Invalid(Refusal::AuthorizationUrl)),
        ("http://localhost:53593/callback", Invalid(Refusal::NoAnswer)),
        ("localhost:53593/callback", Invalid(Refusal::NoAnswer)),
        ("this is not it", Invalid(Refusal::NoAnswer)),
        ("a sentence that is long enough for a code", Invalid(Refusal::NoAnswer)),
        ("yes", Invalid(Refusal::NoAnswer)),
        ("", Invalid(Refusal::NoAnswer)),
        (bare, code(bare)),
    ];
    for (line, outcome) in table {
        assert_eq!(from_paste(line, &expected(false)), *outcome, "{line}");
    }
    assert_eq!(from_paste(bare, &expected(true)), Invalid(Refusal::BareCode));
    assert_eq!(from_paste(&"c".repeat(MAX_CODE + 1), &expected(false)), Invalid(Refusal::TooLarge));
    assert_eq!(from_paste(&"c".repeat(MAX_ANSWER + 1), &expected(false)), Invalid(Refusal::TooLarge));
}

#[test]
fn a_code_is_not_printed() {
    assert!(!format!("{:?}", code("canary")).contains("canary"));
}
