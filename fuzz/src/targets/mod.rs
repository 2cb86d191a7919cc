//! The targets, by the room of the reader.

mod config;
mod credential;
mod metadata;
mod network;
mod protocol;
mod redirect;
mod relying_party;
mod server;
mod store;
mod verify;

use crate::Target;

macro_rules! targets {
    ($($room:ident::$name:ident: $about:literal;)*) => {
        /// Every target.
        pub const TARGETS: &[Target] =
            &[$(Target { name: stringify!($name), about: $about, run: $room::$name }),*];
    };
}

targets! {
    protocol::json: "strict JSON agrees with serde_json on what it takes, and takes no member twice and no deep nesting";
    metadata::metadata_json: "server metadata as JSON in either key case, and Flyte's client config";
    metadata::metadata_proto: "server metadata and Flyte's client config as protobuf: the same as their JSON";
    network::discovery: "a whole discovery (Connect JSON and protobuf, gRPC, REST, issuer): only addresses that pass";
    network::user_info: "a whole question who a token belongs to: the token goes to its own hosts only";
    network::grpc_frame: "a unary gRPC reply: exactly one whole message, or a failure";
    protocol::token_reply: "a token endpoint's reply, success or error: no token and no secret in what is shown";
    protocol::device_reply: "a device authorization reply: only a web address is opened";
    protocol::http_headers: "Retry-After, Date and RFC 3339 times: never longer than a day, never out of range";
    redirect::loopback_request: "a request to the loopback redirect, whole and in pieces: only this login's answer ends it";
    redirect::pasted_redirect: "a pasted line: another login's answer is never taken";
    config::config_yaml: "a YAML configuration file: no value in a message, no expansion without measure";
    config::config_ini: "an INI configuration file: no value in a message";
    config::api_key: "an API key: read again from its parts it is the same; nothing of it in a message";
    config::endpoint: "an endpoint in any of its forms: one spelling of it reads as the same endpoint";
    credential::command_output: "what an external command printed: a token that fits a header, and not in a message";
    credential::keyring_items: "keyring items of other clients: what is written back is read again";
    store::store_record: "a stored record: written and read again the same, never quoted";
    store::store_envelope: "a sealed record: opens to what was sealed or not at all";
    store::store_notes: "the notes beside the records: nothing in them silences or stops us for long";
    store::session_document: "an exported session: written and read again the same, never quoted";
    relying_party::console_request: "a browser's request to a web app: no redirect to strangers, no markup, no session";
    relying_party::bearer_header: "an Authorization header: no token passes without a key, and none is in the answer";
    server::server_authorize: "the authorization and device pages: no redirect to strangers, no markup from the request";
    server::server_token: "token, revocation, introspection and device requests with their client authentication";
    server::server_calls: "Connect, gRPC, gRPC-Web and REST calls to the server";
    verify::jwt: "a token as it comes: none verifies but what the issuer signed, letter by letter";
    verify::jwt_claims: "a header and claims that the issuer signed: what is accepted is what another parser reads";
    verify::jwks: "a key set: public keys only, the same when they are read again";
    verify::introspection_reply: "an introspection reply: active, for us and now, or no token";
}
