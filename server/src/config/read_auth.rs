//! The section `auth`.

use flyte_auth::config::ProxyUrl;
use flyte_auth::error::Result;
use flyte_auth::protocol::secret::{ClientSecret, SecretBytes};
use flyte_auth::relying_party::SameSite;

use super::model::{AppAuth, AuthorizedUri, Listeners, Resource, UserAuth};
use super::read_app_auth::app_auth;
use super::reader::{Reader, web_address, wrong};
use super::report::Verdict;
use super::secrets::{MAKE_KEYS, SecretStore};

pub(super) struct Auth {
    pub(super) resource: Resource,
    pub(super) user_auth: Option<UserAuth>,
    pub(super) app_auth: AppAuth,
}

pub(super) fn auth(reader: &mut Reader, secrets: &mut SecretStore<'_>, server: &Listeners) -> Result<Auth> {
    let resource = resource(reader, server)?;
    let base_url = provider_address(reader)?;
    let user_auth = user_auth(reader, secrets, server, base_url.clone())?;
    let app_auth = app_auth(reader, secrets, server, base_url.as_deref())?;
    if reader.is_set("auth.tokenEndpointProxyPath") {
        reader.ignored("auth.tokenEndpointProxyPath", "not known to flyteadmin 1.16");
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

pub(super) fn proxy(reader: &mut Reader, key: &'static str) -> Result<Option<ProxyUrl>> {
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
pub(super) fn warn_plaintext(reader: &mut Reader, key: &str, text: &str) {
    let open = url::Url::parse(text)
        .is_ok_and(|url| url.scheme() == "http" && !flyte_auth::firewall::address::is_loopback_url(&url));
    if open {
        reader.note(key, Verdict::Insecure, text, "no TLS: whoever is on the way can sign in as anybody");
    }
}

/// `openId.baseUrl`, which `externalAuthServer` falls back on, whether browsers can sign in or not.
fn provider_address(reader: &mut Reader) -> Result<Option<String>> {
    let key = "auth.userAuth.openId.baseUrl";
    let base_url = reader.optional(key)?;
    if let Some(base_url) = &base_url {
        web_address(key, base_url)?;
        warn_plaintext(reader, key, base_url);
    }
    Ok(base_url)
}

fn user_auth(
    reader: &mut Reader,
    secrets: &mut SecretStore<'_>,
    server: &Listeners,
    base_url: Option<String>,
) -> Result<Option<UserAuth>> {
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
    let issuer_url = reader.optional("auth.userAuth.openId.issuerUrl")?;
    let mut scopes = reader.list("auth.userAuth.openId.scopes", &["openid", "profile"])?;
    let (Some(client_id), Some(base_url)) = (client_id, base_url) else {
        let note = "clientId or baseUrl is missing: no browser can sign in (flyteadmin skips its checks there)";
        reader.note("auth.userAuth.openId", Verdict::DiffersOnPurpose, "", note);
        return Ok(None);
    };
    if let Some(issuer) = &issuer_url {
        web_address("auth.userAuth.openId.issuerUrl", issuer)?;
    }
    let Some(cookie_keys) = cookie_keys(secrets, server, &hash_key, &block_key)? else {
        reader.note("auth.userAuth.openId", Verdict::Ignored, "", "useAuth is false, and there are no cookie keys");
        return Ok(None);
    };
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
    let key = "auth.userAuth.openId.clientSecretName";
    let client_secret = client_secret.map(|secret| client_secret_text(key, &secret)).transpose()?.flatten();
    if client_secret.is_none() {
        let note = format!("no secret ({}): a public client, which PKCE alone protects", secrets.places(&secret_name));
        reader.note(key, Verdict::Insecure, secret_name, &note);
    }
    Ok(Some(UserAuth {
        redirect_url,
        http_proxy_url,
        cookie_keys,
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

/// The secret that the setting `key` names, without white space around it; `None`: there is nothing else.
pub(super) fn client_secret_text(key: &str, secret: &SecretBytes) -> Result<Option<ClientSecret>> {
    let text = std::str::from_utf8(secret).map_err(|_| {
        wrong(key, "names a secret that is no text", "Write the client secret there as the provider shows it")
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

/// The present pair, and the one before, whose names end in `_old`: with it nobody is signed out by a rotation. `None`:
/// there is none, and nobody signs in.
fn cookie_keys(
    secrets: &mut SecretStore<'_>,
    server: &Listeners,
    hash_name: &str,
    block_name: &str,
) -> Result<Option<Vec<SecretBytes>>> {
    let present = match secrets.cookie_key(hash_name, block_name, MAKE_KEYS)? {
        Some(key) => key,
        // The charts have the section even where auth is off, and nobody made keys then.
        None if !server.use_auth => return Ok(None),
        None => return Err(secrets.missing(hash_name, MAKE_KEYS)),
    };
    let (old_hash, old_block) = (format!("{hash_name}_old"), format!("{block_name}_old"));
    let earlier = secrets.cookie_key(&old_hash, &old_block, "Put both earlier keys there, or neither")?;
    Ok(Some(std::iter::once(present).chain(earlier).collect()))
}
