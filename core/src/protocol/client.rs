//! Client authentication at the token endpoint (RFC 6749 section 2.3, OpenID Connect Core section 9).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;
use zeroize::Zeroizing;

use super::secret::{ClientSecret, SecretBytes};

/// `token_endpoint_auth_method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum ClientAuthMethod {
    /// Public client: `client_id` in the body, no secret.
    #[serde(rename = "none")]
    None,
    /// HTTP Basic, both parts form-encoded (RFC 6749 section 2.3.1).
    #[serde(rename = "client_secret_basic")]
    Basic,
    /// `client_id` and `client_secret` in the body.
    #[serde(rename = "client_secret_post")]
    Post,
}

impl ClientAuthMethod {
    /// The method for a client with a secret, from `token_endpoint_auth_methods_supported`; absent means Basic
    /// (RFC 8414 section 2). Where both are offered Basic wins: it keeps the secret out of body logs.
    pub fn choose(supported: &[String]) -> Self {
        let offers = |name: &str| supported.iter().any(|method| method == name);
        if offers("client_secret_post") && !offers("client_secret_basic") { Self::Post } else { Self::Basic }
    }

    /// The method to try once after `invalid_client`; `None` for a public client.
    pub fn other(self) -> Option<Self> {
        match self {
            Self::None => None,
            Self::Basic => Some(Self::Post),
            Self::Post => Some(Self::Basic),
        }
    }
}

/// A client as it presents itself to the authorization server.
#[derive(Debug, Clone)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// The secret of a confidential client.
    pub secret: Option<ClientSecret>,
    /// How the secret is sent; ignored without one.
    pub method: ClientAuthMethod,
}

impl Client {
    /// A public client.
    pub fn public(id: impl Into<String>) -> Self {
        Self { id: id.into(), secret: None, method: ClientAuthMethod::None }
    }
}

/// The header of HTTP Basic; both parts are form-encoded first (RFC 6749 section 2.3.1). No log shows it, and it is wiped.
pub(crate) fn basic(client_id: &str, secret: &str) -> Option<HeaderValue> {
    let mut pair = SecretBytes::new();
    form_encode(&mut pair, client_id);
    pair.extend(b":");
    form_encode(&mut pair, secret);
    let mut encoded = Zeroizing::new(vec![0; pair.len().div_ceil(3) * 4]);
    let length = BASE64.encode_slice(&*pair, &mut encoded).ok()?;
    let mut header = SecretBytes::from("Basic ");
    header.extend(encoded.get(..length)?);
    header.into_header()
}

/// Adds `text` as a form has it.
pub(crate) fn form_encode(form: &mut SecretBytes, text: &str) {
    for piece in url::form_urlencoded::byte_serialize(text.as_bytes()) {
        form.extend(piece.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_from_metadata() {
        let table: [(&[&str], ClientAuthMethod); 5] = [
            (&[], ClientAuthMethod::Basic),
            (&["client_secret_basic"], ClientAuthMethod::Basic),
            (&["client_secret_post"], ClientAuthMethod::Post),
            (&["client_secret_post", "client_secret_basic"], ClientAuthMethod::Basic),
            (&["private_key_jwt", "none"], ClientAuthMethod::Basic),
        ];
        for (supported, expected) in table {
            let supported: Vec<String> = supported.iter().map(ToString::to_string).collect();
            assert_eq!(ClientAuthMethod::choose(&supported), expected, "{supported:?}");
        }
    }
}
