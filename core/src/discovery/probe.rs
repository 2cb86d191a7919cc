//! The three stages of asking a Flyte endpoint.

use futures_util::future::join;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Map, Value};

use super::verdict::{self, Verdict};
use super::{Discovery, Generation, ServerAuth, issuer};
use crate::config::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::firewall::{Plaintext, check_metadata};
use crate::protocol::metadata::{MetadataProblem, PublicClientConfig, ServerMetadata};
use crate::protocol::{flyteidl, json};
use crate::transport::{Call, HttpTransport, Purpose, Reply, grpc};

const PURPOSE: Purpose = Purpose::Discovery;

/// What a stage finds: the generation and its two messages.
type Answer = (Generation, ServerMetadata, PublicClientConfig);

/// Asks the endpoint, stage by stage.
pub(super) async fn endpoint(
    transport: &dyn HttpTransport,
    endpoint: &Endpoint,
    plaintext: Plaintext,
) -> Result<Discovery> {
    let peer = Peer { transport, plaintext, base: endpoint.base_url(), place: endpoint.to_string() };
    let mut summary = Summary::default();
    let connect = peer.connect().await;
    // A plaintext port that does not speak HTTP/1 has no REST either; with TLS the version is negotiated.
    let rest_is_possible = endpoint.tls() || !matches!(connect, Verdict::Unspoken(_));
    let mut found = summary.take(connect)?;
    if found.is_none() {
        found = summary.take(peer.grpc().await)?;
    }
    if found.is_none() && rest_is_possible {
        found = summary.take(peer.rest().await)?;
    }
    match found {
        Some(answer) => peer.finish(answer).await,
        None => summary.end(&peer.place),
    }
}

/// What the stages without a find say together.
#[derive(Default)]
struct Summary {
    not_here: bool,
    generation: Option<Generation>,
    unspoken: Option<Error>,
    obstacle: Option<Error>,
}

impl Summary {
    /// The find, if this is one.
    fn take(&mut self, verdict: Verdict<Answer>) -> Result<Option<Answer>> {
        match verdict {
            Verdict::Found(answer) => return Ok(Some(answer)),
            Verdict::Failed(error) => return Err(error),
            Verdict::NotHere(generation) => {
                self.not_here = true;
                self.generation = self.generation.or(generation);
            }
            Verdict::Unspoken(error) | Verdict::Refused(error) => {
                self.unspoken.get_or_insert(error);
            }
            Verdict::Obstacle(error) => {
                self.obstacle.get_or_insert(error);
            }
        }
        Ok(None)
    }

    fn end(self, place: &str) -> Result<Discovery> {
        match (self.obstacle, self.not_here, self.unspoken) {
            (Some(error), _, _) => Err(error),
            (None, true, _) => Ok(Discovery::NoAuth { generation: self.generation }),
            (None, false, Some(error)) => Err(error),
            (None, false, None) => Err(Error::internal(format!("discovery of {place} asked nothing"))),
        }
    }
}

struct Peer<'a> {
    transport: &'a dyn HttpTransport,
    plaintext: Plaintext,
    base: String,
    place: String,
}

impl Peer<'_> {
    /// Flyte 2 over Connect, in JSON: any HTTP version, and legible in a proxy's log.
    async fn connect(&self) -> Verdict<Answer> {
        let (metadata, client) = join(
            self.connect_call::<ServerMetadata>(flyteidl::GET_OAUTH2_METADATA),
            self.connect_call::<PublicClientConfig>(flyteidl::GET_PUBLIC_CLIENT_CONFIG),
        )
        .await;
        pair(Generation::Flyte2, metadata, client)
    }

    async fn connect_call<T: Message>(&self, method: &str) -> Verdict<T> {
        let path = format!("/{}/{method}", flyteidl::FLYTE2_METADATA_SERVICE);
        let request = http::Request::post(format!("{}{path}", self.base))
            .header(CONTENT_TYPE, "application/json")
            .header("connect-protocol-version", "1")
            .body(b"{}".to_vec());
        self.exchange(request, &path, |reply, place| match reply.media_type().as_str() {
            "application/proto" => self.read(T::from_proto(&reply.body), place),
            "application/json" => self.read_json(&reply, place),
            // gRPC answers a Connect call in its own way; any other type is not ours.
            _ => Verdict::NotHere(None),
        })
        .await
    }

    /// Both generations at once: one connection, one round trip. Flyte 2 wins.
    async fn grpc(&self) -> Verdict<Answer> {
        let (two, one) = join(
            self.grpc_pair(Generation::Flyte2, flyteidl::FLYTE2_METADATA_SERVICE),
            self.grpc_pair(Generation::Flyte1, flyteidl::FLYTE1_METADATA_SERVICE),
        )
        .await;
        match (two, one) {
            (Verdict::Found(answer), _) | (_, Verdict::Found(answer)) => Verdict::Found(answer),
            (Verdict::NotHere(_) | Verdict::Unspoken(_) | Verdict::Refused(_), other) => other,
            (other, _) => other,
        }
    }

    async fn grpc_pair(&self, generation: Generation, service: &str) -> Verdict<Answer> {
        let (metadata, client) = join(
            self.grpc_call::<flyteidl::OAuth2Metadata>(service, flyteidl::GET_OAUTH2_METADATA),
            self.grpc_call::<flyteidl::PublicClientConfig>(service, flyteidl::GET_PUBLIC_CLIENT_CONFIG),
        )
        .await;
        let metadata = metadata.map(|message| Verdict::Found(ServerMetadata::from(message)));
        let client = client.map(|message| self.read(PublicClientConfig::from_message(message), &self.place));
        pair(generation, metadata, client)
    }

    async fn grpc_call<T: prost::Message + Default>(&self, service: &str, method: &str) -> Verdict<T> {
        let none = http::HeaderMap::new();
        let outcome = grpc::unary(self.transport, PURPOSE, &self.base, service, method, &(), &none).await;
        verdict::grpc(outcome, PURPOSE, &self.place)
    }

    /// Flyte 1's gateway. Flyte 2 serves the first path too, in camelCase and without the second.
    async fn rest(&self) -> Verdict<Answer> {
        let (document, client) = join(
            self.get("/.well-known/oauth-authorization-server", |reply, place| self.object(&reply, place)),
            self.get("/config/v1/flyte_client", |reply, place| self.read_json::<PublicClientConfig>(&reply, place)),
        )
        .await;
        document.map(|document| {
            let flyte2 = matches!(client, Verdict::NotHere(_)) && document.contains_key("tokenEndpoint");
            let generation = if flyte2 { Generation::Flyte2 } else { Generation::Flyte1 };
            let metadata = self.read(ServerMetadata::from_json(&document), &self.place);
            pair(generation, metadata, client)
        })
    }

    async fn get<T>(&self, path: &str, read: impl Fn(Reply, &str) -> Verdict<T>) -> Verdict<T> {
        // Exactly this value makes flyteadmin write snake_case; both cases are read.
        let request =
            http::Request::get(format!("{}{path}", self.base)).header(ACCEPT, "application/json").body(Vec::new());
        self.exchange(request, path, read).await
    }

    async fn exchange<T>(
        &self,
        request: http::Result<http::Request<Vec<u8>>>,
        path: &str,
        read: impl Fn(Reply, &str) -> Verdict<T>,
    ) -> Verdict<T> {
        let Ok(request) = request else { return Verdict::Failed(Error::internal("an endpoint that is no URL")) };
        let place = format!("{}{path}", self.base);
        match self.transport.send(Call::new(PURPOSE, request)).await {
            Err(failure) => verdict::failure(failure),
            Ok(reply) => verdict::refusal(&reply, &self.place).unwrap_or_else(|| read(reply, &place)),
        }
    }

    fn object(&self, reply: &Reply, place: &str) -> Verdict<Map<String, Value>> {
        match json::parse_object(&reply.body) {
            Ok(object) => Verdict::Found(object),
            Err(problem) => Verdict::Failed(verdict::malformed(PURPOSE, place, problem)),
        }
    }

    fn read_json<T: Message>(&self, reply: &Reply, place: &str) -> Verdict<T> {
        self.object(reply, place).map(|object| self.read(T::from_json(&object), place))
    }

    fn read<T, E: std::fmt::Display>(&self, read: Result<T, E>, place: &str) -> Verdict<T> {
        read.map_or_else(|problem| Verdict::Failed(verdict::malformed(PURPOSE, place, problem)), Verdict::Found)
    }

    /// Checks what was found, and asks the issuer for what Flyte left out.
    async fn finish(&self, (generation, mut metadata, public_client): Answer) -> Result<Discovery> {
        check_metadata(&metadata, &self.place, self.plaintext)?;
        if metadata.token_endpoint.is_none() {
            let Some(issuer) = metadata.issuer.clone() else { return Err(incomplete(&self.place, "token_endpoint")) };
            metadata.complete_from(issuer::fetch(self.transport, &issuer, self.plaintext).await?);
        }
        if metadata.token_endpoint.is_none() {
            return Err(incomplete(&self.place, "token_endpoint"));
        }
        Ok(Discovery::Auth(Box::new(ServerAuth { generation: Some(generation), metadata, public_client })))
    }
}

pub(super) fn incomplete(place: &str, member: &str) -> Error {
    Error::new(ErrorKind::Server, "metadata_incomplete", format!("the metadata of {place} names no {member}"))
        .with_endpoint(place)
        .with_next(
            "Ask the administrator to complete the authorization server metadata, or set the issuer with --issuer",
        )
}

/// A metadata answer decides; a client config that is not served is an empty one.
fn pair(
    generation: Generation,
    metadata: Verdict<ServerMetadata>,
    client: Verdict<PublicClientConfig>,
) -> Verdict<Answer> {
    metadata.map(|metadata| match client {
        Verdict::NotHere(_) => Verdict::Found((generation, metadata, PublicClientConfig::default())),
        other => other.map(|client| Verdict::Found((generation, metadata, client))),
    })
}

/// The two messages, in the two encodings of Connect.
trait Message: Sized {
    fn from_json(document: &Map<String, Value>) -> Result<Self, MetadataProblem>;
    fn from_proto(bytes: &[u8]) -> Result<Self, String>;
}

fn decode<M: prost::Message + Default>(bytes: &[u8]) -> Result<M, String> {
    M::decode(bytes).map_err(|_| "the message cannot be decoded".to_owned())
}

impl Message for ServerMetadata {
    fn from_json(document: &Map<String, Value>) -> Result<Self, MetadataProblem> {
        Self::from_json(document)
    }
    fn from_proto(bytes: &[u8]) -> Result<Self, String> {
        decode::<flyteidl::OAuth2Metadata>(bytes).map(Self::from)
    }
}

impl Message for PublicClientConfig {
    fn from_json(document: &Map<String, Value>) -> Result<Self, MetadataProblem> {
        Self::from_json(document)
    }
    fn from_proto(bytes: &[u8]) -> Result<Self, String> {
        decode(bytes).and_then(|message| Self::from_message(message).map_err(|problem| problem.to_string()))
    }
}
