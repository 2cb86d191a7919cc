//! `auth.appAuth`: who issues access tokens, and what the command lines are told.

use std::time::Duration;

use flyte_auth::error::Result;
use flyte_auth::protocol::secret::SecretBytes;
use url::Url;

use super::model::{AppAuth, AuthServer, ExternalServer, FlyteClient, Listeners, OwnServer};
use super::read_auth::{client_secret_text, proxy, warn_plaintext};
use super::reader::{Reader, web_address, wrong};
use super::report::Verdict;
use super::secrets::SecretStore;
use super::{clients, secrets_init};
use crate::keys::{SigningAlgorithm, new_private_key};

pub(super) fn app_auth(
    reader: &mut Reader,
    secrets: &mut SecretStore<'_>,
    server: &Listeners,
    provider: Option<&str>,
) -> Result<AppAuth> {
    let key = "auth.appAuth.authServerType";
    let kind = reader.text(key, "Self")?;
    let server = match kind.as_str() {
        "Self" => {
            reader.idle("auth.appAuth.externalAuthServer", &EXTERNAL_KEYS, "authServerType is Self");
            let own = own_settings(reader)?;
            AuthServer::Own(Box::new(own_server(reader, secrets, own, server.use_auth)?))
        }
        "External" => {
            reader.idle("auth.appAuth.selfAuthServer", &OWN_KEYS, "authServerType is External");
            AuthServer::External(external_server(reader, secrets, provider)?)
        }
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

/// What a misspelt key may have meant, where the section itself is idle.
const EXTERNAL_KEYS: [&str; 6] = [
    "auth.appAuth.externalAuthServer.baseUrl",
    "auth.appAuth.externalAuthServer.metadataUrl",
    "auth.appAuth.externalAuthServer.allowedAudience",
    "auth.appAuth.externalAuthServer.httpProxyURL",
    "auth.appAuth.externalAuthServer.retryAttempts",
    "auth.appAuth.externalAuthServer.retryDelay",
];
const OWN_KEYS: [&str; 5] = [
    "auth.appAuth.selfAuthServer.issuer",
    "auth.appAuth.selfAuthServer.accessTokenLifespan",
    "auth.appAuth.selfAuthServer.refreshTokenLifespan",
    "auth.appAuth.selfAuthServer.authorizationCodeLifespan",
    "auth.appAuth.selfAuthServer.staticClients",
];

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
    /// The name of the key that signs.
    key: String,
    /// Names of keys that still verify, if they are there.
    earlier: Vec<String>,
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
    // Tokens from before a change of algorithm still pass until they lapse.
    let (key, earlier) = match algorithm {
        SigningAlgorithm::Rs256 => (rsa, vec![old]),
        SigningAlgorithm::Es256 => ("token_es256_key.pem".to_owned(), vec!["token_es256_key_old.pem".into(), rsa, old]),
        SigningAlgorithm::EdDsa => ("token_eddsa_key.pem".to_owned(), vec!["token_eddsa_key_old.pem".into(), rsa, old]),
    };
    let note = "nothing in our tokens is encrypted: the key is left to flyteadmin";
    reader.differs("auth.appAuth.selfAuthServer.claimSymmetricEncryptionKeySecretName", note);
    Ok(Own {
        issuer,
        access: reader.duration("auth.appAuth.selfAuthServer.accessTokenLifespan", minutes(30))?,
        refresh: reader.duration("auth.appAuth.selfAuthServer.refreshTokenLifespan", minutes(60))?,
        code: reader.duration("auth.appAuth.selfAuthServer.authorizationCodeLifespan", minutes(5))?,
        session: reader.duration("auth.appAuth.selfAuthServer.sessionLifespan", minutes(30 * 24 * 60))?,
        algorithm,
        key,
        earlier,
    })
}

fn own_server(reader: &mut Reader, secrets: &mut SecretStore<'_>, own: Own, use_auth: bool) -> Result<OwnServer> {
    let (algorithm, first) = match secrets.private_key(&own.key)?.filter(|pem| !pem.trim_ascii().is_empty()) {
        Some(pem) => (own.algorithm, pem),
        None if !use_auth => throw_away_key()?,
        None => (own.algorithm, secrets.require_private_key(&own.key)?),
    };
    let mut signing_keys = vec![first];
    for name in &own.earlier {
        let Some(pem) = secrets.private_key(name)? else { continue };
        if pem.trim_ascii().is_empty() {
            let note = "the file is empty: there is no earlier key";
            reader.note(&format!("secrets ({name})"), Verdict::Ignored, "", note);
        } else {
            signing_keys.push(pem);
        }
    }
    Ok(OwnServer {
        issuer: own.issuer,
        access_token_lifetime: own.access,
        refresh_token_lifetime: own.refresh,
        code_lifetime: own.code,
        session_lifetime: own.session,
        algorithm,
        signing_keys,
        clients: clients::read(reader)?,
    })
}

/// A key for a server that signs nothing, because without auth nothing is signed: of the kind that is made in no time.
fn throw_away_key() -> Result<(SigningAlgorithm, SecretBytes)> {
    let algorithm = SigningAlgorithm::Es256;
    Ok((algorithm, secrets_init::in_pem("PRIVATE KEY", &new_private_key(algorithm)?).as_str().into()))
}

fn external_server(
    reader: &mut Reader,
    secrets: &mut SecretStore<'_>,
    provider: Option<&str>,
) -> Result<ExternalServer> {
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
    if let Some(base_url) = &named {
        web_address(key, base_url)?;
        warn_plaintext(reader, key, base_url);
    }
    let base_url = named.or_else(|| provider.map(str::to_owned)).ok_or_else(|| {
        let next = "Write the authorization server's address, or userAuth.openId.baseUrl if it is the same";
        wrong(key, "is missing", next)
    })?;
    if let Some(place) = &metadata_url {
        check_metadata_place(reader, &base_url, place)?;
    }
    let introspection = match client {
        None => None,
        Some(client) => {
            let key = "auth.appAuth.externalAuthServer.introspection.clientSecretName";
            let secret = secrets.require(&secret_name, "Put the secret of introspection.clientId there")?;
            client_secret_text(key, &secret)?.map(|secret| (client, secret))
        }
    };
    Ok(ExternalServer {
        base_url,
        metadata_url,
        allowed_audience,
        http_proxy_url,
        retry_attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        retry_delay,
        introspection,
    })
}

/// `metadataUrl` is an address, or leads to one from `base_url`.
fn check_metadata_place(reader: &mut Reader, base_url: &str, place: &str) -> Result<()> {
    let key = "auth.appAuth.externalAuthServer.metadataUrl";
    let base = format!("{}/", base_url.trim_end_matches('/'));
    let found = Url::parse(&base).and_then(|base| base.join(place)).ok();
    let found = found.filter(|url| matches!(url.scheme(), "http" | "https") && url.fragment().is_none());
    let found = found.filter(|url| url.username().is_empty() && url.password().is_none());
    let next = "Write .well-known/openid-configuration, or a whole address: https://as.example.com/metadata";
    let found = found.ok_or_else(|| wrong(key, "leads to no web address", next))?;
    // Where it is below the base address, that one is warned about.
    if Url::parse(place).is_ok() {
        warn_plaintext(reader, key, found.as_str());
    }
    Ok(())
}
