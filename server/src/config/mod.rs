//! The configuration of `serve`: flyteadmin's own file (`pkg/config/config.go`, `auth/config/config.go`) with a section
//! `gateway` of ours beside it. [`load`] reads it, fills in every default, and says of each key what becomes of it.

mod clients;
mod duration;
pub mod model;
mod read_app_auth;
mod read_auth;
mod read_server;
mod reader;
mod report;
mod secrets;
pub mod secrets_init;
mod sources;
#[cfg(test)]
mod tests;

use flyte_auth::error::Result;

pub use clients::hash_secret;
pub use report::{Row, Verdict, table};
pub use sources::Source;

use self::model::ServeConfig;
use self::reader::Reader;
use self::secrets::SecretStore;

/// A configuration that was read.
#[derive(Debug)]
pub struct Loaded {
    /// What `serve` runs on.
    pub config: ServeConfig,
    /// What became of each key.
    pub report: Vec<Row>,
}

/// Sections of flyteadmin's file that are not about auth: they belong to services behind.
const NOT_ABOUT_AUTH: [&str; 22] = [
    "admin",
    "catalog-cache",
    "cloudevents",
    "cluster_resources",
    "clusterresources",
    "clusters",
    "database",
    "domains",
    "event",
    "externalevents",
    "flyteadmin",
    "logger",
    "namespace_mapping",
    "notifications",
    "plugins",
    "propeller",
    "qualityofservice",
    "queues",
    "registration",
    "remotedata",
    "scheduler",
    "storage",
];

/// Reads `sources` in order, a later one over the earlier. `environment`: variables by name.
///
/// # Errors
/// Kind `Config`, naming the file, the key or the secret.
pub fn load(sources: &[Source], environment: &dyn Fn(&str) -> Option<String>) -> Result<Loaded> {
    let read = sources::read(sources)?;
    let mut reader = Reader::new(read.tree)?;
    for section in NOT_ABOUT_AUTH {
        reader.ignore_section(section, "not about auth: a service behind reads it");
    }
    for section in reader.other_sections(&sources::OURS) {
        reader.ignore_section(&section, "not known here: a service behind may read it");
    }
    let mut secrets = SecretStore::read(&mut reader, environment)?;
    let (server, gateway) = (read_server::server(&mut reader)?, read_server::gateway(&mut reader)?);
    let auth = read_auth::auth(&mut reader, &mut secrets, &server)?;
    let mut watched = read.files;
    watched.extend(secrets.files());
    if let Some(tls) = &server.tls {
        watched.extend([tls.certificate.clone(), tls.key.clone()]);
    }
    let config = ServeConfig {
        resource: auth.resource,
        user_auth: auth.user_auth,
        app_auth: auth.app_auth,
        server,
        gateway,
        watched,
    };
    Ok(Loaded { config, report: reader.finish() })
}
