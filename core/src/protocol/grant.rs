//! Makes the requests of every grant with the crate `oauth2`; its type parameters stay in this file.
//!
//! `oauth2` only sends through a client it is given. A client that keeps the request and sends nothing makes its
//! request builders pure, so that one transport with its own limits carries every call.
//!
//! Its buffers are not wiped, and so no secret goes into them: it is given stand-ins, and `filled` puts the secrets in
//! their places.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenResponse,
};
use oauth2::{
    AuthType, AuthUrl, ClientId, CsrfToken, DeviceAuthorizationUrl, EndpointNotSet, PkceCodeVerifier, RedirectUrl,
    RevocationUrl, Scope, StandardDeviceAuthorizationResponse, StandardRevocableToken, TokenUrl,
};
use url::Url;

use super::client::{Client, ClientAuthMethod, basic, form_encode};
use super::pkce;
use super::secret::{AccessToken, AuthorizationCode, CodeVerifier, DeviceCode, RefreshToken, SecretBytes};
use crate::error::{Error, ErrorKind, Result};

/// A request as `oauth2` makes it; the transport's type too.
pub type Request = http::Request<SecretBytes>;

/// In place of the client secret. Letters that no encoding changes.
const CLIENT_SECRET: &str = "flyte-auth-stand-in-of-the-client-secret";
/// In place of the code verifier.
const VERIFIER: &str = "flyte-auth-stand-in-of-the-code-verifier";
/// In place of the code, the refresh token or the device code.
const GRANTED: &str = "flyte-auth-stand-in-of-what-was-granted";

/// What every request of a login or refresh may carry beside its grant.
#[derive(Clone, Copy, Default)]
pub struct Parameters<'a> {
    /// Scopes, sent space-separated; none are sent if empty.
    pub scopes: &'a [String],
    /// `audience`; not sent if absent.
    pub audience: Option<&'a str>,
    /// Further parameters (`extra_params`), sent as they are.
    pub extra: &'a [(String, String)],
}

impl fmt::Debug for Parameters<'_> {
    // A further parameter may be a secret: names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parameters")
            .field("scopes", &self.scopes)
            .field("audience", &self.audience)
            .field("extra", &self.extra.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish()
    }
}

/// What an authorization request carries (RFC 6749 section 4.1.1, RFC 7636, OpenID Connect Core 3.1.2.1).
#[derive(Clone, Copy)]
pub struct AuthorizationRequest<'a> {
    /// The authorization endpoint; its own query is kept.
    pub endpoint: &'a str,
    /// `client_id`.
    pub client_id: &'a str,
    /// `redirect_uri`, exactly as registered.
    pub redirect_uri: &'a str,
    /// `state`.
    pub state: &'a str,
    /// `nonce`, for OpenID: only together with the scope `openid`, without which servers refuse it.
    pub nonce: Option<&'a str>,
    /// The verifier whose S256 challenge is sent.
    pub verifier: &'a CodeVerifier,
    /// Scopes, audience, extras.
    pub parameters: Parameters<'a>,
}

impl fmt::Debug for AuthorizationRequest<'_> {
    // `state` and `nonce` are for the server and for whoever waits for its answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationRequest")
            .field("endpoint", &self.endpoint)
            .field("client_id", &self.client_id)
            .field("redirect_uri", &self.redirect_uri)
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}

/// A grant at the token endpoint.
#[derive(Debug, Clone, Copy)]
pub enum Grant<'a> {
    /// RFC 6749 section 4.1.3.
    AuthorizationCode {
        /// The code from the redirect.
        code: &'a AuthorizationCode,
        /// PKCE.
        verifier: &'a CodeVerifier,
        /// The redirect URI of the authorization request.
        redirect_uri: &'a str,
    },
    /// RFC 6749 section 4.4.
    ClientCredentials,
    /// RFC 6749 section 6. No scope is sent: that means "as granted", and a server may have granted less than was
    /// asked for.
    RefreshToken(&'a RefreshToken),
    /// RFC 8628 section 3.4.
    DeviceCode {
        /// The device code.
        code: &'a DeviceCode,
        /// PKCE, where it was sent with the device authorization request.
        verifier: Option<&'a CodeVerifier>,
    },
}

type Sender<'a> = dyn Fn(oauth2::HttpRequest) -> Result<oauth2::HttpResponse, std::convert::Infallible> + 'a;

type OAuthClient = oauth2::Client<
    BasicErrorResponse,
    BasicTokenResponse,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
>;

/// Runs one of `oauth2`'s request methods and takes the request it would have sent. The answer it is given, an empty
/// 400, ends every one of them, the polling loop of the device grant too.
fn keep(client: &Client, secrets: &[(&'static str, &str)], make: impl FnOnce(&Sender<'_>)) -> Result<Request> {
    let kept = RefCell::new(None);
    make(&|request| {
        kept.borrow_mut().get_or_insert(request);
        let mut ended = oauth2::HttpResponse::default();
        *ended.status_mut() = http::StatusCode::BAD_REQUEST;
        Ok(ended)
    });
    let made = kept.into_inner().ok_or_else(|| Error::internal("the request could not be made"))?;
    filled(made, client, secrets).ok_or_else(|| Error::internal("the request has parts that HTTP cannot carry"))
}

/// Puts the secrets where their stand-ins are.
fn filled(made: oauth2::HttpRequest, client: &Client, secrets: &[(&'static str, &str)]) -> Option<Request> {
    // EXPOSE: goes into the Authorization header or the form body of the token request.
    let client_secret = client.secret.as_ref().map(|secret| (CLIENT_SECRET, secret.expose()));
    let secrets: Vec<_> = secrets.iter().copied().chain(client_secret).collect();
    let (mut parts, form) = made.into_parts();
    let form = String::from_utf8(form).ok()?;
    let mut body = SecretBytes::new();
    let mut rest = form.as_str();
    let next = |rest: &str| {
        let places =
            secrets.iter().filter_map(|(stand_in, secret)| Some((rest.find(stand_in)?, stand_in.len(), *secret)));
        places.min_by_key(|(at, ..)| *at)
    };
    while let Some((at, length, secret)) = next(rest) {
        body.extend(&rest.as_bytes()[..at]);
        form_encode(&mut body, secret);
        rest = &rest[at + length..];
    }
    body.extend(rest.as_bytes());
    if let (ClientAuthMethod::Basic, Some((_, secret))) = (client.method, client_secret) {
        parts.headers.insert(http::header::AUTHORIZATION, basic(&client.id, secret)?);
    }
    Some(http::Request::from_parts(parts, body))
}

fn oauth_client(client: &Client) -> OAuthClient {
    let made = OAuthClient::new(ClientId::new(client.id.clone())).set_auth_type(match client.method {
        ClientAuthMethod::Basic => AuthType::BasicAuth,
        ClientAuthMethod::None | ClientAuthMethod::Post => AuthType::RequestBody,
    });
    match &client.secret {
        Some(_) => made.set_client_secret(oauth2::ClientSecret::new(CLIENT_SECRET.to_owned())),
        None => made,
    }
}

fn endpoint_error(what: &'static str, endpoint: &str, cause: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Server, "metadata_invalid", format!("the server's {what} is not a URL: {cause}"))
        .with_endpoint(endpoint)
        .with_next("Ask the administrator to correct the authorization server metadata")
}

fn token_url(endpoint: &str) -> Result<TokenUrl> {
    TokenUrl::new(endpoint.to_owned()).map_err(|cause| endpoint_error("token_endpoint", endpoint, &cause))
}

fn redirect_url(uri: &str) -> Result<RedirectUrl> {
    RedirectUrl::new(uri.to_owned()).map_err(|cause| endpoint_error("redirect_uri", uri, &cause))
}

fn scopes(parameters: Parameters<'_>) -> impl Iterator<Item = Scope> {
    parameters.scopes.iter().map(|scope| Scope::new(scope.clone()))
}

/// `audience` and the configured extras, as pairs.
fn extras(parameters: Parameters<'_>) -> impl Iterator<Item = (String, String)> {
    let audience = parameters.audience.map(|value| ("audience".to_owned(), value.to_owned()));
    audience.into_iter().chain(parameters.extra.iter().cloned())
}

/// The URL that a person opens.
///
/// # Errors
/// `metadata_invalid` if an endpoint is not a URL.
pub fn authorization_url(request: AuthorizationRequest<'_>) -> Result<Url> {
    let endpoint = AuthUrl::new(request.endpoint.to_owned())
        .map_err(|cause| endpoint_error("authorization_endpoint", request.endpoint, &cause))?;
    let client = oauth_client(&Client::public(request.client_id)).set_auth_uri(endpoint);
    let mut made = client
        .authorize_url(|| CsrfToken::new(request.state.to_owned()))
        .add_extra_param("code_challenge", pkce::s256_challenge(request.verifier))
        .add_extra_param("code_challenge_method", "S256")
        .set_redirect_uri(Cow::Owned(redirect_url(request.redirect_uri)?))
        .add_scopes(scopes(request.parameters));
    if let Some(nonce) = request.nonce {
        made = made.add_extra_param("nonce", nonce.to_owned());
    }
    for (name, value) in extras(request.parameters) {
        made = made.add_extra_param(name, value);
    }
    Ok(made.url().0)
}

/// A token request.
///
/// # Errors
/// `metadata_invalid` if `endpoint` is not a URL.
pub fn token_request(endpoint: &str, client: &Client, grant: Grant<'_>, parameters: Parameters<'_>) -> Result<Request> {
    let oauth = oauth_client(client).set_token_uri(token_url(endpoint)?);
    // Each of oauth2's four builders is a type of its own with the same two methods.
    macro_rules! send {
        ($made:expr, $pairs:expr, $secrets:expr) => {{
            let mut made = $made;
            for (name, value) in $pairs {
                made = made.add_extra_param(name, value);
            }
            keep(client, $secrets, |client| drop(made.request(&client)))
        }};
    }
    match grant {
        Grant::AuthorizationCode { code, verifier, redirect_uri } => {
            let made = oauth
                .exchange_code(oauth2::AuthorizationCode::new(GRANTED.to_owned()))
                .set_pkce_verifier(PkceCodeVerifier::new(VERIFIER.to_owned()))
                .set_redirect_uri(Cow::Owned(redirect_url(redirect_uri)?));
            // EXPOSE: both go into the form body.
            let secrets = [(GRANTED, code.expose()), (VERIFIER, verifier.expose())];
            send!(made, parameters.extra.iter().cloned(), &secrets)
        }
        Grant::ClientCredentials => {
            send!(oauth.exchange_client_credentials().add_scopes(scopes(parameters)), extras(parameters), &[])
        }
        Grant::RefreshToken(token) => {
            let stand_in = oauth2::RefreshToken::new(GRANTED.to_owned());
            // EXPOSE: goes into the form body.
            send!(oauth.exchange_refresh_token(&stand_in), extras(parameters), &[(GRANTED, token.expose())])
        }
        Grant::DeviceCode { code, verifier } => {
            let details = device_details()?;
            let mut made = oauth.exchange_device_access_token(&details);
            let pkce = verifier.map(|_| ("code_verifier".to_owned(), VERIFIER.to_owned()));
            for (name, value) in pkce.into_iter().chain(parameters.extra.iter().cloned()) {
                made = made.add_extra_param(name, value);
            }
            // EXPOSE: both go into the form body.
            let verifier = verifier.map(|verifier| (VERIFIER, verifier.expose()));
            // EXPOSE: as above.
            let secrets: Vec<_> = [(GRANTED, code.expose())].into_iter().chain(verifier).collect();
            keep(client, &secrets, |client| drop(made.request(&client, |_| (), None)))
        }
    }
}

/// `oauth2` wants the whole device authorization reply to make a poll; only the code is sent.
fn device_details() -> Result<StandardDeviceAuthorizationResponse> {
    let details = serde_json::json!({
        "device_code": GRANTED, "user_code": "-", "verification_uri": "https://unused.invalid", "expires_in": 1,
    });
    serde_json::from_value(details).map_err(|cause| Error::internal("device details").with_source(cause))
}

/// A device authorization request (RFC 8628 section 3.1), with an S256 challenge where one is given: some servers demand
/// PKCE on this grant too.
///
/// # Errors
/// `metadata_invalid` if `endpoint` is not a URL.
pub fn device_authorization_request(
    endpoint: &str,
    client: &Client,
    verifier: Option<&CodeVerifier>,
    parameters: Parameters<'_>,
) -> Result<Request> {
    let url = DeviceAuthorizationUrl::new(endpoint.to_owned())
        .map_err(|cause| endpoint_error("device_authorization_endpoint", endpoint, &cause))?;
    let oauth = oauth_client(client).set_device_authorization_url(url);
    let mut made = oauth.exchange_device_code().add_scopes(scopes(parameters));
    if let Some(verifier) = verifier {
        made = made
            .add_extra_param("code_challenge", pkce::s256_challenge(verifier))
            .add_extra_param("code_challenge_method", "S256");
    }
    for (name, value) in extras(parameters) {
        made = made.add_extra_param(name, value);
    }
    keep(client, &[], |client| drop(made.request::<_, oauth2::EmptyExtraDeviceAuthorizationFields>(&client)))
}

/// What is revoked.
#[derive(Debug, Clone, Copy)]
pub enum Revocable<'a> {
    /// An access token.
    Access(&'a AccessToken),
    /// A refresh token, and with it the whole grant at most servers.
    Refresh(&'a RefreshToken),
}

/// A revocation request (RFC 7009 section 2.1).
///
/// # Errors
/// `metadata_invalid` if `endpoint` is not a URL.
pub fn revocation_request(endpoint: &str, client: &Client, token: Revocable<'_>) -> Result<Request> {
    // oauth2 refuses http here, which loopback servers have: it is given a stand-in, and the real address goes in after.
    let uri: http::Uri = endpoint.parse().map_err(|cause| endpoint_error("revocation_endpoint", endpoint, &cause))?;
    let stand_in = RevocationUrl::new("https://stand-in.invalid".to_owned())
        .map_err(|cause| Error::internal("revocation").with_source(cause))?;
    let (named, token): (StandardRevocableToken, &str) = match token {
        // EXPOSE: goes into the form body.
        Revocable::Access(token) => (oauth2::AccessToken::new(GRANTED.to_owned()).into(), token.expose()),
        // EXPOSE: goes into the form body.
        Revocable::Refresh(token) => (oauth2::RefreshToken::new(GRANTED.to_owned()).into(), token.expose()),
    };
    let oauth = oauth_client(client).set_revocation_url(stand_in);
    let made = oauth.revoke_token(named).map_err(|cause| Error::internal("revocation").with_source(cause))?;
    let mut request = keep(client, &[(GRANTED, token)], |client| drop(made.request(&client)))?;
    *request.uri_mut() = uri;
    Ok(request)
}

#[cfg(test)]
mod tests;
