//! The effective configuration: what `serve` runs on, every default filled in, every secret read.

use std::path::PathBuf;
use std::time::Duration;

use flyte_auth::config::ProxyUrl;
use flyte_auth::protocol::secret::{ClientSecret, SecretBytes};
use flyte_auth::relying_party::SameSite;
use url::Url;

use crate::keys::SigningAlgorithm;

/// Everything that `serve` was told.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// `server`.
    pub server: Listeners,
    /// `auth` beside its sub-sections.
    pub resource: Resource,
    /// `auth.userAuth`; `None` where no provider is configured: no browser can sign in.
    pub user_auth: Option<UserAuth>,
    /// `auth.appAuth`.
    pub app_auth: AppAuth,
    /// `gateway`, our own section.
    pub gateway: GatewayConfig,
    /// Every file that was read: configuration, secrets, certificates. A change of one is a reason to read all again.
    pub watched: Vec<PathBuf>,
}

/// `server`: where `serve` listens.
#[derive(Debug, Clone)]
pub struct Listeners {
    /// `server.httpPort`, 8088; 0 is any free one.
    pub http_port: u16,
    /// `server.grpc.port`, 8089; 0 is any free one. Not opened where `tls` is set: one port then speaks both.
    pub grpc_port: u16,
    /// `gateway.address`: the address that is bound, `0.0.0.0` (and `[::]`) as flyteadmin unless said.
    pub address: String,
    /// `server.security.ssl`, where `server.security.secure` is true.
    pub tls: Option<TlsFiles>,
    /// `server.security.useAuth`. False: nothing is protected, and Flyte's auth services answer UNIMPLEMENTED.
    pub use_auth: bool,
    /// `server.security.insecureCookieHeader`: cookies without `Secure`, and plaintext addresses beyond this machine.
    pub insecure_cookies: bool,
    /// `server.security.allowCors`, `allowedOrigins`, `allowedHeaders`.
    pub cors: Option<Cors>,
    /// `server.readHeaderTimeoutSeconds`, 32 s.
    pub read_header_timeout: Duration,
    /// `server.gracefulShutdownTimeoutSeconds`, 10 s.
    pub graceful_shutdown: Duration,
}

/// PEM files; read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// `server.security.ssl.certificateFile`: the chain.
    pub certificate: PathBuf,
    /// `server.security.ssl.keyFile`.
    pub key: PathBuf,
}

/// Cross-origin requests that are allowed (Fetch standard, CORS protocol).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Exact origins. `*` allows any origin, but never with credentials.
    pub origins: Vec<String>,
    /// Request headers.
    pub headers: Vec<String>,
}

/// The resource server's part of `auth`.
#[derive(Debug, Clone)]
pub struct Resource {
    /// `auth.httpAuthorizationHeader`, lower case, `flyte-authorization`.
    pub http_header: String,
    /// `auth.grpcAuthorizationHeader`, lower case, `flyte-authorization`: advertised as `authorization_metadata_key`.
    pub grpc_header: String,
    /// `auth.disableForHttp`: HTTP calls pass without a token.
    pub open_for_http: bool,
    /// `auth.disableForGrpc`: gRPC calls pass without a token.
    pub open_for_grpc: bool,
    /// `auth.authorizedUris`, as configured, at least one: what this deployment is called from outside.
    pub authorized_uris: Vec<AuthorizedUri>,
    /// `auth.httpProxyURL`, for the external authorization server's metadata.
    pub http_proxy_url: Option<ProxyUrl>,
}

/// One of `auth.authorizedUris`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizedUri {
    /// Exactly as configured: the `aud` of tokens, byte for byte.
    pub text: String,
    /// Parsed.
    pub url: Url,
}

/// `auth.userAuth`: the OpenID Connect relying party.
#[derive(Debug, Clone)]
pub struct UserAuth {
    /// `redirectUrl`, `/console`: where the browser goes after a sign-in that names no place.
    pub redirect_url: String,
    /// `httpProxyURL`.
    pub http_proxy_url: Option<ProxyUrl>,
    /// `cookie_hash_key` + `cookie_block_key` of the present and of earlier days (`<name>_old`): the first seals, all open.
    pub cookie_keys: Vec<SecretBytes>,
    /// `cookieSetting.sameSitePolicy`; `DefaultMode` is `Lax`, which is what browsers make of a cookie without it.
    pub same_site: SameSite,
    /// `cookieSetting.domain`.
    pub cookie_domain: Option<String>,
    /// `idpQueryParameter`.
    pub idp_query_parameter: Option<String>,
    /// `openId.clientId`.
    pub client_id: String,
    /// The secret `openId.clientSecretName` (or the file `clientSecretFile`); without one a public client.
    pub client_secret: Option<ClientSecret>,
    /// `openId.baseUrl`: where the provider's metadata is.
    pub base_url: String,
    /// `openId.issuerUrl`: the `iss` to expect where it differs from `baseUrl`.
    pub issuer_url: Option<String>,
    /// `openId.scopes`, `[openid, profile]`.
    pub scopes: Vec<String>,
}

/// `auth.appAuth`.
#[derive(Debug, Clone)]
pub struct AppAuth {
    /// `authServerType`.
    pub server: AuthServer,
    /// `thirdPartyConfig.flyteClient`.
    pub flyte_client: FlyteClient,
}

/// Who issues access tokens.
#[derive(Debug, Clone)]
pub enum AuthServer {
    /// `Self`: this process.
    Own(Box<OwnServer>),
    /// `External`.
    External(ExternalServer),
}

/// `appAuth.selfAuthServer`.
#[derive(Debug, Clone)]
pub struct OwnServer {
    /// `issuer`; `None`: the authorized URI that a request came in on.
    pub issuer: Option<String>,
    /// `accessTokenLifespan`, 30 minutes.
    pub access_token_lifetime: Duration,
    /// `refreshTokenLifespan`, 60 minutes: a session that is not refreshed for so long ends.
    pub refresh_token_lifetime: Duration,
    /// `authorizationCodeLifespan`, 5 minutes.
    pub code_lifetime: Duration,
    /// `sessionLifespan` (ours), 30 days: a session ends so long after its sign-in, refreshed or not.
    pub session_lifetime: Duration,
    /// `signingAlgorithm` (ours), RS256.
    pub algorithm: SigningAlgorithm,
    /// Private keys in PEM: the first signs, the others still verify. `tokenSigningRSAKeySecretName` and
    /// `oldTokenSigningRSAKeySecretName`; for ES256 and EdDSA `token_es256_key.pem`, `token_eddsa_key.pem` and their
    /// `_old` ones. An RSA key is kept for verifying when the algorithm changes.
    pub signing_keys: Vec<SecretBytes>,
    /// `staticClients`.
    pub clients: Vec<StaticClient>,
}

/// One of `selfAuthServer.staticClients`.
#[derive(Debug, Clone, Default)]
pub struct StaticClient {
    /// `id`.
    pub id: String,
    /// `public`.
    pub public: bool,
    /// `client_secret` and `rotated_secrets`: hashes in PHC or crypt form (`$2b$…`, `$argon2id$…`), decoded from base64
    /// where the file has base64. Any of them opens.
    pub secret_hashes: Vec<SecretHash>,
    /// `redirect_uris`.
    pub redirect_uris: Vec<String>,
    /// `grant_types`: `authorization_code`, `refresh_token`, `client_credentials`, and RFC 8628's.
    pub grant_types: Vec<String>,
    /// `response_types`.
    pub response_types: Vec<String>,
    /// `scopes`; a `.*` at the end stands for any further part, as in fosite.
    pub scopes: Vec<String>,
    /// `audience`: audiences that it may ask for beside this deployment's own.
    pub audience: Vec<String>,
    /// `jwks` (ours): the client's public keys as a JSON document, for `private_key_jwt` (RFC 7523).
    pub jwks: Option<String>,
    /// `jwks_uri` (ours): where the client publishes them.
    pub jwks_uri: Option<String>,
}

/// A password hash. Not shown: it can be attacked offline.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash(pub(crate) String);

impl std::fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// `appAuth.externalAuthServer`.
#[derive(Debug, Clone)]
pub struct ExternalServer {
    /// `baseUrl`; unless said, `userAuth.openId.baseUrl`.
    pub base_url: String,
    /// The address of its metadata: `metadataUrl` (relative to `baseUrl` with a slash at its end, or absolute); `None`:
    /// both well-known places are tried.
    pub metadata_url: Option<String>,
    /// `allowedAudience`, beside the authorized URI.
    pub allowed_audience: Vec<String>,
    /// `httpProxyURL`.
    pub http_proxy_url: Option<ProxyUrl>,
    /// `retryAttempts`, 5.
    pub retry_attempts: u32,
    /// `retryDelay`, 1 s.
    pub retry_delay: Duration,
    /// `introspection` (ours: `{clientId, clientSecretName}`): asks the server about tokens that are no JWTs.
    pub introspection: Option<(String, ClientSecret)>,
}

/// `thirdPartyConfig.flyteClient`: what the command lines are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlyteClient {
    /// `clientId`, `flytectl`.
    pub client_id: String,
    /// `redirectUri`, `http://localhost:53593/callback`.
    pub redirect_uri: String,
    /// `scopes`, `[all, offline]`.
    pub scopes: Vec<String>,
    /// `audience`.
    pub audience: String,
}

/// `gateway`: our own section.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// `upstreams`, as configured. Empty: nothing stands behind; what is not ours is 404.
    pub upstreams: Vec<Upstream>,
    /// `identityHeaders`: names of the headers that carry the verified identity, lower case; see
    /// [`IdentityHeaders::default`].
    pub identity_headers: IdentityHeaders,
    /// `database`: the SQLite file (`sqlite:PATH` or a path); `None`: in memory, lost at a restart.
    pub database: Option<PathBuf>,
    /// `metricsPort`, 10254 as flyteadmin's; 0 is any free one; `None` (`metricsPort: null` or `none`): none.
    pub metrics_port: Option<u16>,
}

/// One of `gateway.upstreams`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// `match`: a gRPC package prefix that ends in a dot (`flyteidl.`), a whole service name, or a path prefix that begins
    /// with `/`.
    pub matches: String,
    /// `url`: `http`, `https`, or `h2c` (plaintext HTTP/2 for everything). Its path, if any, is put before the request's.
    pub url: Url,
}

/// Names of headers; `None` sends none of that kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// The subject.
    pub subject: Option<String>,
    /// The mail address.
    pub email: Option<String>,
    /// Name to show.
    pub name: Option<String>,
    /// The client id.
    pub client_id: Option<String>,
    /// Scopes, space-separated.
    pub scopes: Option<String>,
    /// A JWT of the claims, signed by this process (Flyte 2 `runs.identityHeaders.claimsJwtHeader`).
    pub claims_jwt: Option<String>,
    /// The subject again, under the name that Flyte 2 reads (`runs.identityHeaders.subjectHeader`).
    pub subject_v2: Option<String>,
}

impl Default for IdentityHeaders {
    /// flyteadmin's `X-User-Subject` (`auth/handlers.go:532`) with its neighbours, and what Flyte 2 reads unless told
    /// otherwise (`runs/config/config.go`: `X-Amzn-Oidc-Data`, `X-Amzn-Oidc-Identity`).
    fn default() -> Self {
        let name = |name: &str| Some(name.to_owned());
        Self {
            subject: name("x-user-subject"),
            email: name("x-user-email"),
            name: name("x-user-name"),
            client_id: name("x-user-client-id"),
            scopes: name("x-user-scopes"),
            claims_jwt: name("x-amzn-oidc-data"),
            subject_v2: name("x-amzn-oidc-identity"),
        }
    }
}
