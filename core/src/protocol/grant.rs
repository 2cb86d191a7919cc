//! Makes the requests of every grant with the crate `oauth2`; its type parameters stay in this file.
//!
//! `oauth2` only sends through a client it is given. A client that keeps the request and sends nothing makes its
//! request builders pure, so that one transport with its own limits carries every call.

use std::borrow::Cow;
use std::cell::RefCell;

use oauth2::basic::{BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse};
use oauth2::{
    AuthType, AuthUrl, ClientId, CsrfToken, DeviceAuthorizationUrl, EndpointNotSet, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RevocationUrl, Scope, StandardDeviceAuthorizationResponse, StandardRevocableToken,
    TokenUrl,
};
use url::Url;

use super::client::{Client, ClientAuthMethod};
use super::reply::WireToken;
use super::secret::{AccessToken, AuthorizationCode, CodeVerifier, DeviceCode, RefreshToken};
use crate::error::{Error, ErrorKind, Result};

/// A request as `oauth2` makes it; the transport's type too.
pub type Request = http::Request<Vec<u8>>;

/// What every request of a login or refresh may carry beside its grant.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parameters<'a> {
    /// Scopes, sent space-separated; none are sent if empty.
    pub scopes: &'a [String],
    /// `audience`; not sent if absent.
    pub audience: Option<&'a str>,
    /// Further parameters (`extra_params`), sent as they are.
    pub extra: &'a [(String, String)],
}

/// What an authorization request carries (RFC 6749 section 4.1.1, RFC 7636, OpenID Connect Core 3.1.2.1).
#[derive(Debug, Clone, Copy)]
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
    WireToken,
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
fn keep(make: impl FnOnce(&Sender<'_>)) -> Result<Request> {
    let kept = RefCell::new(None);
    make(&|request| {
        kept.borrow_mut().get_or_insert(request);
        let mut ended = oauth2::HttpResponse::default();
        *ended.status_mut() = http::StatusCode::BAD_REQUEST;
        Ok(ended)
    });
    kept.into_inner().ok_or_else(|| Error::internal("the request could not be made"))
}

fn oauth_client(client: &Client) -> OAuthClient {
    let made = OAuthClient::new(ClientId::new(client.id.clone())).set_auth_type(match client.method {
        ClientAuthMethod::Basic => AuthType::BasicAuth,
        ClientAuthMethod::None | ClientAuthMethod::Post => AuthType::RequestBody,
    });
    match &client.secret {
        // EXPOSE: goes into the Authorization header or the form body of the token request.
        Some(secret) => made.set_client_secret(oauth2::ClientSecret::new(secret.expose().to_owned())),
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
    // EXPOSE: only its S256 hash leaves.
    let verifier = PkceCodeVerifier::new(request.verifier.expose().to_owned());
    let mut made = client
        .authorize_url(|| CsrfToken::new(request.state.to_owned()))
        .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
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
        ($made:expr, $pairs:expr) => {{
            let mut made = $made;
            for (name, value) in $pairs {
                made = made.add_extra_param(name, value);
            }
            keep(|client| drop(made.request(&client)))
        }};
    }
    match grant {
        Grant::AuthorizationCode { code, verifier, redirect_uri } => {
            // EXPOSE: the code goes into the form body.
            let code = oauth2::AuthorizationCode::new(code.expose().to_owned());
            // EXPOSE: the verifier goes into the form body.
            let verifier = PkceCodeVerifier::new(verifier.expose().to_owned());
            let made = oauth
                .exchange_code(code)
                .set_pkce_verifier(verifier)
                .set_redirect_uri(Cow::Owned(redirect_url(redirect_uri)?));
            send!(made, parameters.extra.iter().cloned())
        }
        Grant::ClientCredentials => {
            send!(oauth.exchange_client_credentials().add_scopes(scopes(parameters)), extras(parameters))
        }
        Grant::RefreshToken(token) => {
            // EXPOSE: goes into the form body.
            let token = oauth2::RefreshToken::new(token.expose().to_owned());
            send!(oauth.exchange_refresh_token(&token), extras(parameters))
        }
        Grant::DeviceCode { code, verifier } => {
            let details = device_details(code)?;
            let mut made = oauth.exchange_device_access_token(&details);
            // EXPOSE: the verifier goes into the form body.
            let verifier = verifier.map(|value| ("code_verifier".to_owned(), value.expose().to_owned()));
            for (name, value) in verifier.into_iter().chain(parameters.extra.iter().cloned()) {
                made = made.add_extra_param(name, value);
            }
            keep(|client| drop(made.request(&client, |_| (), None)))
        }
    }
}

/// `oauth2` wants the whole device authorization reply to make a poll; only the code is sent.
fn device_details(code: &DeviceCode) -> Result<StandardDeviceAuthorizationResponse> {
    let details = serde_json::json!({
        // EXPOSE: goes into the form body of the poll.
        "device_code": code.expose(), "user_code": "-", "verification_uri": "https://unused.invalid", "expires_in": 1,
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
            .add_extra_param("code_challenge", super::pkce::s256_challenge(verifier))
            .add_extra_param("code_challenge_method", "S256");
    }
    for (name, value) in extras(parameters) {
        made = made.add_extra_param(name, value);
    }
    keep(|client| drop(made.request::<_, oauth2::EmptyExtraDeviceAuthorizationFields>(&client)))
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
    let token = match token {
        // EXPOSE: goes into the form body.
        Revocable::Access(token) => {
            StandardRevocableToken::AccessToken(oauth2::AccessToken::new(token.expose().to_owned()))
        }
        // EXPOSE: goes into the form body.
        Revocable::Refresh(token) => {
            StandardRevocableToken::RefreshToken(oauth2::RefreshToken::new(token.expose().to_owned()))
        }
    };
    let oauth = oauth_client(client).set_revocation_url(stand_in);
    let made = oauth.revoke_token(token).map_err(|cause| Error::internal("revocation").with_source(cause))?;
    let mut request = keep(|client| drop(made.request(&client)))?;
    *request.uri_mut() = uri;
    Ok(request)
}

#[cfg(test)]
mod tests;
