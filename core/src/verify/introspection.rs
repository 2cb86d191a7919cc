//! Token introspection (RFC 7662): the authorization server's word on a token that cannot be read here.

use std::sync::OnceLock;

use serde_json::Value;

use super::access_token::{Expectations, VerifiedToken, check_unbound, names_one};
use super::claims::{Claims, Name, Times, wrong};
use super::refusal::{Refusal, RefusalKind};
use crate::clock::Timestamp;
use crate::credential::failure;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::client::{Client, ClientAuthMethod, basic, form_encode};
use crate::protocol::json;
use crate::protocol::secret::{AccessToken, ClientSecret, SecretBytes};
use crate::transport::{Call, HttpTransport, Purpose, Reply};

/// Larger than any opaque token (16 KiB).
const MAX_OPAQUE: usize = 16 * 1024;

/// As whom the authorization server is asked, and where.
#[derive(Debug, Clone)]
pub struct Introspection {
    client: Client,
    endpoint: Option<String>,
}

impl Introspection {
    /// Asks as this client, at the `introspection_endpoint` of the issuer's metadata, with the secret in the
    /// `Authorization` header.
    pub fn new(client_id: impl Into<String>, secret: ClientSecret) -> Self {
        let client = Client { id: client_id.into(), secret: Some(secret), method: ClientAuthMethod::Basic };
        Self { client, endpoint: None }
    }

    /// Another endpoint than the metadata's.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// How the secret is sent.
    #[must_use]
    pub fn method(mut self, method: ClientAuthMethod) -> Self {
        self.client.method = method;
        self
    }

    pub(super) fn fixed_endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Asks about `token`; the reply holds claims and no secret.
    pub(super) async fn ask(
        &self,
        transport: &dyn HttpTransport,
        endpoint: &str,
        token: &AccessToken,
    ) -> Result<Vec<u8>> {
        let reply = transport.send(Call::new(Purpose::Introspection, self.request(endpoint, token)?)).await?;
        self.check(&reply, endpoint)?;
        Ok(reply.body.to_vec())
    }

    // oauth2's builder has no pass-through for a token of another server's making; the form has few members.
    fn request(&self, endpoint: &str, token: &AccessToken) -> Result<http::Request<SecretBytes>> {
        let mut request = http::Request::post(endpoint)
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let mut form = SecretBytes::new();
        let mut add = |name: &str, value: &str| {
            form.extend(name.as_bytes());
            form_encode(&mut form, value);
        };
        add("token=", token.expose()); // EXPOSE: sent to the introspection endpoint.
        add("&token_type_hint=", "access_token");
        match (&self.client.secret, self.client.method) {
            (Some(secret), ClientAuthMethod::Basic) => {
                let header = basic(&self.client.id, secret.expose()); // EXPOSE: goes into the Authorization header.
                let header = header.ok_or_else(|| Error::internal("a header of base64"))?;
                request = request.header(http::header::AUTHORIZATION, header);
            }
            (secret, _) => {
                add("&client_id=", &self.client.id);
                if let Some(secret) = secret {
                    add("&client_secret=", secret.expose()); // EXPOSE: goes into the form body.
                }
            }
        }
        request.body(form).map_err(|_| unusable(endpoint, "its address is no URL"))
    }

    fn check(&self, reply: &Reply, endpoint: &str) -> Result<()> {
        match reply.status.as_u16() {
            200 => {}
            400 | 401 | 403 => {
                let why = format!("it refuses the client `{}` (HTTP {})", self.client.id, reply.status.as_u16());
                return Err(Error::new(ErrorKind::Denied, "introspection_refused", format!("introspection: {why}"))
                    .with_endpoint(failure::place(endpoint))
                    .with_next("Check the client id and secret that this service introspects with"));
            }
            status => {
                let retryable = status >= 500 || status == 429;
                return Err(unusable(endpoint, &format!("HTTP {status}")).with_retryable(retryable));
            }
        }
        json::parse_object(&reply.body).map(drop).map_err(|problem| unusable(endpoint, &problem.to_string()))
    }
}

fn unusable(endpoint: &str, why: &str) -> Error {
    Error::new(ErrorKind::Server, "introspection_unusable", format!("the introspection endpoint is unusable: {why}"))
        .with_endpoint(failure::place(endpoint))
        .with_next("Report it to the administrator of the authorization server")
}

/// Whether `token` can be an opaque bearer token at all (RFC 6750 section 2.1): nothing else is sent anywhere.
pub(super) fn is_opaque(token: &str) -> bool {
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~+/=".contains(&octet);
    !token.is_empty() && token.len() <= MAX_OPAQUE && token.bytes().all(allowed)
}

/// Reads the reply (section 2.2). What it leaves out is absent; what it has must fit.
pub(super) fn read(reply: Vec<u8>, rules: &Expectations<'_>, now: Timestamp) -> Result<VerifiedToken, Refusal> {
    let claims = Claims::parse(reply.trim_ascii_start())?;
    match claims.other(Name::Active) {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => {
            return Err(Refusal::new(RefusalKind::Inactive, "the authorization server says that it is not active"));
        }
        _ => return Err(wrong("the introspection reply does not say whether it is active")),
    }
    if claims.has(Name::Iss) {
        claims.check_issuer(rules.issuer)?;
    }
    let audience = if claims.has(Name::Aud) { claims.audience()? } else { Vec::new() };
    if !names_one(&audience, rules.audience) {
        return Err(Refusal::new(RefusalKind::Audience, "it is for another audience (aud)"));
    }
    // A refresh token is active too: either the reply says what it is, or it is for us by name.
    if !is_access_token(&claims)? && rules.audience.is_empty() {
        return Err(Refusal::new(
            RefusalKind::Type,
            "the authorization server does not say that it is an access token",
        ));
    }
    check_unbound(&claims)?;
    let times = match claims.time(Name::Exp)? {
        None => None,
        Some(expires_at) => {
            let times = Times { expires_at, not_before: claims.time(Name::Nbf)?, issued_at: claims.time(Name::Iat)? };
            times.check(now, rules.clock_skew)?;
            Some(times)
        }
    };
    let audience = audience.into_iter().map(str::to_owned).collect();
    let client_id = claims.client_id()?.map(str::to_owned);
    let scopes = claims.scopes()?;
    let subject = claims.subject()?.map(str::to_owned);
    let issuer = claims.filled(Name::Iss)?.map(str::to_owned);
    Ok(VerifiedToken { issuer, subject, audience, client_id, scopes, times, payload: reply, claims: OnceLock::new() })
}

/// `token_type` (RFC 7662), `token_use` (Hydra), `typ` (Keycloak). An error where one of them says otherwise.
fn is_access_token(claims: &Claims<'_>) -> Result<bool, Refusal> {
    const SAID: [(Name, &[&str]); 3] = [
        (Name::TokenType, &["bearer"]),
        (Name::TokenUse, &["access_token", "access"]),
        (Name::Typ, &["bearer", "at+jwt"]),
    ];
    let mut said = false;
    for (name, values) in SAID {
        let Some(found) = claims.filled(name)? else { continue };
        if !values.iter().any(|value| found.eq_ignore_ascii_case(value)) {
            return Err(Refusal::new(RefusalKind::Type, "the authorization server says that it is no access token"));
        }
        said = true;
    }
    Ok(said)
}

#[cfg(test)]
mod tests;
