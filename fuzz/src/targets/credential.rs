//! What an external command prints, and what other clients keep in the keyring.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use flyte_auth::config::endpoint::Endpoint;
use flyte_auth::protocol::secret::{AccessToken, RefreshToken};
use flyte_auth::session::adopt::{ForeignClient, ForeignItems};
use flyte_auth::testing::parsers;
use flyte_auth::{Error, Result};
use zeroize::Zeroizing;

use crate::support::shown::{assert_hidden, assert_not_repeated, assert_one_line, says};
use crate::support::{NOW, first_line};

pub(super) fn command_output(data: &[u8]) {
    match parsers::command_output(data, NOW) {
        Ok(set) => {
            let token = set.access_token.expose(); // EXPOSE: compared.
            assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
            assert_hidden(token, &format!("{set:?}"));
            let value = format!("Bearer {token}");
            assert!(http::HeaderValue::from_str(&value).is_ok(), "it fits no header");
        }
        Err(why) => {
            assert_one_line(&why);
            if !says(&why, "twice") {
                assert_not_repeated(data, &why, &["access_token"]);
            }
        }
    }
}

/// A keyring in memory.
#[derive(Debug, Default)]
struct Pocket(Mutex<HashMap<(String, String), Vec<u8>>>);

impl Pocket {
    fn items(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ForeignItems for Pocket {
    fn read(&self, service: &str, user: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        Ok(self.items().get(&(service.to_owned(), user.to_owned())).cloned().map(Zeroizing::new))
    }
    fn write(&self, service: &str, user: &str, secret: &[u8]) -> Result<(), Error> {
        self.items().insert((service.to_owned(), user.to_owned()), secret.to_vec());
        Ok(())
    }
    fn delete(&self, service: &str, user: &str) -> Result<bool, Error> {
        Ok(self.items().remove(&(service.to_owned(), user.to_owned())).is_some())
    }
}

/// The client in the first line (`flytekit`, `flyte`, `flytectl`), then the item; flytekit's refresh token behind a NUL.
pub(super) fn keyring_items(data: &[u8]) {
    let (client, item) = first_line(data);
    let client = match client {
        b"flytekit" => ForeignClient::Flytekit,
        b"flyte" => ForeignClient::Flyte,
        _ => ForeignClient::Flytectl,
    };
    let endpoint = Endpoint::parse("dns:///flyte.example", false, "fuzz").expect("an endpoint");
    let mut places = parsers::foreign_places(&endpoint).into_iter();
    let place = places.find(|place| place.client == client).expect("every client has a place");
    let pocket = Pocket::default();
    let (access, refresh) = match item.iter().position(|byte| *byte == 0) {
        Some(at) if client == ForeignClient::Flytekit => (&item[..at], Some(&item[at + 1..])),
        _ => (item, None),
    };
    pocket.write(&place.service, &place.user, access).expect("memory");
    if let Some(refresh) = refresh {
        pocket.write(&place.service, "refresh_token", refresh).expect("memory");
    }
    let before = pocket.items().clone();
    let read = parsers::foreign_login(&place, &pocket).expect("whatever is there is no failure of the keyring");
    assert_eq!(*pocket.items(), before, "reading changes nothing");
    let new = (AccessToken::new("new-access"), Some(RefreshToken::new("new-refresh")));
    parsers::replace_foreign_login(&place, &pocket, new.0.clone(), new.1.clone()).expect("memory");
    if let Some((access, refresh)) = read {
        // EXPOSE: measured.
        assert!(!access.expose().is_empty() && refresh.is_none_or(|refresh| !refresh.expose().is_empty()));
        let again = parsers::foreign_login(&place, &pocket).expect("memory");
        assert_eq!(again, Some(new), "what was written is read");
    }
    parsers::delete_foreign_login(&place, &pocket).expect("memory");
    assert_eq!(parsers::foreign_login(&place, &pocket).expect("memory"), None);
    assert!(pocket.items().is_empty());
}
