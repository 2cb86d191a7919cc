//! The Connect protocol, unary calls: `POST` with JSON or proto, and `GET` for the calls without side effects.

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flyte_auth::protocol::flyteidl::FLYTE2_METADATA_SERVICE;
use serde_json::{Map, Value, json};

use super::service::{FlyteAuth, Rpc, Status};

const MAX_REQUEST: usize = 64 * 1024;
const JSON: &str = "application/json";
const PROTO: &str = "application/proto";

fn refuse(status: &Status) -> Response {
    let code = StatusCode::from_u16(status.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({ "code": status.connect, "message": status.message }).to_string();
    let mut response = (code, [(header::CONTENT_TYPE, JSON)], body).into_response();
    if code == StatusCode::UNAUTHORIZED {
        // Not Connect's, but HTTP's (RFC 9110 section 15.5.2), and a proxy or a person may read it.
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer realm=\"flyte\""));
    }
    response
}

/// Encoding of a `GET`, and its message.
fn from_query(query: &str) -> Result<(&'static str, Vec<u8>), Status> {
    let mut encoding = None;
    let mut message = Vec::new();
    let mut is_base64 = false;
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "encoding" => {
                encoding = match &*value {
                    "json" => Some(JSON),
                    "proto" => Some(PROTO),
                    _ => return Err(Status::invalid_argument("encoding must be json or proto")),
                }
            }
            "message" => message = value.into_owned().into_bytes(),
            "base64" => is_base64 = value == "1",
            "connect" if value != "v1" => return Err(Status::invalid_argument("connect must be v1")),
            "compression" if value != "identity" => {
                return Err(Status::unimplemented("compressed requests are not supported"));
            }
            _ => {}
        }
    }
    if is_base64 {
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let decoded = [&URL_SAFE, &STANDARD]
            .into_iter()
            .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(&message).ok());
        message = decoded.ok_or_else(|| Status::invalid_argument("message is not base64"))?;
    }
    Ok((encoding.ok_or_else(|| Status::invalid_argument("the parameter encoding is missing"))?, message))
}

/// Answers a call.
pub(super) async fn answer(service: &FlyteAuth, request: Request, media_type: &str) -> Response {
    let (head, body) = request.into_parts();
    let Some(rpc) = Rpc::parse(head.uri.path()) else { return StatusCode::NOT_FOUND.into_response() };
    // Flyte 1 speaks gRPC and REST only.
    if !rpc.service.starts_with("flyteidl2.") || !service.generations.two() {
        let mut response = refuse(&Status::unimplemented("unknown service"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let (encoding, message) = match head.method {
        Method::POST => {
            let encoding = match media_type {
                JSON => JSON,
                PROTO => PROTO,
                _ => {
                    let accepted = [("accept-post", "application/json, application/proto")];
                    return (StatusCode::UNSUPPORTED_MEDIA_TYPE, accepted).into_response();
                }
            };
            let compression = head.headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
            match axum::body::to_bytes(body, MAX_REQUEST).await {
                Ok(message) => match uncompressed(message, compression.unwrap_or("identity")) {
                    Ok(message) => (encoding, message),
                    Err(status) => return refuse(&status),
                },
                Err(_) => return refuse(&Status::invalid_argument("the request is too large or broke off")),
            }
        }
        // Only the metadata calls are declared free of side effects.
        Method::GET if rpc.service == FLYTE2_METADATA_SERVICE => {
            match from_query(head.uri.query().unwrap_or_default()) {
                Ok((encoding, message)) => (encoding, Bytes::from(message)),
                Err(status) => return refuse(&status),
            }
        }
        _ => return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")]).into_response(),
    };
    if encoding == JSON && serde_json::from_slice::<Map<String, Value>>(&message).is_err() {
        return refuse(&Status::invalid_argument("the request is not a JSON object"));
    }
    match service.answer(rpc, &head.headers).await {
        Ok(answer) if encoding == JSON => ([(header::CONTENT_TYPE, JSON)], answer.json.to_string()).into_response(),
        Ok(answer) => ([(header::CONTENT_TYPE, PROTO)], answer.proto).into_response(),
        Err(status) => refuse(&status),
    }
}

/// The message of a body that may be compressed: gzip, which connect-go speaks and flyte 2 sends.
fn uncompressed(body: Bytes, compression: &str) -> Result<Bytes, Status> {
    use std::io::Read as _;
    match compression {
        "" | "identity" => Ok(body),
        "gzip" => {
            let mut message = Vec::new();
            // One byte more than is allowed tells a message that is too large from one that just fits.
            let limit = MAX_REQUEST as u64 + 1;
            let read = flate2::read::GzDecoder::new(&body[..]).take(limit).read_to_end(&mut message);
            match read {
                Ok(length) if length <= MAX_REQUEST => Ok(message.into()),
                Ok(_) => Err(Status::invalid_argument("the request is too large")),
                Err(_) => Err(Status::invalid_argument("the request is not gzip")),
            }
        }
        _ => Err(Status::unimplemented("requests may be compressed with gzip only")),
    }
}
