//! Values that would only fail, or do harm, where they are used: refused here, by the name that the user gave them.

use std::collections::BTreeMap;

use super::Setting;
use super::keys::Entry;
use crate::error::{Error, Result};

/// What the grants themselves send, and what makes a login safe: `extraParams` may not put another value beside it.
const RESERVED: [&str; 17] = [
    "grant_type",
    "response_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "redirect_uri",
    "state",
    "nonce",
    "code",
    "code_verifier",
    "code_challenge",
    "code_challenge_method",
    "refresh_token",
    "device_code",
    "scope",
    "audience",
];

/// `extraParams` of all layers, the first that names a parameter counts.
pub(super) fn extra_params<'a>(entries: impl Iterator<Item = &'a Entry>) -> Result<BTreeMap<String, Setting<String>>> {
    let mut params = BTreeMap::new();
    for entry in entries {
        for (name, value) in entry.map()? {
            if RESERVED.contains(&name.as_str()) {
                let setting = entry.setting();
                let next = match name.as_str() {
                    "scope" => "Use admin.scopes or --scopes".to_owned(),
                    "audience" => "Use admin.audience or --audience".to_owned(),
                    "client_id" => "Use admin.clientId or --client-id".to_owned(),
                    name => format!("Leave {name} out: the login sets it"),
                };
                let message = format!("{setting} sets `{name}`, which is no further parameter");
                return Err(Error::config("extra_param_reserved", setting, message).with_next(next));
            }
            params.entry(name).or_insert_with(|| Setting::new(value, entry.origin.clone()));
        }
    }
    Ok(params)
}

/// `tokenUrl` and `issuer`: an address that secrets are sent to.
pub(super) fn web_address(entry: &Entry, text: Setting<String>) -> Result<Setting<String>> {
    let usable = url::Url::parse(&text.value).is_ok_and(|url| {
        matches!(url.scheme(), "https" | "http")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    });
    if usable {
        return Ok(text);
    }
    // It is not repeated: it may hold a password.
    let setting = entry.setting();
    let message = format!("{setting} is no absolute URL of the web, or carries user info or a fragment");
    Err(Error::config("url_invalid", setting, message)
        .with_next("Give it as the authorization server writes it, for example https://HOST/PATH"))
}

/// `authorizationHeader`: a field name (RFC 9110 section 5.1).
pub(super) fn header_name(entry: &Entry, text: Setting<String>) -> Result<Setting<String>> {
    if http::HeaderName::from_bytes(text.value.as_bytes()).is_ok() {
        return Ok(text);
    }
    let setting = entry.setting();
    let message = format!("{setting} is not the name of a header");
    Err(Error::config("header_invalid", setting, message)
        .with_next("Use letters, digits and dashes, as in authorization"))
}
