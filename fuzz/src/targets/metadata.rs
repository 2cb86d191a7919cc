//! Server metadata and Flyte's client config, in the forms in which they come.

use flyte_auth::protocol::client::Client;
use flyte_auth::protocol::flyteidl;
use flyte_auth::protocol::grant::{
    AuthorizationRequest, Grant, Parameters, authorization_url, device_authorization_request, token_request,
};
use flyte_auth::protocol::json::parse_object;
use flyte_auth::protocol::metadata::{PublicClientConfig, ServerMetadata};
use flyte_auth::protocol::secret::{CodeVerifier, RefreshToken};
use flyte_auth::testing::parsers;
use prost::Message as _;
use serde_json::{Map, Value};
use url::Url;

use crate::support::shown::both;

pub(super) fn metadata_json(data: &[u8]) {
    let Ok(document) = parse_object(data) else { return };
    if let Ok(metadata) = ServerMetadata::from_json(&document) {
        assert_read_again(&metadata);
        assert_requests(&metadata);
    }
    if let Ok(config) = PublicClientConfig::from_json(&document) {
        assert_config(&config);
    }
}

pub(super) fn metadata_proto(data: &[u8]) {
    if let Ok(message) = flyteidl::OAuth2Metadata::decode(data) {
        assert_eq!(flyteidl::OAuth2Metadata::decode(&message.encode_to_vec()[..]), Ok(message.clone()));
        let metadata = ServerMetadata::from(message);
        assert_read_again(&metadata);
    }
    if let Ok(message) = flyteidl::PublicClientConfig::decode(data)
        && let Ok(config) = PublicClientConfig::from_message(message)
    {
        assert_config(&config);
    }
    if let Ok(message) = flyteidl::UserInfo::decode(data) {
        assert_eq!(flyteidl::UserInfo::decode(&message.encode_to_vec()[..]), Ok(message));
    }
}

/// In snake case, and as Flyte 2 writes it.
fn both_cases(value: Value) -> [Map<String, Value>; 2] {
    let Value::Object(snake) = value else { panic!("metadata is an object") };
    let camel = snake.iter().map(|(name, value)| (camel_case(name), value.clone())).collect();
    [snake, camel]
}

fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| {
        let (initial, rest) = part.split_at(1);
        name + &initial.to_ascii_uppercase() + rest
    })
}

fn assert_read_again(metadata: &ServerMetadata) {
    for document in both_cases(serde_json::to_value(metadata).expect("metadata can be written")) {
        assert_eq!(ServerMetadata::from_json(&document).as_ref(), Ok(metadata));
    }
    let mut completed = metadata.clone();
    completed.complete_from(metadata.clone());
    assert_eq!(&completed, metadata);
    assert!(metadata.endpoints().all(|(_, url)| !url.is_empty()));
}

fn assert_config(config: &PublicClientConfig) {
    for document in both_cases(serde_json::to_value(config).expect("a config can be written")) {
        assert_eq!(PublicClientConfig::from_json(&document).as_ref(), Ok(config));
    }
    let header = http::HeaderName::from_bytes(config.metadata_key().as_bytes()).expect("a header");
    assert_eq!(header.as_str(), config.metadata_key(), "lower case");
    for taken in ["host", "content-type", "te", "cookie"] {
        assert_ne!(config.metadata_key(), taken);
    }
    assert!(!config.metadata_key().starts_with("grpc-") && !config.metadata_key().ends_with("-bin"));
    let Some(uri) = &config.redirect_uri else { return };
    if let Ok(true) = parsers::is_loopback_redirect(uri).map_err(|error| both(&error)) {
        let url = Url::parse(uri).expect("a URL");
        assert!(matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) && url.scheme() == "http");
    }
}

/// Requests to the endpoints of a document go where it says, whatever a URL's text is.
fn assert_requests(metadata: &ServerMetadata) {
    let verifier = CodeVerifier::new("v".repeat(43));
    let scopes = metadata.scopes_supported.clone();
    let parameters = Parameters { scopes: &scopes, audience: metadata.issuer.as_deref(), extra: &[] };
    let same_host = |made: Option<&str>, from: &str| {
        let from = Url::parse(from).expect("a request was made to it");
        // What has no host (`javascript:`) is refused before anything is asked there.
        assert!(!from.has_host() || made == from.host_str(), "another host: {made:?}");
    };
    if let Some(endpoint) = &metadata.authorization_endpoint {
        let request = AuthorizationRequest {
            endpoint,
            client_id: "flytectl",
            redirect_uri: "http://localhost:53593/callback",
            state: "fuzz-state",
            nonce: None,
            verifier: &verifier,
            parameters,
        };
        match authorization_url(request) {
            Ok(url) => {
                same_host(url.host_str(), endpoint);
                assert!(url.query_pairs().any(|(name, value)| name == "state" && value == "fuzz-state"));
            }
            Err(error) => drop(both(&error)),
        }
    }
    let refresh = RefreshToken::new("fuzz-refresh-token-of-a-session");
    let client = Client::public("flytectl");
    for endpoint in [&metadata.token_endpoint, &metadata.device_authorization_endpoint].into_iter().flatten() {
        let made = [
            token_request(endpoint, &client, Grant::RefreshToken(&refresh), parameters),
            device_authorization_request(endpoint, &client, Some(&verifier), parameters),
        ];
        for made in made {
            match made {
                // A URL without a host, or whose host is no host of HTTP, cannot be called.
                Ok(request) => {
                    if let Some(host) = request.uri().host() {
                        same_host(Some(host), endpoint);
                    }
                }
                Err(error) => drop(both(&error)),
            }
        }
    }
}
