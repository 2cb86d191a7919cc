//! The transport against real sockets on loopback: TLS, proxies, HTTP versions, and everything that goes wrong.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::reqwest::ReqwestTransport;
use super::*;
use crate::config::{NetworkConfig, Origin, Setting};

mod answers;
mod flyte;
mod peer;
mod proxies;
mod tls;

const PURPOSES: [Purpose; 6] = [
    Purpose::Discovery,
    Purpose::Token,
    Purpose::DeviceAuthorization,
    Purpose::Jwks,
    Purpose::UserInfo,
    Purpose::Revocation,
];

fn set<T>(value: T) -> Option<Setting<T>> {
    Some(Setting::new(value, Origin::Flag("--test".to_owned())))
}

fn transport(network: &NetworkConfig) -> ReqwestTransport {
    ReqwestTransport::new(network).unwrap()
}

fn plain() -> ReqwestTransport {
    transport(&NetworkConfig::default())
}

fn get(url: &str) -> Call {
    Call {
        timeout: Duration::from_secs(5),
        ..Call::new(Purpose::Token, http::Request::get(url).body(Vec::new()).unwrap())
    }
}

async fn fails(transport: &ReqwestTransport, call: Call) -> Failure {
    match transport.send(call).await {
        Err(failure) => failure,
        Ok(reply) => panic!("{reply:?}"),
    }
}
