//! What a sandbox can be told, and the words of its command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderName;
use flyte_auth::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use flyte_auth::error::Error;
use flyte_auth::protocol::secret::ClientSecret;
use flyte_auth::transport::HttpTransport;

use super::faults::Fault;
use crate::authorization_server::{Client, Grants, RedirectUri, Secret};
use crate::flyte::Generations;
use crate::keys::SigningAlgorithm;

/// What a sandbox can be told. `Options::default()` is a whole sandbox on free ports.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--http-port`; 0: any free one.
    pub http_port: u16,
    /// `--grpc-port`; 0: any free one.
    pub grpc_port: u16,
    /// Port for HTTPS, with `tls`; 0: any free one.
    pub https_port: u16,
    /// `--tls`: an HTTPS port with a certificate of a private CA, which the gRPC port then speaks too.
    pub tls: bool,
    /// `--generation`.
    pub generations: Generations,
    /// `--state`: keys, certificates and refresh tokens live here and outlive a restart. `None`: in memory.
    pub state: Option<PathBuf>,
    /// `--access-token-lifetime`; also that of ID tokens.
    pub access_token_lifetime: Duration,
    /// `--refresh-token-lifetime`.
    pub refresh_token_lifetime: Duration,
    /// `--rotate-refresh-tokens`.
    pub rotate_refresh_tokens: bool,
    /// `--auto-approve`: this user is signed in without a page.
    pub auto_approve: Option<String>,
    /// `--client`: clients beside, or in place of, `flytectl` and `flytepropeller`.
    pub clients: Vec<ClientSpec>,
    /// `--external-issuer`: another server issues the tokens. Needs `transport`.
    pub external_issuer: Option<String>,
    /// With `external_issuer`: tokens must name one of these audiences (empty: any passes); the first is what the public
    /// client is told to ask for.
    pub audience: Vec<String>,
    /// Carries the calls to the external issuer.
    pub transport: Option<Arc<dyn HttpTransport>>,
    /// `--fault`.
    pub faults: Vec<Fault>,
    /// How tokens are signed.
    pub signing_algorithm: SigningAlgorithm,
    /// Header that clients are told to use for both generations; `None`: each generation's default.
    pub authorization_metadata_key: Option<String>,
    /// Lifetime of authorization codes and of a sign-in page.
    pub code_lifetime: Duration,
    /// Lifetime of device codes.
    pub device_code_lifetime: Duration,
    /// Least time between polls of a device, in whole seconds.
    pub device_interval: Duration,
    /// The time before the admin interface moves it.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            http_port: 0,
            grpc_port: 0,
            https_port: 0,
            tls: false,
            generations: Generations::Both,
            state: None,
            // flyteadmin's defaults (auth/config/config.go): 30 minutes, and 5 for codes; a day of refresh is friendlier
            // than its hour.
            access_token_lifetime: Duration::from_secs(30 * 60),
            refresh_token_lifetime: Duration::from_secs(24 * 3600),
            rotate_refresh_tokens: false,
            auto_approve: None,
            clients: Vec::new(),
            external_issuer: None,
            audience: Vec::new(),
            transport: None,
            faults: Vec::new(),
            signing_algorithm: SigningAlgorithm::Rs256,
            authorization_metadata_key: None,
            code_lifetime: Duration::from_secs(5 * 60),
            device_code_lifetime: Duration::from_secs(10 * 60),
            device_interval: Duration::from_secs(5),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        }
    }
}

/// `--generation`.
impl FromStr for Generations {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "1" => Ok(Self::One),
            "2" => Ok(Self::Two),
            "both" => Ok(Self::Both),
            _ => Err(Error::config("generation_invalid", "--generation", "the generation is not known")
                .with_next("Use 1, 2 or both")),
        }
    }
}

/// Scopes that every client of a sandbox may ask for: Flyte's `all` and `offline`, and OpenID's.
const SCOPES: [&str; 6] = ["all", "offline", "offline_access", "openid", "profile", "email"];

/// `--client id=NAME,secret=SECRET,redirect=URI`: without a secret it is public; `redirect` and `scope` may come more
/// than once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientSpec {
    /// `client_id`.
    pub id: String,
    /// Its secret, if it has one.
    pub secret: Option<ClientSecret>,
    /// Where codes may be sent.
    pub redirects: Vec<String>,
    /// Scopes beyond the standard ones.
    pub scopes: Vec<String>,
}

fn client_error(message: impl Into<String>) -> Error {
    Error::config("client_invalid", "--client", message)
        .with_next("Write id=NAME,secret=SECRET,redirect=URI; without a secret the client is public")
}

impl FromStr for ClientSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut spec = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            // The part itself is not repeated in errors: it may be the secret.
            let (name, value) = part.split_once('=').ok_or_else(|| client_error("a part has no ="))?;
            if value.is_empty() {
                return Err(client_error(format!("{name} is empty")));
            }
            match name.trim() {
                "id" if spec.id.is_empty() => value.clone_into(&mut spec.id),
                "secret" if spec.secret.is_none() => spec.secret = Some(ClientSecret::new(value)),
                "redirect" => spec.redirects.push(value.to_owned()),
                "scope" => spec.scopes.push(value.to_owned()),
                "id" | "secret" => return Err(client_error(format!("{name} comes twice"))),
                _ => return Err(client_error("a part is none of id, secret, redirect and scope")),
            }
        }
        if spec.id.is_empty() {
            return Err(client_error("id is missing"));
        }
        Ok(spec)
    }
}

impl ClientSpec {
    /// The client as the authorization server has it.
    pub(super) fn into_client(self) -> Result<Client, Error> {
        let redirect_uris = self
            .redirects
            .iter()
            .map(|uri| {
                RedirectUri::parse(uri)
                    .ok_or_else(|| client_error("a redirect is not an absolute URL without a fragment"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let public = self.secret.is_none();
        let acts_for_people = public || !redirect_uris.is_empty();
        let mut scopes: Vec<String> = SCOPES.map(str::to_owned).into();
        scopes.extend(self.scopes);
        Ok(Client {
            id: self.id,
            secrets: self.secret.map(Secret::Plain).into_iter().collect(),
            keys: None,
            public,
            redirect_uris,
            grants: Grants {
                code: acts_for_people,
                refresh: acts_for_people,
                client_credentials: !public,
                device: acts_for_people,
            },
            scopes,
            // Flyte's whole API, as flyteadmin gives it.
            default_scopes: vec!["all".to_owned()],
            audience: None,
        })
    }
}

/// Flyte's two static clients as every deployment guide has them: `flytectl`, and `flytepropeller` with secret `foobar`.
pub(super) fn static_clients() -> [ClientSpec; 2] {
    let redirects = [
        "http://localhost:53593/callback",
        "http://localhost:12345/callback",
        // Any port (RFC 8252 section 7.3).
        "http://127.0.0.1/callback",
        "http://[::1]/callback",
    ];
    [
        ClientSpec {
            id: "flytectl".to_owned(),
            redirects: redirects.map(str::to_owned).to_vec(),
            ..ClientSpec::default()
        },
        ClientSpec {
            id: "flytepropeller".to_owned(),
            secret: Some(ClientSecret::new("foobar")),
            ..ClientSpec::default()
        },
    ]
}

/// The name of the header for tokens.
pub(super) fn header_name(name: &str) -> Result<HeaderName, Error> {
    name.parse().map_err(|_| {
        Error::config("header_invalid", "authorization_metadata_key", "the name is not a header name")
            .with_next("Use a lower-case header name such as flyte-authorization")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_parse() {
        let spec: ClientSpec =
            "id=web,secret=s=1,redirect=http://127.0.0.1/cb,redirect=https://a.example/cb".parse().unwrap();
        assert_eq!(spec.secret, Some(ClientSecret::new("s=1")));
        assert_eq!(spec.redirects.len(), 2);
        let client = spec.into_client().unwrap();
        assert!(client.grants.client_credentials && client.grants.code && !client.public);
        let machine = "id=ci,secret=x".parse::<ClientSpec>().unwrap().into_client().unwrap();
        assert!(machine.grants.client_credentials && !machine.grants.code);
        let public = "id=cli".parse::<ClientSpec>().unwrap().into_client().unwrap();
        assert!(!public.grants.client_credentials && public.grants.code && public.public);
        for bad in
            ["", "secret=x", "id=", "id=a,id=b", "id=a,secret=canary,secret=canary", "id=a,canary", "id=a,x=canary"]
        {
            let error = bad.parse::<ClientSpec>().unwrap_err();
            assert_eq!(error.code(), "client_invalid", "{bad}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        let fragment: ClientSpec = "id=a,redirect=http://a/#f".parse().unwrap();
        assert_eq!(fragment.into_client().unwrap_err().code(), "client_invalid");
    }

    #[test]
    fn generations_parse() {
        assert_eq!("both".parse::<Generations>().unwrap(), Generations::Both);
        assert_eq!("3".parse::<Generations>().unwrap_err().setting(), Some("--generation"));
    }
}
