//! What a relying party is told, checked once: a wrong setting is refused before the first request.

use std::fmt;
use std::time::Duration;

use url::Url;

use super::seal::Keys;
use crate::discovery;
use crate::error::{Error, Result};
use crate::firewall::Origin;
use crate::firewall::address::{Plaintext, is_loopback_url, usable};
use crate::protocol::client::{Client, ClientAuthMethod};
use crate::protocol::metadata;
use crate::protocol::secret::{ClientSecret, SecretBytes};

/// A session ends so long after its sign-in, whatever is done with it, unless said otherwise.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A session that nobody uses ends after this, unless said otherwise.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// What is asked for unless said otherwise: who it is, and a refresh token.
pub const SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];
/// The session cookie's name, unless said otherwise, before its prefix.
pub const COOKIE_NAME: &str = "flyte_auth";
/// Parameters of an authorization request that are this room's alone.
const OWN_PARAMETERS: [&str; 11] = [
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_type",
    "scope",
    "state",
];

/// `SameSite` of the session cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SameSite {
    /// Sent with navigations from other sites, not with their requests.
    #[default]
    Lax,
    /// Never sent from another site: whoever follows a link from there signs in anew, without being asked where the
    /// provider remembers the person.
    Strict,
    /// Sent from everywhere, for an application inside another site's frame. The check of state-changing requests is
    /// then the only guard.
    None,
}

impl SameSite {
    /// The setting `sameSite`: `lax`, `strict` or `none`.
    ///
    /// # Errors
    /// `same_site_invalid`.
    pub fn named(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "lax" => Ok(Self::Lax),
            "strict" => Ok(Self::Strict),
            "none" => Ok(Self::None),
            _ => Err(wrong("same_site_invalid", "sameSite", "sameSite is none of lax, strict, none")),
        }
    }

    pub(super) const fn attribute(self) -> &'static str {
        match self {
            Self::Lax => "Lax",
            Self::Strict => "Strict",
            Self::None => "None",
        }
    }
}

/// What is told; [`super::RelyingPartyBuilder`] fills it.
pub(super) struct Told {
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) client_secret: Option<ClientSecret>,
    pub(super) base_url: String,
    pub(super) cookie_keys: Vec<SecretBytes>,
    pub(super) paths: [String; 4],
    pub(super) scopes: Vec<String>,
    pub(super) audience: Option<String>,
    pub(super) extra: Vec<(String, String)>,
    pub(super) idp_parameter: Option<String>,
    pub(super) cookie_name: String,
    pub(super) cookie_domain: Option<String>,
    pub(super) same_site: SameSite,
    pub(super) return_origins: Vec<String>,
    pub(super) trusted_origins: Vec<String>,
    pub(super) home: Option<String>,
    pub(super) post_logout_redirect: Option<String>,
    pub(super) session_lifetime: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) user_info: bool,
    pub(super) revoke_on_logout: bool,
    pub(super) provider_logout: bool,
    pub(super) header_name: String,
    pub(super) plaintext: bool,
}

/// The paths of the four routes, with the base URL's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Begins a sign-in.
    pub login: String,
    /// Takes the provider's answer; registered there as the redirect URI.
    pub callback: String,
    /// Ends the session.
    pub logout: String,
    /// Who is signed in, as JSON.
    pub me: String,
}

/// Checked settings.
pub(super) struct Settings {
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) client_secret: Option<ClientSecret>,
    /// What the application is called from outside.
    pub(super) base: Url,
    pub(super) origin: Origin,
    pub(super) paths: Paths,
    pub(super) redirect_uri: String,
    pub(super) keys: Keys,
    pub(super) scopes: Vec<String>,
    pub(super) audience: Option<String>,
    pub(super) extra: Vec<(String, String)>,
    pub(super) idp_parameter: Option<String>,
    pub(super) cookie_name: String,
    pub(super) cookie_domain: Option<String>,
    pub(super) secure: bool,
    pub(super) same_site: SameSite,
    pub(super) return_origins: Vec<Origin>,
    pub(super) trusted_origins: Vec<Origin>,
    pub(super) home: String,
    pub(super) post_logout_redirect: Option<String>,
    pub(super) session_lifetime: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) user_info: bool,
    pub(super) revoke_on_logout: bool,
    pub(super) provider_logout: bool,
    pub(super) header_name: String,
    pub(super) plaintext: Plaintext,
}

impl fmt::Debug for Settings {
    // The client's secret, the keys, and extra parameters that may be secrets stay unseen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("base", &self.base.as_str())
            .field("paths", &self.paths)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

fn wrong(code: &'static str, setting: &'static str, message: impl Into<String>) -> Error {
    Error::config(code, setting, message)
}

impl Settings {
    pub(super) fn check(told: Told) -> Result<Self> {
        let plaintext = Plaintext::accepted(told.plaintext);
        if let Err(what) = discovery::check_address(&told.issuer, told.plaintext) {
            return Err(wrong("issuer_invalid", "issuer", format!("the issuer {what}"))
                .with_next("Give it as the provider writes it: https://HOST/PATH, without /.well-known/…"));
        }
        if told.client_id.is_empty() {
            return Err(wrong("client_id_missing", "clientId", "a relying party needs a client id")
                .with_next("Give the id that the provider registered for this application"));
        }
        let base = usable(&told.base_url, plaintext).ok().filter(|base| base.query().is_none()).ok_or_else(|| {
            let what = usable(&told.base_url, plaintext).err().unwrap_or("contains a query");
            wrong("base_url_invalid", "baseURL", format!("the base URL {what}"))
                .with_next("Give the address that browsers use: https://HOST, or http://localhost:PORT to develop")
        })?;
        let secure = base.scheme() == "https";
        let root = base.path().trim_end_matches('/').to_owned();
        let paths = paths(&root, &told.paths)?;
        let origin = Origin::of(&base);
        let redirect_uri = format!("{origin}{}", paths.callback);
        let keys = Keys::new(&told.cookie_keys)?;
        check_parameters(&told)?;
        let cookie_name = cookie_name(&told, secure)?;
        // A browser takes no SameSite=None without Secure, and takes Secure on this machine without TLS too.
        if told.same_site == SameSite::None && !secure && !is_loopback_url(&base) {
            return Err(wrong("same_site_invalid", "sameSite", "sameSite none needs an https base URL"));
        }
        let home = told.home.unwrap_or_else(|| format!("{root}/"));
        let origins = |texts: &[String], setting| -> Result<Vec<Origin>> {
            texts.iter().map(|text| whole_origin(text, plaintext, setting)).collect()
        };
        let mut made = Self {
            issuer: told.issuer,
            client_id: told.client_id,
            client_secret: told.client_secret,
            origin,
            paths,
            redirect_uri,
            keys,
            scopes: told.scopes,
            audience: told.audience.filter(|audience| !audience.is_empty()),
            extra: told.extra,
            idp_parameter: told.idp_parameter.filter(|name| !name.is_empty()),
            cookie_name,
            cookie_domain: told.cookie_domain,
            secure,
            same_site: told.same_site,
            return_origins: origins(&told.return_origins, "returnTo")?,
            trusted_origins: origins(&told.trusted_origins, "trustedOrigins")?,
            home: String::new(),
            post_logout_redirect: None,
            session_lifetime: told.session_lifetime,
            idle_timeout: told.idle_timeout,
            user_info: told.user_info,
            revoke_on_logout: told.revoke_on_logout,
            provider_logout: told.provider_logout,
            header_name: metadata::header_name(&told.header_name)
                .ok_or_else(|| wrong("header_name_invalid", "headerName", "no header of that name can take a token"))?,
            plaintext,
            base,
        };
        made.home = made
            .return_to(&home)
            .ok_or_else(|| wrong("home_invalid", "home", "home is neither a path here nor at an origin of returnTo"))?;
        if let Some(after) = told.post_logout_redirect {
            // Registered at the provider, which compares it as a whole text: it goes there as it was given.
            usable(&after, plaintext).map_err(|what| {
                wrong("post_logout_redirect_invalid", "postLogoutRedirect", format!("the redirect after logout {what}"))
            })?;
            made.post_logout_redirect = Some(after);
        }
        Ok(made)
    }

    /// The client as it presents itself, with the method that the provider takes.
    pub(super) fn client(&self, supported: &[String]) -> Client {
        match &self.client_secret {
            None => Client::public(&self.client_id),
            Some(secret) => Client {
                id: self.client_id.clone(),
                secret: Some(secret.clone()),
                method: ClientAuthMethod::choose(supported),
            },
        }
    }

    /// Whether the provider answers with a form that another site posts here.
    pub(super) fn posts_back(&self) -> bool {
        self.extra.iter().any(|(name, value)| name == "response_mode" && value == "form_post")
    }

    /// Whether browsers tell here who started a request (`Sec-Fetch-Site`): they do where they trust the connection.
    pub(super) fn is_trustworthy(&self) -> bool {
        self.secure || is_loopback_url(&self.base)
    }
}

fn paths(root: &str, given: &[String; 4]) -> Result<Paths> {
    const SETTINGS: [&str; 4] = ["loginPath", "callbackPath", "logoutPath", "mePath"];
    for (path, setting) in given.iter().zip(SETTINGS) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        let usable = path.len() > 1
            && path.starts_with('/')
            && path.bytes().all(plain)
            && path.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != "..");
        if !usable {
            return Err(wrong("path_invalid", setting, format!("{setting} is no plain absolute path"))
                .with_next("Use letters, digits, - . _ ~ and single slashes, as in /login"));
        }
        if given.iter().filter(|other| *other == path).count() > 1 {
            return Err(wrong("path_invalid", setting, format!("{setting} is the path of another route too")));
        }
    }
    let [login, callback, logout, me] = given.each_ref().map(|path| format!("{root}{path}"));
    Ok(Paths { login, callback, logout, me })
}

fn check_parameters(told: &Told) -> Result<()> {
    if !told.scopes.iter().any(|scope| scope == "openid") {
        return Err(wrong("scopes_invalid", "scopes", "without the scope openid nobody is signed in")
            .with_next("Add openid to scopes"));
    }
    let names = told.extra.iter().map(|(name, _)| (name, "extraParams"));
    for (name, setting) in names.chain(told.idp_parameter.iter().map(|name| (name, "idpQueryParameter"))) {
        if OWN_PARAMETERS.contains(&name.as_str()) {
            return Err(wrong("parameter_reserved", setting, format!("{setting} names {name:?}, which is set here")));
        }
    }
    if told
        .extra
        .iter()
        .any(|(name, value)| name == "response_mode" && !["query", "form_post"].contains(&value.as_str()))
    {
        return Err(wrong("parameter_invalid", "extraParams", "response_mode is neither query nor form_post"));
    }
    if told.session_lifetime < Duration::from_secs(60) || told.idle_timeout < Duration::from_secs(60) {
        return Err(wrong("lifetime_invalid", "sessionLifetime", "a session lives and idles for at least 60 s"));
    }
    Ok(())
}

/// With the prefix that binds the cookie to this host and to TLS (RFC 6265bis section 4.1.3).
fn cookie_name(told: &Told, secure: bool) -> Result<String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let name = &told.cookie_name;
    if name.is_empty() || name.len() > 64 || name.starts_with("__") || !name.bytes().all(token) {
        return Err(wrong("cookie_name_invalid", "cookieName", "the cookie name is no plain name")
            .with_next("Use letters, digits, - and _; the prefix __Host- or __Secure- is added here"));
    }
    if let Some(domain) = &told.cookie_domain
        && (domain.is_empty() || !domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)))
    {
        return Err(wrong("cookie_domain_invalid", "cookieDomain", "the cookie domain is no host name"));
    }
    Ok(match (secure, &told.cookie_domain) {
        (false, _) => name.clone(),
        (true, Some(_)) => format!("__Secure-{name}"),
        (true, None) => format!("__Host-{name}"),
    })
}

/// An origin and nothing beside it: what follows would look like a rule and be none.
fn whole_origin(text: &str, plaintext: Plaintext, setting: &'static str) -> Result<Origin> {
    let url = usable(text, plaintext).map_err(|what| {
        wrong("origin_invalid", setting, format!("an origin in {setting} {what}"))
            .with_next("Write https://HOST[:PORT]")
    })?;
    if url.path() != "/" || url.query().is_some() {
        return Err(wrong("origin_invalid", setting, format!("an origin in {setting} has a path or a query"))
            .with_next("Write https://HOST[:PORT]"));
    }
    Ok(Origin::of(&url))
}

#[cfg(test)]
mod tests;
