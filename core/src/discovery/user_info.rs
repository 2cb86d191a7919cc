//! Who a token belongs to, as the server sees it.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::verdict::{self, Verdict};
use super::{Discovery, Generation, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::firewall::{Destination, Plaintext};
use crate::protocol::{flyteidl, json};
use crate::transport::grpc::{self, GrpcFailure, code};
use crate::transport::{Call, HttpTransport, Purpose, Reply};

const PURPOSE: Purpose = Purpose::UserInfo;

/// The identity behind a token; what the server left out is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UserInfo {
    /// `sub`.
    pub subject: Option<String>,
    /// Full name.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Name for display and login; not unique.
    pub preferred_username: Option<String>,
}

impl From<flyteidl::UserInfo> for UserInfo {
    fn from(message: flyteidl::UserInfo) -> Self {
        let filled = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            subject: filled(message.subject),
            name: filled(message.name),
            email: filled(message.email),
            preferred_username: filled(message.preferred_username),
        }
    }
}

impl UserInfo {
    fn from_json(object: &serde_json::Map<String, serde_json::Value>) -> Self {
        // Flyte writes `subject`, in either key case; OpenID Connect writes `sub`.
        let text = |names: &[&str]| {
            let found = names.iter().filter_map(|name| object.get(*name)?.as_str()).find(|text| !text.is_empty());
            found.map(str::to_owned)
        };
        Self {
            subject: text(&["subject", "sub"]),
            name: text(&["name"]),
            email: text(&["email"]),
            preferred_username: text(&["preferred_username", "preferredUsername"]),
        }
    }
}

struct Question<'a> {
    transport: &'a dyn HttpTransport,
    headers: HeaderMap,
    place: String,
}

pub(super) async fn ask(
    (transport, plaintext): (&dyn HttpTransport, Plaintext),
    target: &Target,
    discovery: &Discovery,
    header_name: &str,
    header_value: &str,
) -> Result<UserInfo> {
    let (Ok(name), Ok(mut value)) =
        (HeaderName::from_bytes(header_name.as_bytes()), HeaderValue::from_str(header_value))
    else {
        return Err(Error::internal("a token or a header name that cannot be sent"));
    };
    value.set_sensitive(true);
    let (place, generation) = match (target, discovery) {
        (Target::Issuer(issuer), _) => (issuer.clone(), None),
        (Target::Endpoint(endpoint), Discovery::Auth(server)) => (endpoint.to_string(), server.generation),
        (Target::Endpoint(endpoint), Discovery::NoAuth { generation }) => (endpoint.to_string(), *generation),
    };
    let question = Question { transport, headers: HeaderMap::from_iter([(name, value)]), place };
    let verdict = match target {
        Target::Endpoint(endpoint) => {
            let to = Destination::given(&endpoint.base_url(), plaintext, "endpoint")?;
            question.flyte(to.as_str().trim_end_matches('/'), generation).await
        }
        Target::Issuer(_) => match discovery {
            Discovery::Auth(server) => match &server.metadata.userinfo_endpoint {
                Some(url) => {
                    let to = Destination::given(url, plaintext, "userinfo_endpoint")?;
                    question.http(http::Request::get(to.as_str()), Vec::new()).await
                }
                None => Verdict::NotHere(None),
            },
            Discovery::NoAuth { .. } => Verdict::NotHere(None),
        },
    };
    match verdict {
        Verdict::Found(info) => Ok(info),
        Verdict::NotHere(_) => Err(Error::new(
            ErrorKind::Server,
            "unimplemented",
            format!("{} cannot tell who a token belongs to", question.place),
        )
        .with_endpoint(question.place)
        .with_next("See what this machine knows: flyte-auth status")),
        Verdict::Unspoken(error) | Verdict::Refused(error) | Verdict::Obstacle(error) | Verdict::Failed(error) => {
            Err(error)
        }
    }
}

impl Question<'_> {
    async fn flyte(&self, base: &str, generation: Option<Generation>) -> Verdict<UserInfo> {
        let mut last = Verdict::NotHere(None);
        if generation != Some(Generation::Flyte1) {
            let url = format!("{base}/{}/{}", flyteidl::FLYTE2_IDENTITY_SERVICE, flyteidl::USER_INFO);
            let request = http::Request::post(url)
                .header(CONTENT_TYPE, "application/json")
                .header("connect-protocol-version", "1");
            last = self.http(request, b"{}".to_vec()).await;
            if passes_over(&last) {
                last = self.grpc(base, flyteidl::FLYTE2_IDENTITY_SERVICE).await;
            }
        }
        if generation != Some(Generation::Flyte2) && passes_over(&last) {
            last = self.grpc(base, flyteidl::FLYTE1_IDENTITY_SERVICE).await;
            if passes_over(&last) {
                last = self.http(http::Request::get(format!("{base}/me")), Vec::new()).await;
            }
        }
        last
    }

    async fn grpc(&self, base: &str, service: &str) -> Verdict<UserInfo> {
        let method = flyteidl::USER_INFO;
        let outcome = grpc::unary(self.transport, PURPOSE, base, service, method, &(), &self.headers).await;
        let denied = match &outcome {
            Err(GrpcFailure::Status { code: code::UNAUTHENTICATED, .. }) => Some(StatusCode::UNAUTHORIZED),
            Err(GrpcFailure::Status { code: code::PERMISSION_DENIED, .. }) => Some(StatusCode::FORBIDDEN),
            Err(GrpcFailure::NotGrpc(reply)) => asked_status(reply),
            _ => None,
        };
        match denied.and_then(|status| verdict::denied(&self.place, status)) {
            Some(error) => Verdict::Failed(error),
            None => verdict::grpc(outcome, PURPOSE, &self.place)
                .map(|message: flyteidl::UserInfo| Verdict::Found(message.into())),
        }
    }

    async fn http(&self, request: http::request::Builder, body: Vec<u8>) -> Verdict<UserInfo> {
        let Ok(mut request) = request.header(ACCEPT, "application/json").body(body) else {
            return Verdict::Failed(Error::internal("a user info address that is no URL"));
        };
        request.headers_mut().extend(self.headers.clone());
        let call = Call::new(PURPOSE, request);
        let at = call.place();
        let reply = match self.transport.send(call).await {
            Ok(reply) => reply,
            Err(failure) => return verdict::failure(failure),
        };
        if let Some(error) = asked_status(&reply).and_then(|status| verdict::denied(&self.place, status)) {
            return Verdict::Failed(error);
        }
        if let Some(refusal) = verdict::refusal(&reply, &self.place) {
            return refusal;
        }
        match json::parse_object(&reply.body) {
            Ok(object) => Verdict::Found(UserInfo::from_json(&object)),
            Err(problem) => Verdict::Failed(verdict::malformed(PURPOSE, &at, problem)),
        }
    }
}

/// Whether another protocol may know better.
fn passes_over<T>(verdict: &Verdict<T>) -> bool {
    matches!(verdict, Verdict::NotHere(_) | Verdict::Unspoken(_) | Verdict::Refused(_))
}

/// The status, unless a web page says it: that is a proxy's, and about another login.
fn asked_status(reply: &Reply) -> Option<StatusCode> {
    (reply.media_type() != "text/html").then_some(reply.status)
}
