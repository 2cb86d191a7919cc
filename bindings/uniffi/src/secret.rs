//! Secrets on their way in and out: generated records print their members, these print nothing.

use std::fmt;
use std::sync::Arc;

use flyte_auth::protocol::secret::ClientSecret;

/// A text that is shown to nobody by accident.
#[derive(uniffi::Object)]
#[uniffi::export(Display, Debug)]
pub struct Secret(ClientSecret);

#[uniffi::export]
impl Secret {
    /// Hides `value`.
    #[uniffi::constructor]
    pub fn new(value: String) -> Arc<Self> {
        Arc::new(Self(ClientSecret::new(value)))
    }

    /// The secret.
    pub fn reveal(&self) -> String {
        self.0.expose().to_owned() // EXPOSE: the caller asked for it by name.
    }
}

impl Secret {
    pub(crate) fn client_secret(&self) -> ClientSecret {
        self.0.clone()
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
