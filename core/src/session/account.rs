//! `--account`: which of several accounts at one endpoint. It is a hint to the authorization server and a promise to
//! the user: a login as somebody else is never saved under this name.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{Asked, Session};
use crate::credential::TokenSet;
use crate::discovery::{Discovery, ServerAuth, UserInfo};
use crate::error::{Error, ErrorKind, Result};
use crate::verify::id_token::Claims;

/// How long the server may take to say who signed in, where no ID token did.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether one of the identity's names is this account. Letters count regardless of case, as in e-mail addresses.
pub(super) fn names<'a>(of_identity: impl IntoIterator<Item = Option<&'a str>>, account: &str) -> bool {
    of_identity.into_iter().flatten().any(|name| name.to_lowercase() == account.to_lowercase())
}

impl Session {
    fn account(&self) -> Option<&str> {
        self.inner.config.account.as_ref().map(|account| account.value.as_str())
    }

    /// What an authorization request asks for: with `login_hint` (OpenID Connect Core section 3.1.2.1) where an account
    /// is named and nobody set another hint.
    pub(super) fn hinted(&self, asked: &Asked) -> Asked {
        let mut asked = asked.clone();
        if let Some(account) = self.account()
            && !asked.extra.iter().any(|(name, _)| name == "login_hint")
        {
            asked.extra.push(("login_hint".to_owned(), account.to_owned()));
        }
        asked
    }

    /// Whether the one who signed in is the account that was named; asks the server where no ID token told.
    ///
    /// # Errors
    /// Kind `Denied`, code `account_mismatch`, naming both.
    pub(super) async fn ensure_account(
        &self,
        claims: Option<&Claims>,
        server: &ServerAuth,
        tokens: &TokenSet,
    ) -> Result<()> {
        let Some(account) = self.account() else { return Ok(()) };
        let told = claims.map(|claims| {
            [Some(claims.subject.as_str()), claims.email.as_deref(), claims.preferred_username.as_deref()]
        });
        if let Some(told) = told
            && let Some(verdict) = self.judge(told, account)
        {
            return verdict;
        }
        let asked = tokio::time::timeout(QUESTION_TIMEOUT, self.user_of(server, tokens)).await;
        if let Ok(Ok(user)) = asked {
            let told = [user.subject.as_deref(), user.email.as_deref(), user.preferred_username.as_deref()];
            if let Some(verdict) = self.judge(told, account) {
                return verdict;
            }
        }
        tracing::warn!("{} does not tell who signed in: that it was {account} is not checked", self.place());
        Ok(())
    }

    /// `None` if neither an e-mail address nor a user name is there to compare, and the subject is another text.
    fn judge(&self, told: [Option<&str>; 3], account: &str) -> Option<Result<()>> {
        if names(told, account) {
            return Some(Ok(()));
        }
        let [_, email, username] = told;
        let other = email.or(username)?;
        Some(Err(Error::new(
            ErrorKind::Denied,
            "account_mismatch",
            format!("{other} signed in to {}, and {account} was asked for; nothing is saved", self.place()),
        )
        .with_endpoint(self.place())
        .with_setting("account")
        .with_next(format!("Sign {other} out in the browser and try again, or use --account {other}"))))
    }

    async fn user_of(&self, server: &ServerAuth, tokens: &TokenSet) -> Result<UserInfo> {
        let inner = &self.inner;
        let discovery = Discovery::Auth(Box::new(server.clone()));
        let value = Zeroizing::new(format!("Bearer {}", tokens.access_token.expose())); // EXPOSE: the header of the question.
        inner.discoverer.user_info(&inner.target, &discovery, &inner.header_name(Some(server)), &value).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_names_will_do() {
        for (told, same) in [
            ([Some("7"), Some("Alice@Example.org"), None], true),
            ([Some("alice@example.org"), None, None], true),
            ([Some("7"), Some("bob@example.org"), Some("alice@example.org")], true),
            ([Some("7"), Some("bob@example.org"), None], false),
            ([None, None, None], false),
        ] {
            assert_eq!(names(told, "alice@example.org"), same, "{told:?}");
        }
    }
}
