//! The authorization code grant with PKCE (RFC 6749 section 4.1, RFC 7636, RFC 8252), in two steps: [`begin`] gives the
//! URL, [`PendingAuthorizationCode::finish`] waits for the answer.

use std::fmt;
use std::time::Duration;

use super::countdown::Countdown;
use super::failure::{self, GrantKind};
use super::loopback::{Loopback, Redirect};
use super::{Context, TokenSet, exchange};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::firewall::Destination;
use crate::interaction::{LoginEvent, UserInteraction};
use crate::protocol::callback::{self, Answer, Expected, Outcome, Refusal};
use crate::protocol::client::Client;
use crate::protocol::grant::{self, AuthorizationRequest, Grant, Parameters};
use crate::protocol::pkce;
use crate::protocol::reply::Problem;
use crate::protocol::secret::{AuthorizationCode, CodeVerifier};

/// Between two pasted lines.
const PASTE_PAUSE: Duration = Duration::from_millis(50);

/// Whether to listen on the loopback redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Listen {
    /// Yes; a port that cannot be had ends the attempt (`port_busy`), and the next step of the ladder follows.
    Required,
    /// If the port can be had: the answer may also be pasted.
    IfPossible,
    /// No: the answer is pasted.
    No,
}

/// What an attempt needs.
#[derive(Debug, Clone, Copy)]
pub struct BeginAuthorizationCode<'a> {
    /// The client, with its secret if it has one.
    pub client: &'a Client,
    /// The registered redirect URI.
    pub redirect_uri: &'a str,
    /// Authorization endpoint.
    pub authorization_endpoint: &'a str,
    /// Token endpoint.
    pub token_endpoint: &'a Destination,
    /// The issuer, where it is known: `iss` of the answer is compared with it (RFC 9207).
    pub issuer: Option<&'a str>,
    /// The issuer's own metadata announces `iss` (`authorization_response_iss_parameter_supported`).
    pub iss_required: bool,
    /// Scopes, audience, extras.
    pub parameters: Parameters<'a>,
    /// How long the person may take.
    pub deadline: Duration,
    /// Whether to listen.
    pub listen: Listen,
}

/// A login that waits for the person. Dropping it cancels the login and frees the port at once.
pub struct PendingAuthorizationCode {
    context: Context,
    client: Client,
    token_endpoint: Destination,
    authorization_endpoint: String,
    extra: Vec<(String, String)>,
    url: String,
    redirect_uri: String,
    expected: Expected,
    verifier: CodeVerifier,
    nonce: Option<String>,
    countdown: Countdown,
    loopback: Option<Loopback>,
    not_listening: Option<Error>,
    /// The answer has come: a code is good for one exchange.
    answered: bool,
}

impl fmt::Debug for PendingAuthorizationCode {
    // The URL holds `state`, which is as good as a key to this login until it is used.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingAuthorizationCode")
            .field("redirect_uri", &self.redirect_uri)
            .field("expires_at", &self.expires_at())
            .field("listening", &self.is_listening())
            .finish_non_exhaustive()
    }
}

/// What a completed login yields.
pub struct SignedIn {
    /// The tokens. An ID token is not validated yet.
    pub tokens: TokenSet,
    /// The `nonce` that the ID token must carry, if the scope `openid` was asked for.
    pub nonce: Option<String>,
}

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

/// Starts an attempt with a fresh `state`, `nonce` and code verifier, and listens on the loopback redirect.
///
/// # Errors
/// `metadata_invalid` if an endpoint or the redirect URI is not a URL; with [`Listen::Required`] `port_busy`,
/// `port_unavailable`, or `redirect_elsewhere` for a redirect that this machine cannot listen on.
pub async fn begin(context: &Context, wanted: BeginAuthorizationCode<'_>) -> Result<PendingAuthorizationCode> {
    let redirect = Redirect::parse(wanted.redirect_uri)?;
    let (loopback, not_listening) = match listen(&redirect, wanted.listen).await {
        Ok(loopback) => (loopback, None),
        Err(cause) if wanted.listen == Listen::IfPossible => (None, Some(cause)),
        Err(cause) => return Err(cause),
    };
    let redirect_uri = redirect.uri(loopback.as_ref().map(Loopback::port));
    let entropy = &*context.entropy;
    let state = pkce::random_string(entropy);
    let openid = wanted.parameters.scopes.iter().any(|scope| scope == "openid");
    let nonce = openid.then(|| pkce::random_string(entropy));
    let verifier = pkce::code_verifier(entropy);
    let url = grant::authorization_url(AuthorizationRequest {
        endpoint: wanted.authorization_endpoint,
        client_id: &wanted.client.id,
        redirect_uri: &redirect_uri,
        state: &state,
        nonce: nonce.as_deref(),
        verifier: &verifier,
        parameters: wanted.parameters,
    })?;
    Ok(PendingAuthorizationCode {
        context: context.clone(),
        client: wanted.client.clone(),
        token_endpoint: wanted.token_endpoint.clone(),
        authorization_endpoint: wanted.authorization_endpoint.to_owned(),
        extra: wanted.parameters.extra.to_vec(),
        url: url.into(),
        expected: Expected {
            path: redirect.path().to_owned(),
            state,
            issuer: wanted.issuer.map(str::to_owned),
            iss_required: wanted.iss_required,
        },
        redirect_uri,
        verifier,
        nonce,
        countdown: Countdown::start(&context.clock, wanted.deadline, "the browser"),
        loopback,
        not_listening,
        answered: false,
    })
}

async fn listen(redirect: &Redirect, listen: Listen) -> Result<Option<Loopback>> {
    match listen {
        Listen::No => Ok(None),
        Listen::IfPossible | Listen::Required if redirect.is_loopback() => Loopback::bind(redirect).await.map(Some),
        // That is how the client is registered, nothing to explain.
        Listen::IfPossible => Ok(None),
        Listen::Required => Err(Error::config(
            "redirect_elsewhere",
            "redirect_uri",
            format!("the browser returns to {}, not to this machine", failure::place(&redirect.uri(None))),
        )
        .with_next("Use --flow paste, or register http://localhost:53593/callback for this client")),
    }
}

/// How the wait ended.
enum Ended {
    Answered(Answer, Option<super::loopback::Arrived>),
    TimedOut,
}

impl PendingAuthorizationCode {
    /// The URL that the person opens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the browser returns, as sent.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// When the wait ends.
    pub fn expires_at(&self) -> Timestamp {
        self.countdown.ends_at()
    }

    /// Whether the answer can come by itself; otherwise it must be pasted.
    pub fn is_listening(&self) -> bool {
        self.loopback.is_some()
    }

    /// Why the loopback redirect is not listened on although [`Listen::IfPossible`] asked for it (`port_busy`): the
    /// answer must then be pasted.
    pub fn why_not_listening(&self) -> Option<&Error> {
        self.not_listening.as_ref()
    }

    /// The port of the loopback redirect, while it is listened on.
    pub fn port(&self) -> Option<u16> {
        self.loopback.as_ref().map(Loopback::port)
    }

    /// Waits for whichever comes first: the browser at the loopback redirect, a pasted line, the deadline. A line or
    /// request that is no answer of this login is explained to `person`, and the wait goes on. May be dropped and called
    /// again until the answer has come.
    ///
    /// # Errors
    /// Kind `Cancelled`: `login_timeout` at the deadline, `access_denied` if the person or the server declined; the
    /// error table for any other `error` of the authorization endpoint (RFC 6749 section 4.1.2.1) and for the exchange;
    /// kind `Denied`, code `callback_invalid`, for an answer that fails its checks.
    pub async fn finish(&mut self, person: &dyn UserInteraction) -> Result<SignedIn> {
        self.finish_and(person, async |signed_in| Ok(signed_in)).await
    }

    /// As [`Self::finish`]; the browser is told how it ended only after `keep` has checked and saved what came.
    ///
    /// # Errors
    /// As [`Self::finish`], and those of `keep`.
    pub async fn finish_and<T>(
        &mut self,
        person: &dyn UserInteraction,
        keep: impl AsyncFnOnce(SignedIn) -> Result<T>,
    ) -> Result<T> {
        self.not_answered_yet()?;
        let ended = {
            let Self { loopback, expected, countdown, .. } = self;
            tokio::select! {
                // An answer that is there counts even at the deadline.
                biased;
                arrived = from_browser(loopback.as_ref(), expected, person) => {
                    Ended::Answered(arrived.answer.clone(), Some(arrived))
                }
                answer = from_person(expected, person) => Ended::Answered(answer, None),
                () = countdown.run_out(person) => Ended::TimedOut,
            }
        };
        // RFC 8252 section 8.3: the port is closed as soon as the answer is there.
        self.loopback = None;
        match ended {
            Ended::TimedOut => Err(timed_out()),
            Ended::Answered(answer, browser) => {
                let result = match self.conclude(answer).await {
                    Ok(signed_in) => keep(signed_in).await,
                    Err(error) => Err(error),
                };
                if let Some(browser) = browser {
                    browser.conclude(result.is_ok()).await;
                }
                result
            }
        }
    }

    /// Ends the login with a line that the person pasted somewhere else: the redirect URL, its query, or the code.
    ///
    /// # Errors
    /// `paste_invalid` (kind `Config`) if it is no answer of this login: the wait may go on with another line. Then as
    /// [`Self::finish`].
    pub async fn finish_pasted(&mut self, line: &str) -> Result<SignedIn> {
        self.not_answered_yet()?;
        if self.countdown.remaining().is_zero() {
            self.loopback = None;
            return Err(timed_out());
        }
        match callback::from_paste(line, &self.expected) {
            Outcome::Done(answer) => {
                self.loopback = None;
                self.conclude(answer).await
            }
            Outcome::Invalid(refusal) => Err(paste_refused(refusal)),
            Outcome::NotOurs => Err(paste_refused(Refusal::NoAnswer)),
        }
    }

    fn not_answered_yet(&self) -> Result<()> {
        if self.answered {
            return Err(Error::new(ErrorKind::Cancelled, "login_over", "this login has ended already")
                .with_next("Begin another one"));
        }
        Ok(())
    }

    async fn conclude(&mut self, answer: Answer) -> Result<SignedIn> {
        self.answered = true;
        match answer {
            Answer::Code(code) => self.exchange(&code).await,
            Answer::Error { error, description } => {
                // Not a reply with a status: 400 is what RFC 6749 gives an error of its own.
                let problem = Problem::OAuth { error, description, status: 400, retry_after: None };
                let at = &self.authorization_endpoint;
                Err(failure::grant_error(&problem, GrantKind::AuthorizationCode, at, &self.client.id))
            }
            Answer::Unusable(refusal) => Err(Error::new(
                ErrorKind::Denied,
                "callback_invalid",
                format!("the authorization server's answer was refused: {refusal}"),
            )
            .with_endpoint(failure::place(&self.authorization_endpoint))
            .with_next("Try again; if it stays, report it to the administrator of the authorization server")),
        }
    }

    async fn exchange(&self, code: &AuthorizationCode) -> Result<SignedIn> {
        let grant = Grant::AuthorizationCode { code, verifier: &self.verifier, redirect_uri: &self.redirect_uri };
        let parameters = Parameters { extra: &self.extra, ..Parameters::default() };
        let tokens = exchange(&self.context, &self.token_endpoint, &self.client, grant, parameters).await?;
        Ok(SignedIn { tokens, nonce: self.nonce.clone() })
    }
}

/// The answer at the loopback redirect. What is refused is told once per reason: any page could send more.
async fn from_browser(
    loopback: Option<&Loopback>,
    expected: &Expected,
    person: &dyn UserInteraction,
) -> super::loopback::Arrived {
    let Some(loopback) = loopback else { return std::future::pending().await };
    let mut told = Vec::new();
    let refused = |refusal: Refusal| {
        if !told.contains(&refusal) {
            told.push(refusal);
            let why =
                format!("A browser sent an answer that was not taken: {refusal}. Still waiting for the right one.");
            person.show(LoginEvent::Explain(why));
        }
    };
    loopback.answer(expected, refused).await
}

/// The answer as a pasted line.
async fn from_person(expected: &Expected, person: &dyn UserInteraction) -> Answer {
    loop {
        let line = person.pasted().await;
        let refusal = match callback::from_paste(&line, expected) {
            Outcome::Done(answer) => return answer,
            Outcome::Invalid(refusal) => refusal,
            Outcome::NotOurs => Refusal::NoAnswer,
        };
        // An empty line is a slip of the Enter key, not worth a word.
        if !line.trim().is_empty() {
            person.show(LoginEvent::Explain(paste_refused(refusal).to_string()));
        }
        // Input that never blocks (a closed pipe) must not take the processor, nor the other two ends of the race.
        tokio::time::sleep(PASTE_PAUSE).await;
    }
}

fn paste_refused(refusal: Refusal) -> Error {
    Error::new(ErrorKind::Config, "paste_invalid", format!("what was pasted was not taken: {refusal}"))
        .with_next("Paste the whole address that the browser ends at after signing in (it holds `code=` and `state=`)")
}

fn timed_out() -> Error {
    Error::new(ErrorKind::Cancelled, "login_timeout", "nobody signed in before the deadline")
        .with_next("Try again, with more time (--timeout)")
}

#[cfg(test)]
mod tests;
