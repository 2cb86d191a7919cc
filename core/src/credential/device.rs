//! The device authorization grant (RFC 8628), in two steps: [`begin`] gives the code to show, [`PendingDevice::finish`]
//! polls until the person has confirmed it.

use std::fmt;
use std::time::Duration;

use super::countdown::Countdown;
use super::failure::{self, GrantKind};
use super::{Context, TokenSet, exchange_within};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::firewall::Destination;
use crate::interaction::{LoginEvent, UserInteraction};
use crate::protocol::client::Client;
use crate::protocol::grant::{self, Grant, Parameters};
use crate::protocol::pkce;
use crate::protocol::reply::{self, DeviceAuthorization, Problem};
use crate::protocol::secret::CodeVerifier;
use crate::transport::{Call, Purpose};

/// What `slow_down` adds to the interval, for this and all later polls (RFC 8628 section 3.5).
const SLOW_DOWN: Duration = Duration::from_secs(5);
/// The longest pause between two polls after failures, unless the server asks for a longer one.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// Whether PKCE goes with the grant. RFC 8628 does not know it; some servers demand it of clients for which they demand
/// PKCE anywhere (Keycloak), and a strict server may refuse parameters that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PkceOnDevice {
    /// Never.
    Never,
    /// From the first request on.
    Always,
    /// Only after the server has answered `invalid_request` without it: the standard's own form comes first, so that a
    /// strict server is never met with an extension.
    #[default]
    IfDemanded,
}

/// What an attempt needs.
#[derive(Debug, Clone, Copy)]
pub struct BeginDevice<'a> {
    /// The client, with its secret if it has one.
    pub client: &'a Client,
    /// Device authorization endpoint.
    pub device_authorization_endpoint: &'a Destination,
    /// Token endpoint.
    pub token_endpoint: &'a Destination,
    /// Scopes, audience, extras.
    pub parameters: Parameters<'a>,
    /// Whether PKCE is sent.
    pub pkce: PkceOnDevice,
    /// How long the person may take, beside the lifetime of the code.
    pub deadline: Duration,
}

/// A login that waits for the person. Dropping it ends the polling.
pub struct PendingDevice {
    context: Context,
    client: Client,
    token_endpoint: Destination,
    extra: Vec<(String, String)>,
    verifier: Option<CodeVerifier>,
    device: DeviceAuthorization,
    /// When the code itself expires.
    code_expires_at: Timestamp,
    countdown: Countdown,
    interval: Duration,
    /// Polls in a row without an answer.
    failures: u32,
    /// What the last of them asked for.
    retry_after: Option<Duration>,
}

impl fmt::Debug for PendingDevice {
    // Whoever has the user code can confirm another login with it: it is for the person only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingDevice")
            .field("verification_uri", &self.device.verification_uri)
            .field("expires_at", &self.expires_at())
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

/// Asks for a code.
///
/// # Errors
/// The transport's; the error table for an OAuth error or an unusable answer.
pub async fn begin(context: &Context, wanted: BeginDevice<'_>) -> Result<PendingDevice> {
    let verifier = || Some(pkce::code_verifier(&*context.entropy));
    let at_first = if wanted.pkce == PkceOnDevice::Always { verifier() } else { None };
    let asked = match authorize(context, &wanted, at_first).await? {
        // Which parameter is missing is said in words only, and those are not to be judged by.
        Err(Problem::OAuth { error, .. }) if error == "invalid_request" && wanted.pkce == PkceOnDevice::IfDemanded => {
            authorize(context, &wanted, verifier()).await?
        }
        asked => asked,
    };
    let (device, verifier, asked_at) = asked.map_err(|problem| {
        let at = wanted.device_authorization_endpoint.as_str();
        match problem {
            Problem::OAuth { .. } => failure::grant_error(&problem, GrantKind::DeviceCode, at, &wanted.client.id),
            _ => failure::unusable(&problem, Purpose::DeviceAuthorization, at),
        }
    })?;
    let code_expires_at = asked_at.plus(device.expires_in);
    let limit = wanted.deadline.min(code_expires_at.since(context.clock.now()));
    Ok(PendingDevice {
        countdown: Countdown::start(&context.clock, limit, "the sign-in in a browser"),
        context: context.clone(),
        client: wanted.client.clone(),
        token_endpoint: wanted.token_endpoint.clone(),
        extra: wanted.parameters.extra.to_vec(),
        verifier,
        interval: device.interval,
        code_expires_at,
        device,
        failures: 0,
        retry_after: None,
    })
}

type Asked = (DeviceAuthorization, Option<CodeVerifier>, Timestamp);

async fn authorize(
    context: &Context,
    wanted: &BeginDevice<'_>,
    verifier: Option<CodeVerifier>,
) -> Result<std::result::Result<Asked, Problem>> {
    let request = grant::device_authorization_request(
        wanted.device_authorization_endpoint.as_str(),
        wanted.client,
        verifier.as_ref(),
        wanted.parameters,
    )?;
    let asked_at = context.clock.now();
    let reply = context.transport.send(Call::new(Purpose::DeviceAuthorization, request)).await?;
    Ok(reply::device_authorization(&reply).map(|device| (device, verifier, asked_at)))
}

/// What a poll said.
enum Polled {
    Tokens(Box<TokenSet>),
    Pending,
    SlowDown,
    /// No answer, or one that says nothing about the login.
    Failed(Option<Duration>),
}

impl PendingDevice {
    /// The code that the person types.
    pub fn user_code(&self) -> &str {
        &self.device.user_code
    }

    /// Where the person types it.
    pub fn verification_uri(&self) -> &str {
        &self.device.verification_uri
    }

    /// The same with the code in it, if the server gave one.
    pub fn verification_uri_complete(&self) -> Option<&str> {
        self.device.verification_uri_complete.as_deref()
    }

    /// When the wait ends: with the code, or at the caller's deadline.
    pub fn expires_at(&self) -> Timestamp {
        self.countdown.ends_at()
    }

    /// Time between two polls.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// What the person is to be shown.
    pub fn event(&self) -> LoginEvent {
        LoginEvent::UserCode {
            user_code: self.device.user_code.clone(),
            verification_uri: self.device.verification_uri.clone(),
            verification_uri_complete: self.device.verification_uri_complete.clone(),
            expires_at: self.expires_at(),
        }
    }

    /// Polls until the person has confirmed or declined, or the time is over. Lost connections, timeouts, 429 and 5xx
    /// are waited out. May be dropped and called again.
    ///
    /// # Errors
    /// Kind `Cancelled`: `expired_token` when the code has expired, `login_timeout` at the caller's deadline,
    /// `access_denied` if the person declined; the error table for any other OAuth error.
    pub async fn finish(&mut self, person: &dyn UserInteraction) -> Result<TokenSet> {
        loop {
            let pause = self.pause();
            self.countdown.wait(pause, person).await;
            if self.countdown.remaining().is_zero() {
                return Err(self.out_of_time());
            }
            match self.poll().await? {
                Polled::Tokens(tokens) => return Ok(*tokens),
                Polled::Pending => (self.failures, self.retry_after) = (0, None),
                Polled::SlowDown => {
                    self.interval += SLOW_DOWN;
                    (self.failures, self.retry_after) = (0, None);
                }
                Polled::Failed(retry_after) => {
                    self.failures += 1;
                    self.retry_after = retry_after;
                }
            }
        }
    }

    /// Before the next poll: the interval, doubled with each failure in a row (RFC 8628 section 3.5), and never less
    /// than the server asked for.
    fn pause(&self) -> Duration {
        let doubled = self.interval.saturating_mul(2_u32.saturating_pow(self.failures));
        doubled.min(LONGEST_BACKOFF.max(self.interval)).max(self.retry_after.unwrap_or_default())
    }

    async fn poll(&self) -> Result<Polled> {
        let grant = Grant::DeviceCode { code: &self.device.device_code, verifier: self.verifier.as_ref() };
        let parameters = Parameters { extra: &self.extra, ..Parameters::default() };
        // No poll outlives the code: its answer would come too late, and the person would wait for it.
        let left = self.countdown.remaining();
        match exchange_within(&self.context, left, &self.token_endpoint, &self.client, grant, parameters).await {
            Ok(tokens) => Ok(Polled::Tokens(Box::new(tokens))),
            // The code counts, whatever status it came with: 400, another 4xx, 200 and 500 all happen.
            Err(error) => match error.oauth_error() {
                Some("authorization_pending") => Ok(Polled::Pending),
                Some("slow_down") => Ok(Polled::SlowDown),
                Some("expired_token") => Err(self.out_of_time()),
                _ if error.is_retryable() => Ok(Polled::Failed(error.retry_after())),
                _ => Err(error),
            },
        }
    }

    /// The code's own end and the caller's deadline are told apart: one is the server's setting, the other ours.
    fn out_of_time(&self) -> Error {
        if self.expires_at() < self.code_expires_at && self.countdown.remaining().is_zero() {
            return Error::new(ErrorKind::Cancelled, "login_timeout", "nobody signed in before the deadline")
                .with_next("Try again, with more time (--timeout)");
        }
        Error::new(ErrorKind::Cancelled, "expired_token", "the code has expired before it was confirmed")
            .with_next("Try again and confirm the new code in time")
    }
}

#[cfg(test)]
mod tests;
