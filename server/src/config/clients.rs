//! `selfAuthServer.staticClients`: as a mapping or as a list of mappings, which is how an upper-case name survives viper
//! (`flytestdlib/config/viper/viper.go:179`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flyte_auth::error::Result;
use serde_json::{Map, Value};

use super::model::{SecretHash, StaticClient};
use super::reader::{MASKED, Reader, member, texts, wrong};
use super::report::Verdict;
use crate::authorization_server::RedirectUri;

const KEY: &str = "auth.appAuth.selfAuthServer.staticClients";
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const GRANTS: [&str; 4] = ["authorization_code", "refresh_token", "client_credentials", DEVICE_GRANT];
/// Below this a stolen bcrypt hash is soon undone.
const LEAST_COST: u32 = 10;

/// flyteadmin's three (`auth/config/config.go:101`), with the device grant, which flyteadmin does not have.
fn defaults() -> Vec<StaticClient> {
    let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
    let public = |id: &str| StaticClient {
        id: id.to_owned(),
        public: true,
        redirect_uris: list(&["http://localhost:53593/callback", "http://localhost:12345/callback"]),
        grant_types: list(&["refresh_token", "authorization_code", DEVICE_GRANT]),
        response_types: list(&["code"]),
        scopes: list(&["all", "offline", "access_token"]),
        ..StaticClient::default()
    };
    let propeller = StaticClient {
        id: "flytepropeller".to_owned(),
        grant_types: list(&["refresh_token", "client_credentials"]),
        redirect_uris: list(&["http://localhost:3846/callback"]),
        scopes: list(&["all", "offline", "access_token"]),
        ..StaticClient::default()
    };
    vec![public("flytectl"), public("flyte-cli"), propeller]
}

pub(super) fn read(reader: &mut Reader) -> Result<Vec<StaticClient>> {
    let next = "Write each client as a mapping with id, client_secret, redirect_uris, grant_types, scopes, public";
    let mut entries: Vec<(String, Map<String, Value>)> = Vec::new();
    let named = |members: Map<String, Value>| -> Result<Vec<(String, Map<String, Value>)>> {
        let entry = |(name, value)| match value {
            Value::Object(client) => Ok((name, client)),
            _ => Err(wrong(KEY, format!("has {name:?}, which is no mapping"), next)),
        };
        members.into_iter().map(entry).collect()
    };
    match reader.value(KEY) {
        None => {
            let note = "the three defaults of flyteadmin; flytepropeller has no secret until you give it one";
            reader.note(KEY, Verdict::DiffersOnPurpose, "flytectl, flyte-cli, flytepropeller", note);
            return Ok(defaults());
        }
        Some(Value::Object(members)) => entries.extend(named(members)?),
        Some(Value::Array(items)) => {
            for item in items {
                match item {
                    Value::Object(members) if member(&members, "id").is_some() => {
                        entries.push((String::new(), members))
                    }
                    Value::Object(members) => entries.extend(named(members)?),
                    _ => return Err(wrong(KEY, "has an entry that is no mapping", next)),
                }
            }
        }
        Some(_) => return Err(wrong(KEY, "is no mapping", next)),
    }
    let mut clients: Vec<StaticClient> = Vec::new();
    for (name, members) in entries {
        let client = client(reader, &name, &members)?;
        if clients.iter().any(|other| other.id == client.id) {
            return Err(wrong(KEY, format!("has the client {:?} twice", client.id), "Keep one of them"));
        }
        clients.push(client);
    }
    for default in defaults() {
        if !clients.iter().any(|client| client.id == default.id) {
            let note = format!("replaces the defaults: {} is not registered", default.id);
            reader.note(&format!("{KEY}.{}", default.id), Verdict::Ignored, "", &note);
        }
    }
    Ok(clients)
}

fn client(reader: &mut Reader, name: &str, members: &Map<String, Value>) -> Result<StaticClient> {
    let get = |wanted: &str| member(members, wanted).filter(|value| !value.is_null());
    let id = match get("id") {
        None => name.trim().to_owned(),
        Some(Value::String(id)) => id.trim().to_owned(),
        Some(Value::Number(id)) => id.to_string(),
        Some(_) => String::new(),
    };
    if id.is_empty() || !id.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        return Err(wrong(
            KEY,
            format!("has the client {name:?} with no id that can be used"),
            "Give it an id in ASCII without spaces",
        ));
    }
    let key = format!("{KEY}.{id}");
    const KNOWN: [&str; 11] = [
        "id",
        "public",
        "client_secret",
        "rotated_secrets",
        "redirect_uris",
        "grant_types",
        "response_types",
        "scopes",
        "audience",
        "jwks",
        "jwks_uri",
    ];
    for name in members.keys().filter(|name| !KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name))) {
        reader.note(&format!("{key}.{name}"), Verdict::Unknown, MASKED, "nobody reads it");
    }
    let list = |wanted: &str| match get(wanted) {
        None => Ok(Vec::new()),
        Some(value) => texts(value)
            .ok_or_else(|| wrong(&key, format!("has {wanted} that is no list of texts"), "Write a list: [one, two]")),
    };
    let text = |wanted: &str| match get(wanted) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(_) => Err(wrong(&key, format!("has {wanted} that is no text"), "Write one value in quotes")),
    };
    let public = match get("public") {
        None => false,
        Some(Value::Bool(public)) => *public,
        Some(_) => return Err(wrong(&key, "has public that is neither true nor false", "Write true or false")),
    };
    let mut hashes = Vec::new();
    for secret in text("client_secret")?.into_iter().chain(list("rotated_secrets")?) {
        hashes.push(hash(reader, &key, &secret)?);
    }
    let grant_types = list("grant_types")?;
    for grant in &grant_types {
        if !GRANTS.contains(&grant.as_str()) {
            let note = format!("the grant {grant} is not known here and is never given");
            reader.note(&key, Verdict::DiffersOnPurpose, "", &note);
        }
    }
    if public && grant_types.iter().any(|grant| grant == "client_credentials") {
        let next = "Take client_credentials away, or make it confidential with a client_secret";
        return Err(wrong(&key, "is public and may act for itself: anybody could be it", next));
    }
    let redirect_uris = list("redirect_uris")?;
    if let Some(bad) = redirect_uris.iter().find(|uri| RedirectUri::parse(uri).is_none()) {
        return Err(wrong(
            &key,
            format!("has the redirect {bad:?}, which cannot be used"),
            "Write absolute URLs without a fragment",
        ));
    }
    let response_types = list("response_types")?;
    let client = StaticClient {
        public,
        redirect_uris,
        grant_types,
        scopes: list("scopes")?,
        audience: list("audience")?,
        jwks: match get("jwks") {
            Some(Value::Object(document)) => Some(Value::Object(document.clone()).to_string()),
            _ => text("jwks")?,
        },
        jwks_uri: text("jwks_uri")?,
        secret_hashes: if public { Vec::new() } else { hashes.clone() },
        response_types: response_types.clone(),
        id,
    };
    reader.note(&key, Verdict::Honoured, if client.public { "public" } else { "confidential" }, "");
    if response_types.iter().any(|kind| kind.split(' ').any(|part| part == "token")) {
        let note = "response_type token is never given: it would put tokens into addresses (RFC 9700 section 2.1.2)";
        reader.note(&format!("{key}.response_types"), Verdict::DiffersOnPurpose, "token", note);
    }
    if public && !hashes.is_empty() {
        reader.note(&format!("{key}.client_secret"), Verdict::Ignored, MASKED, "a public client has no secret");
    }
    if !public && hashes.is_empty() && client.jwks.is_none() && client.jwks_uri.is_none() {
        reader.note(&key, Verdict::Insecure, "", "it has neither a secret nor keys: it cannot log in");
    }
    if client.scopes.is_empty() {
        reader.note(&format!("{key}.scopes"), Verdict::Ignored, "", "it has no scopes: it gets no token");
    }
    Ok(client)
}

/// `secret` as `client_secret` has it: base64 of a bcrypt hash, which flyteadmin reads too.
///
/// # Errors
/// Kind `Internal`: the operating system gave no randomness.
pub fn hash_secret(secret: &str) -> Result<String> {
    let hash = bcrypt::hash(secret, bcrypt::DEFAULT_COST)
        .map_err(|error| flyte_auth::Error::internal("the secret could not be hashed").with_source(error))?;
    Ok(STANDARD.encode(hash))
}

/// The cost of a bcrypt hash in crypt form (`$2b$12$`, 22 letters of salt, 31 of hash).
fn bcrypt_cost(text: &str) -> Option<u32> {
    let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|start| text.strip_prefix(start))?;
    let (cost, letters) = rest.split_once('$')?;
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
    let cost = cost.parse().ok().filter(|_| cost.len() == 2)?;
    ((4..=31).contains(&cost) && letters.len() == 53 && letters.bytes().all(is_letter)).then_some(cost)
}

/// A hash as it is, or in base64 as flyteadmin has it.
fn hash(reader: &mut Reader, key: &str, text: &str) -> Result<SecretHash> {
    let text = text.trim();
    let is_hash = |text: &str| {
        bcrypt_cost(text).is_some() || text.starts_with("$argon2") && argon2::PasswordHash::new(text).is_ok()
    };
    let decoded = || String::from_utf8(STANDARD.decode(text).ok()?).ok().map(|text| text.trim().to_owned());
    let hash = Some(text.to_owned()).filter(|text| is_hash(text)).or_else(|| decoded().filter(|text| is_hash(text)));
    let Some(hash) = hash else {
        let next = "Put base64 of a bcrypt hash there: python3 -c 'import bcrypt,base64;print(base64.b64encode(\
                    bcrypt.hashpw(input().encode(),bcrypt.gensalt(12))).decode())'";
        return Err(wrong(key, "has a client_secret that is no bcrypt or argon2 hash", next));
    };
    if bcrypt_cost(&hash).is_some_and(|cost| cost < LEAST_COST) {
        let note = format!("bcrypt cost below {LEAST_COST}: whoever reads this file can guess short secrets");
        reader.note(&format!("{key}.client_secret"), Verdict::Insecure, MASKED, &note);
    }
    Ok(SecretHash(hash))
}
