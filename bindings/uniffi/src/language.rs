//! How the language that loaded the library spells its options.

use std::sync::atomic::{AtomicU8, Ordering};

use flyte_auth::config::Spelling;

/// How options are spelled.
#[derive(uniffi::Enum, Clone, Copy)]
pub enum Naming {
    /// `client_id`.
    SnakeCase,
    /// `clientId`.
    CamelCase,
}

static NAMING: AtomicU8 = AtomicU8::new(Naming::SnakeCase as u8);

/// What a package calls once, before anything else: origins and errors name options so. Snake case until then.
#[uniffi::export]
pub fn use_naming(naming: Naming) {
    NAMING.store(naming as u8, Ordering::Relaxed);
}

pub(crate) fn spelling() -> Spelling {
    if NAMING.load(Ordering::Relaxed) == Naming::CamelCase as u8 { Spelling::CamelCase } else { Spelling::SnakeCase }
}
