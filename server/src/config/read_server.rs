//! The sections `server` and `gateway`.

use std::path::PathBuf;
use std::time::Duration;

use flyte_auth::error::Result;
use serde_json::Value;

use super::model::{Cors, GatewayConfig, IdentityHeaders, Listeners, TlsFiles, Upstream};
use super::reader::{Reader, member, texts, wrong};
use super::report::Verdict;

pub(super) fn server(reader: &mut Reader) -> Result<Listeners> {
    let http_port = reader.port("server.httpPort", 8088)?;
    let grpc_port = reader.port("server.grpc.port", 8089)?;
    for (key, note) in [
        ("server.grpcPort", "deprecated: flyteadmin reads server.grpc.port"),
        ("server.grpcServerReflection", "reflection belongs to the services behind"),
        ("server.grpc.serverReflection", "reflection belongs to the services behind"),
        ("server.grpc.maxMessageSizeBytes", "messages are carried, not held: the services behind have the limit"),
        ("server.grpc.enableGrpcLatencyMetrics", "see gateway.metricsPort"),
        ("server.grpc.maxConcurrentStreams", "the services behind have the limit"),
        ("server.kube-config", "not about auth"),
        ("server.master", "not about auth"),
        ("server.thirdPartyConfig", "flyteadmin reads auth.appAuth.thirdPartyConfig"),
    ] {
        reader.ignored(key, note);
    }
    let use_auth = reader.flag("server.security.useAuth", false)?;
    if !use_auth {
        let note = "nothing is protected: whoever reaches this port reaches the services behind";
        reader.note("server.security.useAuth", Verdict::Insecure, "false", note);
    }
    let insecure_cookies = reader.flag("server.security.insecureCookieHeader", false)?;
    if insecure_cookies {
        let note = "cookies and addresses without TLS: whoever is on the way reads sessions; for this machine only";
        reader.note("server.security.insecureCookieHeader", Verdict::Insecure, "true", note);
    }
    let tls = tls(reader)?;
    let cors = cors(reader)?;
    Ok(Listeners {
        http_port,
        grpc_port,
        address: address(reader)?,
        tls,
        use_auth,
        insecure_cookies,
        cors,
        read_header_timeout: Duration::from_secs(reader.number("server.readHeaderTimeoutSeconds", 32, 3600)?.max(1)),
        graceful_shutdown: Duration::from_secs(reader.number("server.gracefulShutdownTimeoutSeconds", 10, 3600)?),
    })
}

fn address(reader: &mut Reader) -> Result<String> {
    let key = "gateway.address";
    let text = reader.text(key, "0.0.0.0")?;
    match text.parse::<std::net::IpAddr>() {
        Ok(_) => Ok(text),
        Err(_) => Err(wrong(key, "is no IP address", "Write the address to listen on, such as 127.0.0.1 or 0.0.0.0")),
    }
}

fn tls(reader: &mut Reader) -> Result<Option<TlsFiles>> {
    let secure = reader.flag("server.security.secure", false)?;
    let certificate = reader.optional("server.security.ssl.certificateFile")?;
    let key = reader.optional("server.security.ssl.keyFile")?;
    if !secure {
        return Ok(None);
    }
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate: certificate.into(), key: key.into() })),
        _ => Err(wrong(
            "server.security.ssl",
            "needs certificateFile and keyFile where server.security.secure is true",
            "Name both PEM files, or set secure to false behind an ingress that ends TLS",
        )),
    }
}

fn cors(reader: &mut Reader) -> Result<Option<Cors>> {
    let allowed = reader.flag("server.security.allowCors", true)?;
    let origins = reader.list("server.security.allowedOrigins", &["*"])?;
    let headers = reader.list("server.security.allowedHeaders", &["Content-Type", "flyte-authorization"])?;
    if !allowed {
        return Ok(None);
    }
    if origins.iter().any(|origin| origin == "*") && reader.is_set("server.security.allowedOrigins") {
        let note = "any page may ask, but none with a person's cookies: name the origins that may";
        reader.note("server.security.allowedOrigins", Verdict::DiffersOnPurpose, "*", note);
    }
    for origin in origins.iter().filter(|origin| *origin != "*") {
        let whole = url::Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
        if !whole {
            let next = "Write scheme, host and port only: https://console.example.com";
            return Err(wrong("server.security.allowedOrigins", format!("has {origin:?}, which is no origin"), next));
        }
    }
    Ok(Some(Cors { origins, headers }))
}

pub(super) fn gateway(reader: &mut Reader) -> Result<GatewayConfig> {
    let mode = reader.text("gateway.mode", "proxy")?;
    if mode != "proxy" {
        let what = format!("is {mode:?}, which this version does not know");
        return Err(wrong("gateway.mode", what, "Use proxy; forward-auth and ext-authz come later"));
    }
    Ok(GatewayConfig {
        upstreams: upstreams(reader)?,
        identity_headers: identity_headers(reader)?,
        database: database(reader)?,
        metrics_port: metrics_port(reader)?,
    })
}

fn upstreams(reader: &mut Reader) -> Result<Vec<Upstream>> {
    let key = "gateway.upstreams";
    let next = "Write a list: [{match: \"flyteidl.\", url: \"http://flyteadmin:8089\"}]";
    let items = match reader.value(key) {
        None => {
            reader.note(key, Verdict::Ignored, "", "nothing stands behind: only sign-in and tokens are served");
            return Ok(Vec::new());
        }
        Some(Value::Array(items)) => items,
        Some(_) => return Err(wrong(key, "is no list", next)),
    };
    let mut upstreams: Vec<Upstream> = Vec::new();
    for item in items {
        let Value::Object(members) = &item else { return Err(wrong(key, "has an entry that is no mapping", next)) };
        let text = |name: &str| member(members, name).and_then(Value::as_str).map(str::to_owned);
        let known = |name: &str| ["match", "url"].iter().any(|known| known.eq_ignore_ascii_case(name));
        if let Some(other) = members.keys().find(|name| !known(name)) {
            return Err(wrong(key, format!("has an entry with {other:?}"), next));
        }
        let (Some(matches), Some(address)) = (text("match"), text("url")) else {
            return Err(wrong(key, "has an entry without match or url", next));
        };
        let url = url::Url::parse(&address)
            .map_err(|_| wrong(key, format!("has a url for {matches:?} that is none"), next))?;
        if upstreams.iter().any(|other| other.matches == matches) {
            return Err(wrong(key, format!("has {matches:?} twice"), "Keep one of them"));
        }
        let named = format!("{key}[{}]", upstreams.len());
        reader.note(&named, Verdict::Honoured, format!("{matches} -> {}", url.host_str().unwrap_or_default()), "");
        upstreams.push(Upstream { matches, url });
    }
    Ok(upstreams)
}

fn identity_headers(reader: &mut Reader) -> Result<IdentityHeaders> {
    let key = "gateway.identityHeaders";
    let mut names = IdentityHeaders::default();
    let members = match reader.value(key) {
        None => return Ok(names),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(wrong(key, "is no mapping", "Write name: header-name for each")),
    };
    for (name, value) in &members {
        let slot = match name.to_ascii_lowercase().as_str() {
            "subject" => &mut names.subject,
            "email" => &mut names.email,
            "name" => &mut names.name,
            "clientid" => &mut names.client_id,
            "scopes" => &mut names.scopes,
            "claimsjwt" => &mut names.claims_jwt,
            "subjectv2" => &mut names.subject_v2,
            _ => {
                let among = "Use subject, email, name, clientId, scopes, claimsJwt, subjectV2";
                return Err(wrong(key, format!("has {name:?}, which is none of its names"), among));
            }
        };
        *slot = match value {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            Value::String(text) if text.parse::<axum::http::HeaderName>().is_ok() => Some(text.to_ascii_lowercase()),
            _ => {
                return Err(wrong(
                    key,
                    format!("has no header name for {name}"),
                    "Write a name such as x-user-email, or null for none",
                ));
            }
        };
        reader.note(&format!("{key}.{name}"), Verdict::Honoured, value.as_str().unwrap_or("none"), "");
    }
    Ok(names)
}

/// SQLite's name for a database that is no file.
const MEMORY: &str = ":memory:";

fn database(reader: &mut Reader) -> Result<Option<PathBuf>> {
    let key = "gateway.database";
    let text = reader.optional(key)?.unwrap_or_else(|| MEMORY.to_owned());
    let path = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")).unwrap_or(&text);
    if path == MEMORY {
        let note = "no file is named: sessions, refresh tokens and the audit trail end with this process";
        reader.note(key, Verdict::Insecure, "in memory", note);
        return Ok(None);
    }
    if path.is_empty() || path.contains("://") {
        return Err(wrong(key, "is no SQLite file", "Write a path such as /var/lib/flyte-auth/serve.db"));
    }
    Ok(Some(PathBuf::from(path)))
}

fn metrics_port(reader: &mut Reader) -> Result<Option<u16>> {
    let key = "gateway.metricsPort";
    let none = |text: Vec<String>| text.iter().any(|text| text == "none");
    if reader.is_null(key) || reader.value(key).as_ref().and_then(texts).is_some_and(none) {
        // Asked for: null is a value here.
        reader.value(key);
        reader.note(key, Verdict::Honoured, "none", "");
        return Ok(None);
    }
    reader.port(key, 10254).map(Some)
}
