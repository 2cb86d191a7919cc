//! A verifier from plain settings.

use std::time::Duration;

use flyte_auth::protocol::secret::ClientSecret;
use flyte_auth::verify::{Algorithm, Introspection, KeySet, Profile, Verifier};
use flyte_auth::{Error, Result};

/// What a verifier is made from. What is `None` or empty has the core's default.
#[derive(Default)]
pub struct VerifierSettings {
    /// `iss` of the tokens.
    pub issuer: String,
    /// One of these must be in `aud`.
    pub audience: Vec<String>,
    /// Take any audience.
    pub any_audience: bool,
    /// The issuer's keys: a JWK set (RFC 7517) as JSON.
    pub jwks: Option<Vec<u8>>,
    /// Where they are.
    pub jwks_uri: Option<String>,
    /// Names of algorithms (RFC 7518) that are taken.
    pub algorithms: Option<Vec<String>>,
    /// Name of the profile.
    pub profile: Option<String>,
    /// How far clocks may differ.
    pub clock_skew: Option<Duration>,
    /// All of these must have been granted.
    pub required_scopes: Vec<String>,
    /// Who asks about opaque tokens (RFC 7662).
    pub introspection_client_id: Option<String>,
    /// Its secret.
    pub introspection_client_secret: Option<ClientSecret>,
    /// Where; else as the issuer's metadata say.
    pub introspection_endpoint: Option<String>,
    /// How many verified tokens are remembered.
    pub remember: Option<usize>,
    /// Take an issuer without TLS.
    pub plaintext: bool,
}

fn incomplete(given: &'static str) -> Error {
    let what = format!("{given} is not enough: introspection needs a client's id and its secret");
    Error::config("introspection_incomplete", given, what).with_next("Give both, or neither")
}

impl VerifierSettings {
    /// Touches no network.
    ///
    /// # Errors
    /// Kind `Config`, with the setting.
    pub fn build(self) -> Result<Verifier> {
        let mut builder = Verifier::builder(self.issuer);
        for audience in self.audience {
            builder = builder.audience(audience);
        }
        if self.any_audience {
            builder = builder.any_audience();
        }
        if let Some(jwks) = self.jwks {
            builder = builder.jwks(KeySet::configured(&jwks)?);
        }
        if let Some(uri) = self.jwks_uri {
            builder = builder.jwks_uri(uri);
        }
        if let Some(names) = self.algorithms {
            builder = builder.algorithms(names.iter().map(|name| Algorithm::named(name)).collect::<Result<Vec<_>>>()?);
        }
        if let Some(name) = self.profile {
            builder = builder.profile(Profile::named(&name)?);
        }
        if let Some(skew) = self.clock_skew {
            builder = builder.clock_skew(skew);
        }
        for scope in self.required_scopes {
            builder = builder.required_scope(scope);
        }
        match (self.introspection_client_id, self.introspection_client_secret) {
            (Some(client_id), Some(secret)) => {
                let mut introspection = Introspection::new(client_id, secret);
                if let Some(endpoint) = self.introspection_endpoint {
                    introspection = introspection.endpoint(endpoint);
                }
                builder = builder.introspection(introspection);
            }
            (Some(_), None) => return Err(incomplete("introspection_client_id")),
            (None, Some(_)) => return Err(incomplete("introspection_client_secret")),
            (None, None) if self.introspection_endpoint.is_some() => {
                return Err(incomplete("introspection_endpoint"));
            }
            (None, None) => {}
        }
        if let Some(count) = self.remember {
            builder = builder.remember(count);
        }
        builder.plaintext(self.plaintext).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: VerifierSettings) -> Error {
        settings.build().map(|_| ()).expect_err("it is refused")
    }

    #[test]
    fn half_of_an_introspection_is_named() {
        let settings = || VerifierSettings {
            issuer: "https://idp.example.org".to_owned(),
            audience: vec!["flyte".to_owned()],
            ..VerifierSettings::default()
        };
        assert!(settings().build().is_ok());
        let id = Some("id".to_owned());
        let error = refused(VerifierSettings { introspection_client_id: id, ..settings() });
        assert_eq!((error.code(), error.setting()), ("introspection_incomplete", Some("introspection_client_id")));
        let secret = Some(ClientSecret::new("secret"));
        let error = refused(VerifierSettings { introspection_client_secret: secret, ..settings() });
        assert_eq!(error.setting(), Some("introspection_client_secret"));
        let endpoint = Some("https://idp.example.org/introspect".to_owned());
        let error = refused(VerifierSettings { introspection_endpoint: endpoint, ..settings() });
        assert_eq!(error.setting(), Some("introspection_endpoint"));
    }
}
