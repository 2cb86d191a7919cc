//! Who signs in, and who says so.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use serde_json::{Map, Value};

use crate::users::{User, Users};

/// Somebody whose identity was proved, or, in the sandbox, chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// `sub`.
    pub subject: String,
    /// Further claims: `name`, `email`, ….
    pub claims: Map<String, Value>,
    /// When the person signed in, in seconds since the epoch.
    pub auth_time: i64,
    /// To be set with the answer, whatever it is.
    pub set_cookies: Vec<HeaderValue>,
}

impl Person {
    /// What to call the person on a page.
    pub fn shown(&self) -> &str {
        let text = |name: &str| self.claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        text("email").or_else(|| text("preferred_username")).or_else(|| text("name")).unwrap_or(&self.subject)
    }

    /// A user of the sandbox, at `auth_time`.
    pub(super) fn chosen(user: &User, auth_time: i64) -> Self {
        let claims = super::tokens::user_claims(user);
        Self { subject: user.subject.clone(), claims, auth_time, set_cookies: Vec::new() }
    }
}

/// What signs people in for the authorization server.
#[async_trait]
pub trait SignIn: Send + Sync + fmt::Debug {
    /// Who is signed in by the cookies among these headers. A request that another site caused is nobody's.
    async fn person(&self, headers: &HeaderMap) -> Option<Person>;

    /// Sends a browser to sign in, and then to `target`, a path of this server with its query.
    fn begin(&self, headers: &HeaderMap, target: &str) -> Response;
}

/// Who can sign in.
#[derive(Clone)]
pub enum People {
    /// The sandbox's: whoever reaches the page says who they are.
    Offered(Users),
    /// Those whom a provider vouches for.
    SignedIn(Arc<dyn SignIn>),
}

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offered(users) => f.debug_tuple("Offered").field(users).finish(),
            Self::SignedIn(sign_in) => f.debug_tuple("SignedIn").field(sign_in).finish(),
        }
    }
}

impl People {
    /// Whom the sandbox approves as without asking.
    pub(super) fn auto_approve(&self) -> Option<&User> {
        match self {
            Self::Offered(users) => users.auto_approve.as_ref(),
            Self::SignedIn(_) => None,
        }
    }
}
