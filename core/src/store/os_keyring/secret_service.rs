//! The Secret Service over D-Bus (GNOME Keyring, KWallet, KeePassXC).
//!
//! One runtime a call, on the caller's thread: a call that times out leaves nothing behind, its connection is closed and
//! with it a prompt that nobody answered; and a forked child shares no event loop with its parent.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use secret_service::{Collection, EncryptionType, Error as ServiceError, SecretService};
use zeroize::Zeroizing;

use super::{ANSWER, Answer, Item, Request, UNLOCK, absent, failed, locked, no_answer};
use crate::config::ProcessContext;
use crate::error::{Error, Result};
use crate::interaction::surroundings::Surroundings;

/// Opaque bytes: what Python's `keyring` writes too, as `text/plain`, is read whatever its type.
const CONTENT_TYPE: &str = "text/plain";

/// Each of the two steps before and after an unlock has its own deadline; the rest is slack for a starved machine.
pub(super) fn longest(unlock: bool) -> Duration {
    let answers = ANSWER * 2 + Duration::from_secs(2);
    if unlock { answers + UNLOCK } else { answers }
}

pub(super) fn run(item: &Item, request: Request, unlock: bool) -> Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| failed("no async runtime can be started").with_source(cause))?;
    let outcome = runtime.block_on(perform(item, request, unlock));
    // Not by dropping it: that would wait for a name lookup or a file that hangs.
    runtime.shutdown_background();
    outcome
}

async fn within<T>(limit: Duration, step: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, step).await.unwrap_or_else(|_| Err(no_answer()))
}

async fn perform(item: &Item, request: Request, unlock: bool) -> Result<Answer> {
    let service = within(ANSWER, connect()).await?;
    match request {
        Request::Read => {
            let found = within(ANSWER, find(&service, item)).await?;
            let Some(found) = found.unlocked(unlock).await? else { return Ok(Answer::Secret(None)) };
            within(ANSWER, async {
                Ok(Answer::Secret(Some(Zeroizing::new(found.get_secret().await.map_err(explain)?))))
            })
            .await
        }
        Request::Write(secret) => {
            let found = within(ANSWER, find(&service, item)).await?;
            if let Some(found) = found.unlocked(unlock).await? {
                within(ANSWER, async { found.set_secret(&secret, CONTENT_TYPE).await.map_err(explain) }).await?;
                return Ok(Answer::Done(true));
            }
            create(&service, item, &secret, unlock).await
        }
        Request::Delete => {
            let mut any = false;
            while let Some(found) = within(ANSWER, find(&service, item)).await?.unlocked(unlock).await? {
                within(ANSWER, async { found.delete().await.map_err(explain) }).await?;
                any = true;
            }
            Ok(Answer::Done(any))
        }
        Request::Probe(secret) => {
            create(&service, item, &secret, unlock).await?;
            within(ANSWER, async {
                let probe = find(&service, item).await?.unlocked(false).await?;
                let probe = probe.ok_or_else(|| failed("what was just written is not there"))?;
                let back = Zeroizing::new(probe.get_secret().await.map_err(explain)?);
                probe.delete().await.map_err(explain)?;
                if *back != *secret {
                    return Err(failed("it gives back other bytes than were written"));
                }
                Ok(Answer::Done(true))
            })
            .await
        }
    }
}

async fn connect() -> Result<SecretService<'static>> {
    let connection = zbus::Connection::session().await.map_err(|cause| {
        let why = match std::env::var_os("DBUS_SESSION_BUS_ADDRESS") {
            Some(_) => "the D-Bus session bus that DBUS_SESSION_BUS_ADDRESS names cannot be reached",
            None => "no D-Bus session bus",
        };
        absent(why).with_source(cause)
    })?;
    // The bus carries other processes' messages too: secrets cross it encrypted.
    SecretService::connect_with_existing(EncryptionType::Dh, connection).await.map_err(explain)
}

/// The items of this name, those that can be used now first.
struct Found<'a> {
    open: Option<secret_service::Item<'a>>,
    locked: Option<secret_service::Item<'a>>,
}

async fn find<'a>(service: &'a SecretService<'static>, item: &Item) -> Result<Found<'a>> {
    // More than one matches where another client added attributes of its own: the first serves, as with theirs.
    let found = service.search_items(attributes(item)).await.map_err(explain)?;
    Ok(Found { open: found.unlocked.into_iter().next(), locked: found.locked.into_iter().next() })
}

impl<'a> Found<'a> {
    async fn unlocked(self, unlock: bool) -> Result<Option<secret_service::Item<'a>>> {
        if let Some(item) = self.open {
            return Ok(Some(item));
        }
        let Some(item) = self.locked else { return Ok(None) };
        prompt(unlock, item.unlock()).await?;
        Ok(Some(item))
    }
}

async fn create(service: &SecretService<'static>, item: &Item, secret: &[u8], unlock: bool) -> Result<Answer> {
    let (collection, is_locked) = within(ANSWER, default_collection(service)).await?;
    if is_locked {
        prompt(unlock, collection.unlock()).await?;
    }
    within(ANSWER, async {
        // "Replace": two processes that create the item at once leave one.
        let made = collection.create_item(&item.label, attributes(item), secret, true, CONTENT_TYPE).await;
        made.map(|_| Answer::Done(true)).map_err(explain)
    })
    .await
}

async fn default_collection<'a>(service: &'a SecretService<'static>) -> Result<(Collection<'a>, bool)> {
    let collection = service.get_default_collection().await.map_err(|cause| match cause {
        ServiceError::NoResult => absent("the Secret Service has no default keyring"),
        cause => explain(cause),
    })?;
    let is_locked = collection.is_locked().await.map_err(explain)?;
    Ok((collection, is_locked))
}

/// Has the person unlock it, if one may be asked and has a screen to be asked on.
async fn prompt(unlock: bool, unlocking: impl Future<Output = Result<(), ServiceError>>) -> Result<()> {
    let around = Surroundings::gather(&ProcessContext::env);
    // A screen in CI or in a pod has nobody in front of it.
    if !unlock || around.display.is_none() || around.ci.is_some() || around.pod.is_some() {
        return Err(locked(""));
    }
    match tokio::time::timeout(UNLOCK, unlocking).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(ServiceError::Prompt | ServiceError::PromptDisconnected)) => Err(locked(", and was not unlocked")),
        Ok(Err(cause)) => Err(explain(cause)),
        Err(_) => Err(locked(&format!(", and nobody unlocked it within {} s", UNLOCK.as_secs()))),
    }
}

fn attributes(item: &Item) -> HashMap<&str, &str> {
    HashMap::from([("service", item.service.as_str()), ("username", item.user.as_str())])
}

fn explain(cause: ServiceError) -> Error {
    let name = match &cause {
        ServiceError::Zbus(zbus::Error::MethodError(name, ..)) => name.as_str().to_owned(),
        ServiceError::Zbus(zbus::Error::FDO(inner)) => error_name(inner),
        ServiceError::ZbusFdo(inner) => error_name(inner),
        _ => String::new(),
    };
    let short = name.rsplit('.').next().unwrap_or_default();
    let error = match (&cause, short) {
        (ServiceError::Locked, _) | (_, "IsLocked") => locked(""),
        (ServiceError::Unavailable, _) | (_, "ServiceUnknown" | "NameHasNoOwner" | "ServiceNotFound") => {
            absent("nothing on the D-Bus session bus is a Secret Service")
        }
        (_, "TimedOut" | "Timeout" | "NoReply") => no_answer(),
        _ if name.starts_with("org.freedesktop.DBus.Error.Spawn") => {
            absent("the Secret Service on the D-Bus session bus cannot be started")
        }
        // A name, never a message: another program's text has no place in ours.
        (_, "") => failed("the Secret Service gave no usable answer"),
        (_, short) => failed(&format!("the Secret Service said {short}")),
    };
    error.with_source(cause)
}

fn error_name(error: &zbus::fdo::Error) -> String {
    zbus::DBusError::name(error).as_str().to_owned()
}
