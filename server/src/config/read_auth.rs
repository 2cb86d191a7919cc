//! The section `auth`.

use std::time::Duration;

use flyte_auth::config::ProxyUrl;
use flyte_auth::error::Result;
use flyte_auth::protocol::secret::{ClientSecret, SecretBytes};
use flyte_auth::relying_party::SameSite;

use super::clients;
use super::model::{
    AppAuth, AuthServer, AuthorizedUri, ExternalServer, FlyteClient, Listeners, OwnServer, Resource, UserAuth,
};
use super::reader::{Reader, web_address, wrong};
use super::report::Verdict;
use super::secrets::SecretStore;
use crate::keys::SigningAlgorithm;

pub(super) struct Auth {
    pub(super) resource: Resource,
    pub(super) user_auth: Option<UserAuth>,
    pub(super) app_auth: AppAuth,
}

pub(super) fn auth(reader: &mut Reader, secrets: &mut SecretStore<'_>, server: &Listeners) -> Result<Auth> {
    let resource = resource(reader, server)?;
    let user_auth = user_auth(reader, secrets)?;
    let base = user_auth.as_ref().map(|user_auth| user_auth.base_url.clone());
    let app_auth = app_auth(reader, secrets, server, base.as_deref())?;
    for (key, note) in [
        ("auth.appAuth.selfAuthServer.claimSymmetricEncryptionKeySecretName", "nothing in our tokens is encrypted"),
        ("auth.tokenEndpointProxyPath", "not known to flyteadmin 1.16"),
    ] {
        if reader.is_set(key) {
            reader.ignored(key, note);
        }
    }
    secrets.warn(reader);
    Ok(Auth { resource, user_auth, app_auth })
}

fn header(reader: &mut Reader, key: &'static str) -> Result<String> {
    let name = reader.text(key, "flyte-authorization")?;
    match name.parse::<axum::http::HeaderName>() {
        Ok(name) => Ok(name.as_str().to_owned()),
        Err(_) => Err(wrong(key, "is no header name", "Write a name such as flyte-authorization")),
    }
}

fn proxy(reader: &mut Reader, key: &'static str) -> Result<Option<ProxyUrl>> {
    let Some(text) = reader.optional(key)? else { return Ok(None) };
    let proxy = ProxyUrl::new(text);
    reader.note(key, Verdict::Honoured, "", "");
    reader.mask(key, &proxy.to_string());
    Ok(Some(proxy))
}

fn resource(reader: &mut Reader, server: &Listeners) -> Result<Resource> {
    let key = "auth.authorizedUris";
    let mut texts = reader.list(key, &[])?;
    if texts.is_empty() {
        let scheme = if server.tls.is_some() { "https" } else { "http" };
        let fallback = format!("{scheme}://localhost:{}", server.http_port);
        let note = "none is configured: only this machine's own name is taken, never what a request says";
        reader.note(key, Verdict::Insecure, fallback.clone(), note);
        texts.push(fallback);
    }
    let mut authorized_uris: Vec<AuthorizedUri> = Vec::new();
    for text in texts {
        let url = web_address(key, &text)?;
        if !authorized_uris.iter().any(|known| known.text == text) {
            authorized_uris.push(AuthorizedUri { text, url });
        }
    }
    let (open_for_http, open_for_grpc) =
        (reader.flag("auth.disableForHttp", false)?, reader.flag("auth.disableForGrpc", false)?);
    for (open, key) in [(open_for_http, "auth.disableForHttp"), (open_for_grpc, "auth.disableForGrpc")] {
        if open {
            reader.note(key, Verdict::Insecure, "true", "such calls pass without a token");
        }
    }
    Ok(Resource {
        http_header: header(reader, "auth.httpAuthorizationHeader")?,
        grpc_header: header(reader, "auth.grpcAuthorizationHeader")?,
        open_for_http,
        open_for_grpc,
        authorized_uris,
        http_proxy_url: proxy(reader, "auth.httpProxyURL")?,
    })
}

/// Warns where tokens and codes cross a network in the open.
fn warn_plaintext(reader: &mut Reader, key: &str, text: &str) {
    let open = url::Url::parse(text)
        .is_ok_and(|url| url.scheme() == "http" && !flyte_auth::firewall::address::is_loopback_url(&url));
    if open {
        reader.note(key, Verdict::Insecure, text, "no TLS: whoever is on the way can sign in as anybody");
    }
}

fn user_auth(reader: &mut Reader, secrets: &mut SecretStore<'_>) -> Result<Option<UserAuth>> {
    let redirect_url = reader.text("auth.userAuth.redirectUrl", "/console")?;
    let http_proxy_url = proxy(reader, "auth.userAuth.httpProxyURL")?;
    let hash_key = reader.text("auth.userAuth.cookieHashKeySecretName", "cookie_hash_key")?;
    let block_key = reader.text("auth.userAuth.cookieBlockKeySecretName", "cookie_block_key")?;
    let same_site = same_site(reader)?;
    let cookie_domain = reader.optional("auth.userAuth.cookieSetting.domain")?;
    let idp_query_parameter = reader.optional("auth.userAuth.idpQueryParameter")?;
    let client_id = reader.optional("auth.userAuth.openId.clientId")?;
    let secret_name = reader.text("auth.userAuth.openId.clientSecretName", "oidc_client_secret")?;
    let secret_file = reader.optional("auth.userAuth.openId.clientSecretFile")?;
    let base_url = reader.optional("auth.userAuth.openId.baseUrl")?;
    let issuer_url = reader.optional("auth.userAuth.openId.issuerUrl")?;
    let mut scopes = reader.list("auth.userAuth.openId.scopes", &["openid", "profile"])?;
    let (Some(client_id), Some(base_url)) = (client_id, base_url) else {
        let note = "clientId or baseUrl is missing: no browser can sign in (flyteadmin skips its checks there)";
        reader.note("auth.userAuth.openId", Verdict::DiffersOnPurpose, "", note);
        return Ok(None);
    };
    web_address("auth.userAuth.openId.baseUrl", &base_url)?;
    warn_plaintext(reader, "auth.userAuth.openId.baseUrl", &base_url);
    if let Some(issuer) = &issuer_url {
        web_address("auth.userAuth.openId.issuerUrl", issuer)?;
    }
    if !scopes.iter().any(|scope| scope == "openid") {
        reader.note("auth.userAuth.openId.scopes", Verdict::DiffersOnPurpose, "", "openid is always asked for");
        scopes.insert(0, "openid".to_owned());
    }
    if !scopes.iter().any(|scope| scope == "offline_access") {
        let note = "without offline_access sessions end with the provider's access token";
        reader.note("auth.userAuth.openId.scopes", Verdict::Honoured, scopes.join(", "), note);
    }
    let client_secret = match &secret_file {
        Some(file) => {
            let found = secrets.file(std::path::Path::new(file))?;
            let missing = || {
                wrong(
                    "auth.userAuth.openId.clientSecretFile",
                    "names a file that is not there",
                    "Use clientSecretName and the secrets folder",
                )
            };
            Some(found.ok_or_else(missing)?)
        }
        None => secrets.get(&secret_name)?,
    };
    let client_secret = client_secret.map(|secret| client_secret_text(&secret)).transpose()?.flatten();
    if client_secret.is_none() {
        let note = format!("no secret ({}): a public client, which PKCE alone protects", secrets.places(&secret_name));
        reader.note("auth.userAuth.openId.clientSecretName", Verdict::Insecure, secret_name, &note);
    }
    Ok(Some(UserAuth {
        redirect_url,
        http_proxy_url,
        cookie_keys: cookie_keys(secrets, &hash_key, &block_key)?,
        same_site,
        cookie_domain,
        idp_query_parameter,
        client_id,
        client_secret,
        base_url,
        issuer_url,
        scopes,
    }))
}

fn client_secret_text(secret: &SecretBytes) -> Result<Option<ClientSecret>> {
    let text = std::str::from_utf8(secret).map_err(|_| {
        wrong(
            "auth.userAuth.openId.clientSecretName",
            "names a secret that is no text",
            "Write the provider's client secret as it is",
        )
    })?;
    Ok(Some(text.trim()).filter(|text| !text.is_empty()).map(ClientSecret::new))
}

fn same_site(reader: &mut Reader) -> Result<SameSite> {
    let key = "auth.userAuth.cookieSetting.sameSitePolicy";
    let text = reader.text(key, "DefaultMode")?;
    match text.to_ascii_lowercase().as_str() {
        "defaultmode" | "laxmode" => Ok(SameSite::Lax),
        "strictmode" => Ok(SameSite::Strict),
        "nonemode" => {
            let note = "other sites' requests carry the cookie: only the check of their origin stands in their way";
            reader.note(key, Verdict::Insecure, text, note);
            Ok(SameSite::None)
        }
        _ => Err(wrong(key, "is none of its names", "Use DefaultMode, LaxMode, StrictMode or NoneMode")),
    }
}

/// The present pair, and the one before, whose names end in `_old`: with it nobody is signed out by a rotation.
fn cookie_keys(secrets: &mut SecretStore<'_>, hash_key: &str, block_key: &str) -> Result<Vec<SecretBytes>> {
    let pair =
        |secrets: &mut SecretStore<'_>, hash_name: &str, hash: &SecretBytes, block_name: &str, block: &SecretBytes| {
            let mut key = secrets.decoded(hash_name, hash, 64)?;
            key.extend(secrets.decoded(block_name, block, 32)?);
            Ok::<_, flyte_auth::Error>(SecretBytes::from(key))
        };
    let (hash, block) = (secrets.require(hash_key)?, secrets.require(block_key)?);
    let mut keys = vec![pair(secrets, hash_key, &hash, block_key, &block)?];
    let (old_hash, old_block) = (format!("{hash_key}_old"), format!("{block_key}_old"));
    if let (Some(hash), Some(block)) = (secrets.get(&old_hash)?, secrets.get(&old_block)?)
        && !hash.is_empty()
        && !block.is_empty()
    {
        keys.push(pair(secrets, &old_hash, &hash, &old_block, &block)?);
    }
    Ok(keys)
}

fn app_auth(
    reader: &mut Reader,
    secrets: &mut SecretStore<'_>,
    server: &Listeners,
    provider: Option<&str>,
) -> Result<AppAuth> {
    let key = "auth.appAuth.authServerType";
    let kind = reader.text(key, "Self")?;
    let own = own_settings(reader)?;
    let external = external_settings(reader, secrets, provider)?;
    let server = match kind.as_str() {
        "Self" => AuthServer::Own(Box::new(own_server(reader, secrets, own, server.use_auth)?)),
        "External" => AuthServer::External(external.ok_or_else(|| {
            let next = "Write the authorization server's address, or userAuth.openId.baseUrl if it is the same";
            wrong("auth.appAuth.externalAuthServer.baseUrl", "is missing", next)
        })?),
        other => {
            let next = if other.eq_ignore_ascii_case("internal") {
                "Write Self: the guide's word Internal was never one that flyteadmin reads"
            } else {
                "Write Self or External, with a capital letter"
            };
            return Err(wrong(key, format!("is {other:?}"), next));
        }
    };
    Ok(AppAuth { server, flyte_client: flyte_client(reader)? })
}

fn flyte_client(reader: &mut Reader) -> Result<FlyteClient> {
    let scopes_key = "auth.appAuth.thirdPartyConfig.flyteClient.scopes";
    let scopes = reader.list(scopes_key, &["all", "offline"])?;
    if !scopes.iter().any(|scope| scope == "offline" || scope == "offline_access") {
        let note = "without offline the command lines get no refresh token, and people sign in every half hour";
        reader.note(scopes_key, Verdict::Honoured, scopes.join(", "), note);
    }
    Ok(FlyteClient {
        client_id: reader.text("auth.appAuth.thirdPartyConfig.flyteClient.clientId", "flytectl")?,
        redirect_uri: reader
            .text("auth.appAuth.thirdPartyConfig.flyteClient.redirectUri", "http://localhost:53593/callback")?,
        scopes,
        audience: reader.text("auth.appAuth.thirdPartyConfig.flyteClient.audience", "")?,
    })
}

/// What of `selfAuthServer` needs no secret.
struct Own {
    issuer: Option<String>,
    access: Duration,
    refresh: Duration,
    code: Duration,
    session: Duration,
    algorithm: SigningAlgorithm,
    key: String,
    old_key: String,
}

fn own_settings(reader: &mut Reader) -> Result<Own> {
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let issuer = reader.optional("auth.appAuth.selfAuthServer.issuer")?;
    if let Some(issuer) = &issuer {
        web_address("auth.appAuth.selfAuthServer.issuer", issuer)?;
    }
    let key = "auth.appAuth.selfAuthServer.signingAlgorithm";
    let algorithm = match reader.text(key, "RS256")?.to_ascii_uppercase().as_str() {
        "RS256" => SigningAlgorithm::Rs256,
        "ES256" => SigningAlgorithm::Es256,
        "EDDSA" => SigningAlgorithm::EdDsa,
        _ => return Err(wrong(key, "is no algorithm that is known here", "Use RS256, ES256 or EdDSA")),
    };
    let rsa = reader.text("auth.appAuth.selfAuthServer.tokenSigningRSAKeySecretName", "token_rsa_key.pem")?;
    let old = reader.text("auth.appAuth.selfAuthServer.oldTokenSigningRSAKeySecretName", "token_rsa_key_old.pem")?;
    let (key, old_key) = match algorithm {
        SigningAlgorithm::Rs256 => (rsa, old),
        SigningAlgorithm::Es256 => ("token_es256_key.pem".to_owned(), "token_es256_key_old.pem".to_owned()),
        SigningAlgorithm::EdDsa => ("token_eddsa_key.pem".to_owned(), "token_eddsa_key_old.pem".to_owned()),
    };
    Ok(Own {
        issuer,
        access: reader.duration("auth.appAuth.selfAuthServer.accessTokenLifespan", minutes(30))?,
        refresh: reader.duration("auth.appAuth.selfAuthServer.refreshTokenLifespan", minutes(60))?,
        code: reader.duration("auth.appAuth.selfAuthServer.authorizationCodeLifespan", minutes(5))?,
        session: reader.duration("auth.appAuth.selfAuthServer.sessionLifespan", minutes(30 * 24 * 60))?,
        algorithm,
        key,
        old_key,
    })
}

fn own_server(reader: &mut Reader, secrets: &mut SecretStore<'_>, own: Own, use_auth: bool) -> Result<OwnServer> {
    let mut signing_keys = Vec::new();
    match secrets.get(&own.key)?.filter(|key| !key.is_empty()) {
        Some(key) => signing_keys.push(key),
        // Without auth nothing is signed.
        None if !use_auth => signing_keys.push(SecretBytes::from(throw_away_key()?)),
        None => signing_keys.push(secrets.require(&own.key)?),
    }
    let mut further = vec![own.old_key];
    if own.algorithm != SigningAlgorithm::Rs256 {
        // Tokens from before the change of algorithm still pass until they lapse.
        further.extend(["token_rsa_key.pem".to_owned(), "token_rsa_key_old.pem".to_owned()]);
    }
    for name in further {
        if let Some(key) = secrets.get(&name)? {
            if key.trim_ascii().is_empty() {
                reader.note(
                    &format!("secrets ({name})"),
                    Verdict::Ignored,
                    "",
                    "the file is empty: there is no earlier key",
                );
            } else {
                signing_keys.push(key);
            }
        }
    }
    Ok(OwnServer {
        issuer: own.issuer,
        access_token_lifetime: own.access,
        refresh_token_lifetime: own.refresh,
        code_lifetime: own.code,
        session_lifetime: own.session,
        algorithm: own.algorithm,
        signing_keys,
        clients: clients::read(reader)?,
    })
}

/// A key for a server that signs nothing.
fn throw_away_key() -> Result<String> {
    rcgen::KeyPair::generate()
        .map(|pair| pair.serialize_pem())
        .map_err(|error| crate::listen::not_started("a key", error))
}

fn external_settings(
    reader: &mut Reader,
    secrets: &mut SecretStore<'_>,
    provider: Option<&str>,
) -> Result<Option<ExternalServer>> {
    let key = "auth.appAuth.externalAuthServer.baseUrl";
    let named = reader.optional(key)?;
    let metadata_url = reader.optional("auth.appAuth.externalAuthServer.metadataUrl")?;
    let allowed_audience = reader.list("auth.appAuth.externalAuthServer.allowedAudience", &[])?;
    let http_proxy_url = proxy(reader, "auth.appAuth.externalAuthServer.httpProxyURL")?;
    let attempts = reader.number("auth.appAuth.externalAuthServer.retryAttempts", 5, 100)?;
    let retry_delay = reader.duration_or_zero("auth.appAuth.externalAuthServer.retryDelay", Duration::from_secs(1))?;
    let client = reader.optional("auth.appAuth.externalAuthServer.introspection.clientId")?;
    let secret_name =
        reader.text("auth.appAuth.externalAuthServer.introspection.clientSecretName", "introspection_client_secret")?;
    let Some(base_url) = named.or_else(|| provider.map(str::to_owned)) else { return Ok(None) };
    web_address(key, &base_url)?;
    warn_plaintext(reader, key, &base_url);
    let introspection = match client {
        None => None,
        Some(client) => {
            let secret = secrets.require(&secret_name)?;
            client_secret_text(&secret)?.map(|secret| (client, secret))
        }
    };
    Ok(Some(ExternalServer {
        base_url,
        metadata_url,
        allowed_audience,
        http_proxy_url,
        retry_attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        retry_delay,
        introspection,
    }))
}
