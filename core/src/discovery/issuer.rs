//! An issuer's own metadata document.

use http::header::ACCEPT;
use url::Url;

use super::probe::incomplete;
use super::verdict::{self, Verdict};
use crate::error::{Error, ErrorKind, Result};
use crate::firewall::address::usable;
use crate::firewall::{Plaintext, check_metadata};
use crate::protocol::json;
use crate::protocol::metadata::ServerMetadata;
use crate::transport::{Call, HttpTransport, Purpose};

const PURPOSE: Purpose = Purpose::Discovery;

/// Fetches the metadata of `issuer` and checks that it is the metadata of that issuer.
pub(super) async fn fetch(transport: &dyn HttpTransport, issuer: &str, plaintext: Plaintext) -> Result<ServerMetadata> {
    let url = usable(issuer, plaintext).ok().filter(|url| url.query().is_none()).ok_or_else(|| {
        let what = usable(issuer, plaintext).err().unwrap_or("contains a query");
        Error::new(ErrorKind::Server, "metadata_refused", format!("the issuer cannot be used: it {what}"))
            .with_next("Give the issuer as an https:// URL, as the authorization server writes it")
    })?;
    let mut obstacle = None;
    let mut asked = None;
    for document in documents(&url) {
        match one(transport, &document, issuer).await {
            Verdict::Found(metadata) => {
                check_metadata(&metadata, issuer, plaintext)?;
                return Ok(metadata);
            }
            Verdict::Failed(error) => return Err(error),
            Verdict::NotHere(_) => {}
            Verdict::Unspoken(error) | Verdict::Refused(error) | Verdict::Obstacle(error) => {
                obstacle.get_or_insert(error);
            }
        }
        asked.get_or_insert(document);
    }
    Err(obstacle.unwrap_or_else(|| {
        let first = asked.map(|url| url.to_string()).unwrap_or_default();
        Error::new(
            ErrorKind::Server,
            "no_metadata",
            format!("{issuer} serves no authorization server metadata ({first})"),
        )
        .with_endpoint(issuer)
        .with_next("Check the issuer: it is the `iss` of the tokens, without /.well-known/…")
    }))
}

/// `metadata` of an issuer that the user gave, if a token can be had there.
pub(super) fn complete(metadata: ServerMetadata, issuer: &str) -> Result<ServerMetadata> {
    if metadata.token_endpoint.is_some() { Ok(metadata) } else { Err(incomplete(issuer, "token_endpoint")) }
}

/// Where the document may be, the commonest first: OpenID Connect Discovery 4.1 (appended), RFC 8414 section 3.1
/// (inserted before the issuer's path), and each in the other's way, as section 5 allows.
fn documents(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let mut places = vec![
        format!("{path}/.well-known/openid-configuration"),
        format!("/.well-known/oauth-authorization-server{path}"),
    ];
    if !path.is_empty() {
        places.push(format!("{path}/.well-known/oauth-authorization-server"));
        places.push(format!("/.well-known/openid-configuration{path}"));
    }
    let at = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url
    };
    places.into_iter().map(at).collect()
}

async fn one(transport: &dyn HttpTransport, document: &Url, issuer: &str) -> Verdict<ServerMetadata> {
    let place = document.as_str();
    let request = http::Request::get(place).header(ACCEPT, "application/json").body(Vec::new());
    let Ok(request) = request else { return Verdict::Failed(Error::internal("an issuer that is no URL")) };
    let reply = match transport.send(Call::new(PURPOSE, request)).await {
        Ok(reply) => reply,
        Err(failure) => return Verdict::Failed(failure.error),
    };
    if let Some(refusal) = verdict::refusal(&reply, place) {
        return refusal;
    }
    let read = json::parse_object(&reply.body).map_err(|problem| verdict::malformed(PURPOSE, place, problem)).and_then(
        |object| ServerMetadata::from_json(&object).map_err(|problem| verdict::malformed(PURPOSE, place, problem)),
    );
    match read {
        Err(error) => Verdict::Failed(error),
        Ok(metadata) if metadata.issuer.as_deref().is_some_and(|theirs| same_issuer(theirs, issuer)) => {
            Verdict::Found(metadata)
        }
        Ok(metadata) => Verdict::Failed(mismatch(place, issuer, metadata.issuer.as_deref())),
    }
}

/// Identical (RFC 8414 section 3.3), but for one final slash: both spellings have the same metadata address, because a
/// final slash is removed before the well-known part is added, so nobody else can answer for one of them. What the
/// document says is kept, and is what tokens are compared with.
fn same_issuer(theirs: &str, asked: &str) -> bool {
    theirs == asked || theirs.strip_suffix('/') == Some(asked) || asked.strip_suffix('/') == Some(theirs)
}

fn mismatch(place: &str, asked: &str, theirs: Option<&str>) -> Error {
    let theirs = theirs.and_then(|text| Url::parse(text).ok());
    let (said, next) = match theirs {
        Some(theirs) => {
            (format!("of issuer {theirs}"), format!("If that is the right one, give it as the issuer: {theirs}"))
        }
        None => ("without an issuer".to_owned(), "Ask the administrator of the authorization server".to_owned()),
    };
    Error::new(ErrorKind::Server, "issuer_mismatch", format!("{place} is metadata {said}, not of {asked}"))
        .with_endpoint(asked)
        .with_next(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_documents_are() {
        let of = |issuer: &str| -> Vec<String> {
            documents(&Url::parse(issuer).unwrap()).into_iter().map(String::from).collect()
        };
        for issuer in ["https://i.example", "https://i.example/"] {
            assert_eq!(
                of(issuer),
                [
                    "https://i.example/.well-known/openid-configuration",
                    "https://i.example/.well-known/oauth-authorization-server",
                ]
            );
        }
        for issuer in ["https://i.example/a/b", "https://i.example/a/b/"] {
            assert_eq!(
                of(issuer),
                [
                    "https://i.example/a/b/.well-known/openid-configuration",
                    "https://i.example/.well-known/oauth-authorization-server/a/b",
                    "https://i.example/a/b/.well-known/oauth-authorization-server",
                    "https://i.example/.well-known/openid-configuration/a/b",
                ]
            );
        }
    }

    #[test]
    fn issuers_are_compared_exactly_but_for_one_final_slash() {
        for (theirs, asked, expected) in [
            ("https://i", "https://i", true),
            ("https://i/", "https://i", true),
            ("https://i", "https://i/", true),
            ("https://i/a/", "https://i/a", true),
            ("https://i//", "https://i", false),
            ("https://I", "https://i", false),
            ("https://i:443", "https://i", false),
            ("https://i/a", "https://i", false),
            ("http://i", "https://i", false),
            ("", "https://i", false),
        ] {
            assert_eq!(same_issuer(theirs, asked), expected, "{theirs} {asked}");
        }
    }
}
