//! Turns what reqwest, hyper and rustls report into one typed failure with a next step. Judged by types where there are
//! any; the words are for the person.

use std::error::Error as StdError;
use std::io;

use super::{Failure, FailureKind, Purpose};
use crate::error::{Error, ErrorKind};

/// What a call was, as far as a failure depends on it.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) purpose: Purpose,
    /// Where it went.
    pub(super) place: &'a str,
    /// By TLS.
    pub(super) tls: bool,
    /// HTTP/2 was spoken without asking.
    pub(super) prior_knowledge: bool,
    /// `host:port` of the proxy it went through.
    pub(super) proxy: Option<&'a str>,
    /// The head of the answer has come.
    pub(super) answered: bool,
}

/// The typed failure of a call.
pub(super) fn classify(cause: reqwest::Error, attempt: &Attempt<'_>) -> Failure {
    let host = host_of(attempt.place);
    let purpose = attempt.purpose;
    let (kind, code, why, next) = reason(&cause, &host, attempt);
    let error_kind = if kind == FailureKind::Protocol { ErrorKind::Server } else { ErrorKind::Network };
    let error = Error::new(error_kind, code, format!("no answer from {host} ({}): {why}", purpose.words()))
        .with_endpoint(host)
        .with_next(next)
        // Certificates do not mend themselves; a handshake that broke off may work the next time.
        .with_retryable(code == "tls" || !matches!(kind, FailureKind::Tls | FailureKind::Protocol))
        // The chain may name the whole URL, whose query can hold a state or a code.
        .with_source(cause.without_url());
    Failure { kind, error }
}

fn host_of(place: &str) -> String {
    let rest = place.split_once("://").map_or(place, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest).to_owned()
}

type Reason = (FailureKind, &'static str, String, String);

fn reason(cause: &reqwest::Error, host: &str, attempt: &Attempt<'_>) -> Reason {
    if let Some(error) = find::<rustls::Error>(cause) {
        return tls_reason(error, host);
    }
    let os = find::<io::Error>(cause);
    if cause.is_timeout() || os.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
        return (
            FailureKind::Timeout,
            "timeout",
            "the deadline passed".to_owned(),
            "Check the address, the VPN and the proxy, then try again".to_owned(),
        );
    }
    if cause.is_connect() {
        return match attempt.proxy {
            Some(proxy) => proxy_reason(cause, proxy),
            None => connect_reason(cause, host, attempt.tls),
        };
    }
    // A server of HTTP/1 answers HTTP/2's greeting with anything, or hangs up.
    let garbage = attempt.prior_knowledge || find::<hyper::Error>(cause).is_some_and(hyper::Error::is_parse);
    if garbage && !attempt.answered {
        let next = if attempt.tls {
            "Check the port".to_owned()
        } else {
            "Check the port, and whether the endpoint needs TLS (without --insecure)".to_owned()
        };
        let why = "it does not speak the HTTP version that was used".to_owned();
        return (FailureKind::Protocol, "protocol", why, next);
    }
    (
        FailureKind::Broken,
        "connection_broken",
        "the connection broke before the answer was complete".to_owned(),
        "Try again; if it stays, a proxy or firewall may cut the connection".to_owned(),
    )
}

fn connect_reason(cause: &reqwest::Error, host: &str, tls: bool) -> Reason {
    if cause.is_dns() {
        let next = format!("Check the spelling of {host}, and whether a VPN is needed");
        return (FailureKind::Dns, "dns", "the name does not resolve".to_owned(), next);
    }
    let (code, why) = match find::<io::Error>(cause) {
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            ("connection_refused", "nobody listens there".to_owned())
        }
        Some(error) => ("connect", error.to_string()),
        None => ("connect", "no connection could be made".to_owned()),
    };
    let next = if tls {
        "Check host and port, then try again".to_owned()
    } else {
        "Check host and port, and whether the endpoint needs TLS (without --insecure)".to_owned()
    };
    (FailureKind::Connect, code, why, next)
}

fn proxy_reason(cause: &reqwest::Error, proxy: &str) -> Reason {
    let (why, next) = match find::<io::Error>(cause) {
        _ if cause.is_dns() => ("its name does not resolve".to_owned(), "Check httpProxyURL, HTTPS_PROXY and NO_PROXY"),
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            ("nobody listens there".to_owned(), "Check httpProxyURL, HTTPS_PROXY and NO_PROXY")
        }
        Some(error) => (error.to_string(), "Check httpProxyURL, HTTPS_PROXY and NO_PROXY"),
        // hyper-util keeps the status to itself: both reasons are named.
        None => (
            "it refused to connect us".to_owned(),
            "Check the proxy's user name and password in httpProxyURL or HTTPS_PROXY, and whether it allows this host; \
             NO_PROXY goes around it",
        ),
    };
    (FailureKind::Proxy, "proxy", format!("the proxy {proxy} failed: {why}"), next.to_owned())
}

/// The proxy itself answered a plaintext call.
pub(super) fn proxy_login(attempt: &Attempt<'_>, proxy: &str) -> Failure {
    let host = host_of(attempt.place);
    let message =
        format!("no answer from {host} ({}): the proxy {proxy} demands a login (HTTP 407)", attempt.purpose.words());
    let error = Error::new(ErrorKind::Network, "proxy", message).with_endpoint(host).with_next(
        "Give the proxy's user name and password in httpProxyURL or HTTP_PROXY (http://USER:PASSWORD@HOST:PORT)",
    );
    Failure { kind: FailureKind::Proxy, error }
}

fn tls_reason(error: &rustls::Error, host: &str) -> Reason {
    use rustls::{AlertDescription, CertificateError, Error as Tls, InvalidMessage};
    let (code, why, next) = match error {
        Tls::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => (
            "certificate_expired",
            "its certificate has expired".to_owned(),
            "Ask the administrator to renew it; check this machine's clock too".to_owned(),
        ),
        Tls::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => (
            "certificate_not_yet_valid",
            "its certificate is not valid yet".to_owned(),
            "Check this machine's clock".to_owned(),
        ),
        Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => (
            "certificate_wrong_host",
            format!("its certificate is for another host name than {host}"),
            "Use the name in the certificate, or ask the administrator to add this one".to_owned(),
        ),
        // A bad signature is a known name with another key: an authority that was made anew.
        Tls::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => (
            "certificate_unknown_issuer",
            "its certificate is signed by an authority that this machine does not know".to_owned(),
            "Set admin.caCertFilePath or --ca-cert to that authority's certificate".to_owned(),
        ),
        Tls::InvalidCertificate(other) => (
            "certificate_invalid",
            format!("its certificate is not accepted ({other})"),
            "Set admin.caCertFilePath or --ca-cert, or ask the administrator to correct the certificate".to_owned(),
        ),
        Tls::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::HandshakeFailure,
        ) => (
            "client_certificate_required",
            "it wants a client certificate, or another one".to_owned(),
            "Set admin.clientCertFilePath and admin.clientKeyFilePath".to_owned(),
        ),
        Tls::InvalidMessage(InvalidMessage::InvalidContentType) => (
            "not_tls",
            "it does not speak TLS there".to_owned(),
            "If the endpoint is plaintext, use --insecure or an http:// address".to_owned(),
        ),
        other => (
            "tls",
            format!("the TLS handshake failed ({other})"),
            "Check host and port, and any proxy in between".to_owned(),
        ),
    };
    (FailureKind::Tls, code, why, next)
}

/// The first error of type `T` in the chain; an `io::Error` may wrap it without naming it as its source.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<T>() {
            return Some(found);
        }
        if let Some(wrapped) = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = find::<T>(wrapped)
        {
            return Some(found);
        }
        next = current.source();
    }
    None
}
