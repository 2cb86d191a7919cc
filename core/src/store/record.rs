//! One session as it is kept, with a schema version. The only place where tokens are serialised.

use serde::{Deserialize, Serialize};

use super::{migration, store_error};
use crate::clock::Timestamp;
use crate::discovery::Generation;
use crate::error::Result;
use crate::firewall::Bound;
use crate::protocol::client::ClientAuthMethod;
use crate::protocol::secret::{AccessToken, RefreshToken};
use crate::session::adopt::ForeignLogin;

/// The version this code writes. A record with a higher one is left untouched.
pub const SCHEMA_VERSION: u32 = 2;

/// How a session's first token was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenOrigin {
    /// Authorization code with PKCE.
    AuthorizationCode,
    /// Device authorization grant.
    Device,
    /// Client credentials.
    ClientCredentials,
    /// A command printed it.
    ExternalCommand,
    /// Another client's login was found in the operating system's keyring.
    Adopted,
}

impl TokenOrigin {
    /// As `status` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::Device => "device",
            Self::ClientCredentials => "client_credentials",
            Self::ExternalCommand => "external_command",
            Self::Adopted => "adopted",
        }
    }
}

/// One session. Times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA_VERSION`] at the time of writing.
    pub schema_version: u32,
    /// Counts the tokens of this session: a rejection of an older one starts nothing.
    pub generation: u64,
    /// The endpoint as a person names it (`flyte.example.org`), or the issuer.
    pub endpoint: String,
    /// Profile, if one was chosen.
    #[serde(default)]
    pub profile: Option<String>,
    /// `--account`, if one was chosen.
    #[serde(default)]
    pub account: Option<String>,
    /// Flyte's generation, where discovery told.
    #[serde(default)]
    pub flyte_generation: Option<Generation>,
    /// How it was obtained.
    pub origin: TokenOrigin,
    /// The issuer that discovery named then; another one later means a new login.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Origin of the token endpoint that granted the refresh token, or took the client's secret: neither goes anywhere
    /// else. Unknown in records of version 1, and for a login of another client that was never refreshed here.
    #[serde(default)]
    pub token_endpoint_origin: Option<String>,
    /// The client that the tokens belong to.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The client authentication method that worked.
    #[serde(default)]
    pub client_auth_method: Option<ClientAuthMethod>,
    /// Granted scopes, else those asked for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Audience asked for.
    #[serde(default)]
    pub audience: Option<String>,
    /// `sub` of the ID token.
    #[serde(default)]
    pub subject: Option<String>,
    /// `email`, else `preferred_username`, of the ID token.
    #[serde(default)]
    pub email: Option<String>,
    /// The header that takes the token.
    pub header_name: String,
    /// The access token.
    #[serde(with = "exposed_access")]
    pub access_token: AccessToken,
    /// When it expires, if known.
    #[serde(default, with = "millis")]
    pub expires_at: Option<Timestamp>,
    /// When it was obtained.
    #[serde(default, with = "millis")]
    pub obtained_at: Option<Timestamp>,
    /// The refresh token, if one was granted.
    #[serde(default, with = "exposed_refresh")]
    pub refresh_token: Option<RefreshToken>,
    /// When the refresh token expires, if the server told.
    #[serde(default, with = "millis")]
    pub session_expires_at: Option<Timestamp>,
    /// The other client's login that this one was adopted from: both hold its refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted_from: Option<ForeignLogin>,
}

impl Record {
    /// What its credentials are bound to.
    pub(crate) fn bound(&self) -> Bound<'_> {
        Bound { issuer: self.issuer.as_deref(), token_endpoint: self.token_endpoint_origin.as_deref() }
    }

    /// The record as the bytes of a file.
    ///
    /// # Errors
    /// Never in practice; kind `Store` if serialisation fails.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).map_err(|cause| {
            store_error("store_write", format!("the record cannot be written: {cause}"), "Report it as a bug")
        })
    }

    /// Reads a record; `place` names it in errors.
    ///
    /// # Errors
    /// `store_newer` for a newer schema, `store_corrupt` for what is no record. The bytes never enter the message.
    pub fn from_json(bytes: &[u8], place: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let corrupt = || {
            store_error(
                "store_corrupt",
                format!("the stored session {place} is damaged"),
                "Sign in again: flyte-auth login",
            )
        };
        let Version { schema_version } = serde_json::from_slice(bytes).map_err(|_| corrupt())?;
        refuse_newer(schema_version, place)?;
        if schema_version == SCHEMA_VERSION {
            return serde_json::from_slice(bytes).map_err(|_| corrupt());
        }
        let old = serde_json::from_slice(bytes).map_err(|_| corrupt())?;
        let migrated = migration::migrate(old, schema_version).ok_or_else(corrupt)?;
        serde_json::from_value(migrated).map_err(|_| corrupt())
    }
}

/// # Errors
/// `store_newer` for a version that this code does not know.
pub(super) fn refuse_newer(schema_version: u32, place: &str) -> Result<()> {
    if schema_version <= SCHEMA_VERSION {
        return Ok(());
    }
    Err(store_error(
        "store_newer",
        format!("the stored session {place} was written by a newer flyte-auth (schema {schema_version})"),
        "Update this flyte-auth; the session is left untouched",
    ))
}

mod exposed_access {
    use super::AccessToken;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(token: &AccessToken, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(token.expose()) // EXPOSE: into the store.
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<AccessToken, D::Error> {
        String::deserialize(from).map(AccessToken::new)
    }
}

mod exposed_refresh {
    use super::RefreshToken;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(token: &Option<RefreshToken>, to: S) -> Result<S::Ok, S::Error> {
        token.as_ref().map(RefreshToken::expose).serialize(to) // EXPOSE: into the store.
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<RefreshToken>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.filter(|token| !token.is_empty()).map(RefreshToken::new))
    }
}

mod millis {
    use super::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        time.map(Timestamp::as_millis).serialize(to)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<i64>::deserialize(from)?.map(Timestamp::from_millis))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> Record {
        Record {
            schema_version: SCHEMA_VERSION,
            generation: 3,
            endpoint: "flyte.example.org".into(),
            profile: None,
            account: None,
            flyte_generation: Some(Generation::Flyte2),
            origin: TokenOrigin::AuthorizationCode,
            issuer: Some("https://idp.example".into()),
            token_endpoint_origin: Some("https://idp.example".into()),
            client_id: Some("flytectl".into()),
            client_auth_method: None,
            scopes: vec!["all".into()],
            audience: None,
            subject: Some("alice".into()),
            email: None,
            header_name: "authorization".into(),
            access_token: AccessToken::new("a-canary"),
            expires_at: Some(Timestamp::from_secs(1_000)),
            obtained_at: Some(Timestamp::from_secs(400)),
            refresh_token: Some(RefreshToken::new("r-canary")),
            session_expires_at: None,
            adopted_from: None,
        }
    }

    #[test]
    fn round_trip_and_masked_debug() {
        let record = sample();
        let bytes = record.to_json().unwrap();
        assert_eq!(Record::from_json(&bytes, "x").unwrap(), record);
        assert!(!format!("{record:?}").contains("canary"));
    }

    #[test]
    fn newer_and_damaged_records_are_told_apart_and_not_quoted() {
        let mut newer = sample();
        newer.schema_version = SCHEMA_VERSION + 1;
        assert_eq!(Record::from_json(&newer.to_json().unwrap(), "x").unwrap_err().code(), "store_newer");
        let bytes = sample().to_json().unwrap();
        for damaged in [&b""[..], b"{}", b"[]", b"canary", &bytes[..bytes.len() / 2]] {
            let error = Record::from_json(damaged, "x").unwrap_err();
            assert_eq!(error.code(), "store_corrupt");
            assert!(!error.to_string().contains("canary"));
        }
    }

    #[test]
    fn there_is_a_step_from_every_older_version() {
        assert_eq!(migration::STEPS.len(), usize::try_from(SCHEMA_VERSION).unwrap());
    }

    #[test]
    fn an_older_record_is_migrated() {
        let old = br#"{"schema_version": 0, "endpoint": "flyte.example.org", "origin": "device",
            "access_token": "a-canary", "refresh_token": "r-canary", "expires_at": 1000, "obtained_at": null}"#;
        let record = Record::from_json(old, "x").unwrap();
        assert_eq!((record.schema_version, record.generation), (SCHEMA_VERSION, 1));
        assert_eq!(record.header_name, "authorization");
        assert_eq!((record.expires_at, record.obtained_at), (Some(Timestamp::from_secs(1000)), None));
        assert_eq!(record.refresh_token, Some(RefreshToken::new("r-canary")));
        // What a record of version 1 did not know is learnt at the next refresh.
        let mut one: serde_json::Value = serde_json::from_slice(&sample().to_json().unwrap()).unwrap();
        one["schema_version"] = 1.into();
        one.as_object_mut().unwrap().remove("token_endpoint_origin");
        let record = Record::from_json(one.to_string().as_bytes(), "x").unwrap();
        assert_eq!(record, Record { token_endpoint_origin: None, ..sample() });
        // What is no record of the version that it claims is damaged, and not quoted.
        for damaged in [&br#"{"schema_version": 0}"#[..], br#"{"schema_version": 0, "expires_at": "canary"}"#] {
            let error = Record::from_json(damaged, "x").unwrap_err();
            assert_eq!(error.code(), "store_corrupt");
            assert!(!error.to_string().contains("canary"));
        }
    }

    #[test]
    fn members_that_this_version_does_not_know_are_no_damage() {
        let mut value: serde_json::Value = serde_json::from_slice(&sample().to_json().unwrap()).unwrap();
        value["something_new"] = true.into();
        assert!(Record::from_json(value.to_string().as_bytes(), "x").is_ok());
    }
}
