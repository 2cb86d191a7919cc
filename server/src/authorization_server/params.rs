//! Parameters of a query or a form: each at most once, an empty value as if it were absent (RFC 6749 section 3.1).

use std::collections::HashMap;

use axum::http::{HeaderMap, header};

use super::OAuthError;

/// Decoded parameters.
#[derive(Default)]
pub(super) struct Params(HashMap<String, String>);

impl std::fmt::Debug for Params {
    // Codes, verifiers, tokens and secrets come this way: names only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Params {
    /// From `application/x-www-form-urlencoded` bytes.
    pub(super) fn parse(encoded: &[u8]) -> Result<Self, OAuthError> {
        let mut params = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(encoded) {
            // RFC 8707 lets `resource` come more than once; it is an audience here, and all are kept.
            if name == "resource" && params.contains_key("resource") {
                params.entry("resource".to_owned()).and_modify(|all: &mut String| {
                    all.push(' ');
                    all.push_str(&value);
                });
            } else if params.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(OAuthError::invalid_request(format!("the parameter {name} came more than once")));
            }
        }
        params.retain(|_, value: &mut String| !value.is_empty());
        Ok(Self(params))
    }

    /// From the body of a form post.
    pub(super) fn form(headers: &HeaderMap, body: &[u8]) -> Result<Self, OAuthError> {
        let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(OAuthError::invalid_request("the body must be application/x-www-form-urlencoded"));
        }
        Self::parse(body)
    }

    /// The same, with `name` set to `value`.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The value of `name`, if it came and is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of `name`, or a refusal that names it.
    pub(super) fn require(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| OAuthError::invalid_request(format!("the parameter {name} is missing")))
    }

    /// The value of `name`, split at spaces.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        self.get(name).unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect()
    }

    /// Audiences that were asked for, by `audience` or RFC 8707's `resource`.
    pub(super) fn audience(&self) -> Vec<String> {
        let mut audience = self.list("audience");
        audience.extend(self.list("resource"));
        audience.sort();
        audience.dedup();
        audience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_and_not_empty() {
        let params = Params::parse(b"a=1&b=&c=x%20y+z").unwrap();
        assert_eq!((params.get("a"), params.get("b"), params.get("c")), (Some("1"), None, Some("x y z")));
        assert_eq!(params.require("b").unwrap_err().description, "the parameter b is missing");
        assert_eq!(params.list("c"), ["x", "y", "z"]);
        assert_eq!(Params::parse(b"a=1&a=2").unwrap_err().code, "invalid_request");
        assert_eq!(Params::parse(b"resource=u:1&resource=u:2&audience=u:1").unwrap().audience(), ["u:1", "u:2"]);
    }

    #[test]
    fn only_forms() {
        let mut headers = HeaderMap::new();
        assert!(Params::form(&headers, b"a=1").is_err());
        headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        assert!(Params::form(&headers, b"a=1").is_err());
        headers.insert(header::CONTENT_TYPE, "Application/X-www-form-urlencoded; charset=utf-8".parse().unwrap());
        assert!(Params::form(&headers, b"a=1").is_ok());
    }
}
