//! Where the shipped clients keep their logins in the operating system's keyring, and in which form.
//!
//! None of these clients locks anything, so an item may change between any two looks at it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::config::endpoint::Endpoint;
use crate::error::Result;
use crate::protocol::secret::{AccessToken, RefreshToken};
use crate::store::{os_keyring, store_error};

/// Items of the operating system's keyring that other programs own. Calls block; none asks a person to unlock anything.
pub trait ForeignItems: Send + Sync + fmt::Debug {
    /// The item's bytes, if there is such an item.
    ///
    /// # Errors
    /// Kind `Store`.
    fn read(&self, service: &str, user: &str) -> Result<Option<Zeroizing<Vec<u8>>>>;
    /// Replaces the item's bytes in place.
    ///
    /// # Errors
    /// Kind `Store`.
    fn write(&self, service: &str, user: &str, secret: &[u8]) -> Result<()>;
    /// Removes the item; whether there was one.
    ///
    /// # Errors
    /// Kind `Store`.
    fn delete(&self, service: &str, user: &str) -> Result<bool>;
}

/// The real keyring. On Windows only flytectl's items: Python's `keyring` names its own differently there.
#[derive(Debug, Clone, Copy)]
pub struct OsKeyring;

impl ForeignItems for OsKeyring {
    fn read(&self, service: &str, user: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        os_keyring::Keyring::SILENT.read(service, user)
    }
    fn write(&self, service: &str, user: &str, secret: &[u8]) -> Result<()> {
        os_keyring::write(service, user, secret)
    }
    fn delete(&self, service: &str, user: &str) -> Result<bool> {
        os_keyring::delete(service, user)
    }
}

/// A client that keeps its login in the keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForeignClient {
    /// flytekit (`flytekit/clients/auth/keyring.py`): three items of plain text.
    Flytekit,
    /// flyte 2 (`flyte/remote/_client/auth/_keyring.py`): one JSON item.
    Flyte,
    /// flytectl (`flytectl/pkg/pkce/token_cache_keyring.go`): one JSON item, Go's `oauth2.Token`.
    Flytectl,
}

impl ForeignClient {
    /// For a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flytekit => "flytekit",
            Self::Flyte => "flyte",
            Self::Flytectl => "flytectl",
        }
    }
}

/// One client's login for one endpoint: where it is, not what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignLogin {
    /// Whose it is.
    pub client: ForeignClient,
    /// The keyring's service.
    pub service: String,
    /// The keyring's user of the item with the access token.
    pub user: String,
}

/// What a login holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) access: AccessToken,
    pub(crate) refresh: Option<RefreshToken>,
}

const ACCESS: &str = "access_token";
const REFRESH: &str = "refresh_token";
const ID: &str = "id_token";
const TOKENS: &str = "tokens";

/// How Go's keyring library wraps a value on macOS, where `security` takes one line only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrapping {
    None,
    Base64,
    Hex,
}

const BASE64: &str = "go-keyring-base64:";
const HEX: &str = "go-keyring-encoded:";

/// Every place where a client may have put its login for this endpoint: they take the endpoint as the user spelled it.
pub(crate) fn places(endpoint: &Endpoint) -> Vec<ForeignLogin> {
    let authority = endpoint.authority();
    let host =
        if endpoint.host().contains(':') { format!("[{}]", endpoint.host()) } else { endpoint.host().to_owned() };
    let with_port = format!("{host}:{}", endpoint.port());
    let mut names = vec![authority.clone()];
    if with_port != authority {
        names.push(with_port);
    }
    let place = |client, service: String, user: &str| ForeignLogin { client, service, user: user.to_owned() };
    let mut places = Vec::new();
    for name in &names {
        places.push(place(ForeignClient::Flyte, format!("{name}{}", endpoint.path()), TOKENS));
        places.push(place(ForeignClient::Flytekit, name.clone(), ACCESS));
        let spelled = format!("dns:///{name}");
        places.push(place(ForeignClient::Flytectl, "flytectl".to_owned(), &format!("{spelled}:flytectl-user")));
        // flytekit takes the scheme off what it reads from a file, not what a program hands to it.
        places.push(place(ForeignClient::Flytekit, spelled, ACCESS));
    }
    places
}

fn text(bytes: Zeroizing<Vec<u8>>) -> Option<Zeroizing<String>> {
    String::from_utf8(bytes.to_vec()).ok().map(|text| Zeroizing::new(text.trim().to_owned())).filter(|t| !t.is_empty())
}

fn unwrap(text: &str) -> Option<(Zeroizing<String>, Wrapping)> {
    let (bytes, wrapping) = if let Some(encoded) = text.strip_prefix(BASE64) {
        (STANDARD.decode(encoded).ok()?, Wrapping::Base64)
    } else if let Some(encoded) = text.strip_prefix(HEX) {
        let digits = encoded.as_bytes();
        let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2));
        let byte = |pair: Option<&str>| u8::from_str_radix(pair?, 16).ok();
        (pairs.map(byte).collect::<Option<Vec<u8>>>()?, Wrapping::Hex)
    } else {
        return Some((Zeroizing::new(text.to_owned()), Wrapping::None));
    };
    Some((Zeroizing::new(String::from_utf8(bytes).ok()?), wrapping))
}

fn wrap(text: &str, wrapping: Wrapping) -> Zeroizing<String> {
    Zeroizing::new(match wrapping {
        Wrapping::None => text.to_owned(),
        Wrapping::Base64 => format!("{BASE64}{}", STANDARD.encode(text)),
        Wrapping::Hex => text.bytes().fold(HEX.to_owned(), |wrapped, byte| format!("{wrapped}{byte:02x}")),
    })
}

impl ForeignLogin {
    /// The JSON object of a client that keeps one, and how it was wrapped.
    fn object(&self, items: &dyn ForeignItems) -> Result<Option<(Map<String, Value>, Wrapping)>> {
        let Some(text) = items.read(&self.service, &self.user)?.and_then(text) else { return Ok(None) };
        // What is no JSON of theirs is nothing to us.
        Ok(unwrap(&text).and_then(|(json, wrapping)| Some((serde_json::from_str(&json).ok()?, wrapping))))
    }

    fn item(&self, items: &dyn ForeignItems, user: &str) -> Result<Option<Zeroizing<String>>> {
        Ok(items.read(&self.service, user)?.and_then(text))
    }

    /// The login as it is now; `None` if there is none that can be used.
    pub(crate) fn read(&self, items: &dyn ForeignItems) -> Result<Option<Held>> {
        let (access, refresh) = match self.client {
            ForeignClient::Flytekit => {
                let Some(access) = self.item(items, ACCESS)? else { return Ok(None) };
                (access.to_string(), self.item(items, REFRESH)?.map(|refresh| refresh.to_string()))
            }
            ForeignClient::Flyte | ForeignClient::Flytectl => {
                let Some((object, _)) = self.object(items)? else { return Ok(None) };
                let member = |name: &str| object.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
                let Some(access) = member(ACCESS) else { return Ok(None) };
                (access, member(REFRESH))
            }
        };
        Ok(Some(Held { access: AccessToken::new(access), refresh: refresh.map(RefreshToken::new) }))
    }

    /// Puts a new pair where the old one is, in the client's own form. A login that has gone is not made anew.
    pub(crate) fn write(&self, items: &dyn ForeignItems, new: &Held, expires_at: Option<Timestamp>) -> Result<()> {
        // EXPOSE: into the item that the tokens came from.
        let (access, refresh) = (new.access.expose(), new.refresh.as_ref().map(RefreshToken::expose));
        if self.client == ForeignClient::Flytekit {
            // The refresh token first, as flytekit itself does: without it the other is worth nothing for long.
            if let Some(refresh) = refresh {
                items.write(&self.service, REFRESH, refresh.as_bytes())?;
            }
            return items.write(&self.service, ACCESS, access.as_bytes());
        }
        let Some((mut object, wrapping)) = self.object(items)? else { return Ok(()) };
        object.insert(ACCESS.to_owned(), access.into());
        object.insert(REFRESH.to_owned(), refresh.into());
        if self.client == ForeignClient::Flytectl {
            // Go's zero time: "unknown", then it goes by the token's own `exp`.
            let expiry = expires_at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), Timestamp::to_rfc3339);
            object.insert("expiry".to_owned(), expiry.into());
            object.remove("expires_in");
        }
        let json = serde_json::to_string(&object).map(Zeroizing::new).map_err(|cause| {
            store_error("keyring_failed", format!("{}'s login cannot be written", self.client.name()), "Report it")
                .with_source(cause)
        })?;
        items.write(&self.service, &self.user, wrap(&json, wrapping).as_bytes())
    }

    /// Removes all that belongs to the login.
    pub(crate) fn delete(&self, items: &dyn ForeignItems) -> Result<()> {
        if self.client == ForeignClient::Flytekit {
            // An ID token without the others makes flytekit send `Bearer None`.
            for user in [REFRESH, ID] {
                items.delete(&self.service, user)?;
            }
        }
        items.delete(&self.service, &self.user).map(drop)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use super::*;

    /// A keyring in memory.
    #[derive(Debug, Default)]
    pub(in super::super) struct Pocket(pub(in super::super) Mutex<HashMap<(String, String), Vec<u8>>>);

    impl Pocket {
        pub(in super::super) fn put(&self, service: &str, user: &str, value: &str) {
            self.0.lock().unwrap().insert((service.to_owned(), user.to_owned()), value.as_bytes().to_vec());
        }
        pub(in super::super) fn text(&self, service: &str, user: &str) -> Option<String> {
            let items = self.0.lock().unwrap();
            items.get(&(service.to_owned(), user.to_owned())).map(|bytes| String::from_utf8(bytes.clone()).unwrap())
        }
    }

    impl ForeignItems for Pocket {
        fn read(&self, service: &str, user: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
            Ok(self.text(service, user).map(|text| Zeroizing::new(text.into_bytes())))
        }
        fn write(&self, service: &str, user: &str, secret: &[u8]) -> Result<()> {
            self.put(service, user, std::str::from_utf8(secret).unwrap());
            Ok(())
        }
        fn delete(&self, service: &str, user: &str) -> Result<bool> {
            Ok(self.0.lock().unwrap().remove(&(service.to_owned(), user.to_owned())).is_some())
        }
    }

    fn held(access: &str, refresh: Option<&str>) -> Held {
        Held { access: AccessToken::new(access), refresh: refresh.map(RefreshToken::new) }
    }

    fn place(client: ForeignClient) -> ForeignLogin {
        let endpoint = Endpoint::parse("dns:///flyte.example.org", false, "test").unwrap();
        places(&endpoint).into_iter().find(|place| place.client == client).unwrap()
    }

    #[test]
    fn the_places_of_an_endpoint() {
        let of = |raw: &str, insecure| {
            let endpoint = Endpoint::parse(raw, insecure, "test").unwrap();
            places(&endpoint).into_iter().map(|place| format!("{}|{}", place.service, place.user)).collect::<Vec<_>>()
        };
        assert_eq!(
            of("dns:///flyte.example.org", false),
            [
                "flyte.example.org|tokens",
                "flyte.example.org|access_token",
                "flytectl|dns:///flyte.example.org:flytectl-user",
                "dns:///flyte.example.org|access_token",
                "flyte.example.org:443|tokens",
                "flyte.example.org:443|access_token",
                "flytectl|dns:///flyte.example.org:443:flytectl-user",
                "dns:///flyte.example.org:443|access_token",
            ]
        );
        assert_eq!(of("localhost:30080", true)[0], "localhost:30080|tokens");
        assert_eq!(of("localhost:30080", true).len(), 4);
        assert_eq!(of("https://h.example/flyte", false)[0], "h.example/flyte|tokens");
        assert_eq!(of("[::1]:8089", true)[1], "[::1]:8089|access_token");
    }

    #[test]
    fn each_client_is_read_and_written_in_its_own_form() {
        let json = r#"{"access_token":"a1","token_type":"Bearer","refresh_token":"r1","expiry":"2026-01-01T00:00:00Z","expires_in":9}"#;
        let hex = wrap(json, Wrapping::Hex).to_string();
        let base64 = wrap(json, Wrapping::Base64).to_string();
        for (client, stored) in [
            (ForeignClient::Flytekit, "a1"),
            (ForeignClient::Flyte, r#"{"access_token": "a1", "refresh_token": "r1"}"#),
            (ForeignClient::Flytectl, json),
            (ForeignClient::Flytectl, &hex),
            (ForeignClient::Flytectl, &base64),
        ] {
            let items = Pocket::default();
            let place = place(client);
            assert_eq!(place.read(&items).unwrap(), None);
            items.put(&place.service, &place.user, stored);
            if client == ForeignClient::Flytekit {
                items.put(&place.service, "refresh_token", "r1");
                items.put(&place.service, "id_token", "i1");
            }
            assert_eq!(place.read(&items).unwrap(), Some(held("a1", Some("r1"))), "{client:?}");
            place.write(&items, &held("a2", Some("r2")), Some(Timestamp::from_secs(1_795_489_920))).unwrap();
            assert_eq!(place.read(&items).unwrap(), Some(held("a2", Some("r2"))), "{client:?}");
            let written = items.text(&place.service, &place.user).unwrap();
            assert_eq!(unwrap(&written).unwrap().1, unwrap(stored).unwrap().1, "the wrapping stays");
            if client == ForeignClient::Flytectl {
                let plain = unwrap(&written).unwrap().0;
                assert!(plain.contains(r#""expiry":"2026-11-24T"#) && plain.contains("Bearer"), "{}", *plain);
                assert!(!plain.contains("expires_in"));
            }
            place.delete(&items).unwrap();
            assert!(items.0.lock().unwrap().is_empty(), "{client:?}");
        }
    }

    #[test]
    fn what_is_none_of_theirs_is_passed_over() {
        for stored in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"access_token":null}"#,
            "go-keyring-base64:%",
            "go-keyring-encoded:0",
            "go-keyring-encoded:zz",
        ] {
            let items = Pocket::default();
            let place = place(ForeignClient::Flytectl);
            items.put(&place.service, &place.user, stored);
            assert_eq!(place.read(&items).unwrap(), None, "{stored:?}");
            place.write(&items, &held("a2", None), None).unwrap();
        }
        let place = place(ForeignClient::Flyte);
        let items = Pocket::default();
        place.write(&items, &held("a2", None), None).unwrap();
        assert!(items.0.lock().unwrap().is_empty(), "a login that has gone is not made anew");
    }
}
