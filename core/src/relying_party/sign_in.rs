//! The routes `/login` and `/callback`.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode};
use url::form_urlencoded;

use super::Inner;
use super::cookies::Jar;
use super::data::{Data, Snapshot, User};
use super::handle::Handled;
use super::page::{self, Page};
use super::settings::SameSite;
use super::transaction::{self, Transaction};
use super::web::{self, MAX_BODY, Request, Response};
use crate::clock::Timestamp;
use crate::credential::failure::{GrantKind, grant_error};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::callback::{self, Answer, MAX_ANSWER, Outcome, Refusal};
use crate::protocol::grant::Grant;
use crate::protocol::metadata::ServerMetadata;
use crate::protocol::pkce;
use crate::protocol::reply::Problem;
use crate::protocol::secret::AuthorizationCode;

/// What a callback came to, before it is an answer.
enum Refused {
    /// For the person; nothing went wrong here.
    Page(&'static Page),
    /// What went wrong.
    Error(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Inner {
    /// Sends a browser to the provider.
    pub(super) async fn login(&self, request: &Request, now: Timestamp) -> Handled {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return self.not_allowed(request, "GET, HEAD").into();
        }
        let return_to = self.settings.return_to_or_home(wanted_return(request).as_deref());
        let idp = self.settings.idp_parameter.as_deref().and_then(|name| request.parameter(&[name]));
        let begun = self.provider.metadata().await.and_then(|metadata| {
            let entropy = &*self.context.entropy;
            transaction::begin(&self.settings, &metadata, entropy, now, return_to, idp.as_deref(), &request.headers)
        });
        match begun {
            Ok(begun) => web::with_cookies(web::redirect(StatusCode::FOUND, &begun.url), begun.cookies).into(),
            Err(error) => {
                tracing::warn!(%error, "a sign-in could not begin");
                Handled::failed(page::unavailable(request, &self.settings.paths.login, &error), error)
            }
        }
    }

    /// Takes the provider's answer.
    pub(super) async fn callback(&self, request: &Request, now: Timestamp) -> Handled {
        let form = match request.method {
            Method::GET => None,
            Method::POST => Some(request.body.as_deref().unwrap_or_default()),
            // HEAD too: whatever looks ahead must not use up the code.
            _ => return self.not_allowed(request, "GET, POST").into(),
        };
        let mut cleared = None;
        let outcome = self.take(request, form, now, &mut cleared).await;
        let (mut handled, cookies): (Handled, Vec<HeaderValue>) = match outcome {
            Ok((response, cookies, person)) => (Handled { person: Some(person), ..Handled::from(response) }, cookies),
            Err(Refused::Page(page)) => {
                tracing::info!(code = page.code(), "a callback was refused");
                (self.answer(request, page).into(), Vec::new())
            }
            Err(Refused::Error(error)) => {
                tracing::warn!(%error, "a sign-in failed");
                let response = page::unavailable(request, &self.settings.paths.login, &error);
                (Handled::failed(response, error), Vec::new())
            }
        };
        handled.response =
            handled.response.map(|response| web::with_cookies(response, cleared.into_iter().chain(cookies)));
        handled
    }

    /// The answer of a good callback, and the session's cookies. `cleared` is the cookie of a sign-in that is over.
    async fn take(
        &self,
        request: &Request,
        form: Option<&[u8]>,
        now: Timestamp,
        cleared: &mut Option<HeaderValue>,
    ) -> Result<(Response, Vec<HeaderValue>, Arc<User>), Refused> {
        let refused = |page| Err(Refused::Page(page));
        if form.is_some_and(|form| form.len() > MAX_BODY) {
            return refused(&page::BODY_TOO_LARGE);
        }
        if request.target.len() > MAX_BODY {
            return refused(&page::TOO_LARGE);
        }
        if form.is_some() && !request.is_form() {
            return refused(&page::INVALID);
        }
        let encoded = form.unwrap_or(request.query().as_bytes());
        if encoded.len() > MAX_ANSWER {
            return refused(&page::TOO_LARGE);
        }
        let state = form_urlencoded::parse(encoded).find(|(name, _)| name == "state").map(|(_, value)| value);
        let Some(state) = state.filter(|state| !state.is_empty()) else { return refused(&page::INVALID) };
        let Some(transaction) = Transaction::find(&self.settings, &request.headers, &state, now) else {
            return refused(&page::UNKNOWN);
        };
        let metadata = self.provider.metadata().await?;
        let expected = transaction.expected(&self.settings, &metadata);
        let answer = match callback::from_request(&request.target, form, &expected) {
            Outcome::Done(answer) => answer,
            Outcome::NotOurs | Outcome::Invalid(_) => return refused(&page::INVALID),
        };
        // Whoever knows the state has answered, for good or ill: once.
        *cleared = transaction.cleared(&self.settings);
        if !self.registry.take_answer(&transaction.state) {
            return refused(&page::REPLAYED);
        }
        match answer {
            Answer::Code(code) => {
                let (data, return_to) =
                    (self.redeem(&metadata, &transaction, &code, now).await?, transaction.return_to);
                let (cookies, person) = self.establish(request, data, now).await?;
                Ok((self.onward(&return_to), cookies, person))
            }
            Answer::Unusable(Refusal::WrongIssuer | Refusal::NoIssuer) => refused(&page::FOREIGN),
            Answer::Unusable(_) => refused(&page::INVALID),
            Answer::Error { error, description } => {
                let problem = Problem::OAuth { error, description, status: 400, retry_after: None };
                let issuer = &self.settings.issuer;
                Err(grant_error(&problem, GrantKind::AuthorizationCode, issuer, &self.settings.client_id).into())
            }
        }
    }

    /// Exchanges the code and checks who came.
    async fn redeem(
        &self,
        metadata: &ServerMetadata,
        transaction: &Transaction,
        code: &AuthorizationCode,
        now: Timestamp,
    ) -> Result<Data> {
        let (settings, provider) = (&self.settings, &self.provider);
        let redirect_uri = &settings.redirect_uri;
        let grant = Grant::AuthorizationCode { code, verifier: &transaction.verifier, redirect_uri };
        let (tokens, token_origin) = provider.redeem(settings, metadata, grant).await?;
        let Some(id_token) = tokens.id_token else {
            return Err(Error::new(ErrorKind::Server, "id_token_missing", "the provider sent no ID token")
                .with_endpoint(&settings.issuer)
                .with_next("Check that it is an OpenID provider and that this client may have the scope openid"));
        };
        let subject = provider.validate(settings, &id_token, Some(&transaction.nonce), &tokens.access_token).await?;
        let user_info = if settings.user_info {
            match provider.user_info(metadata, &tokens.access_token, &subject).await {
                Ok(answer) => Data::beyond_the_token(&id_token, answer),
                Err(error) if error.code() == "subject_mismatch" => return Err(error),
                // The ID token says who it is.
                Err(error) => {
                    tracing::warn!(%error, "a person signs in without the claims of the user info endpoint");
                    serde_json::Map::new()
                }
            }
        } else {
            serde_json::Map::new()
        };
        Ok(Data {
            sid: pkce::random_string(&*self.context.entropy),
            generation: 1,
            issuer: metadata.issuer.clone().unwrap_or_else(|| settings.issuer.clone()),
            token_origin,
            access_token: tokens.access_token,
            expires_at: tokens.expires_at,
            obtained_at: tokens.obtained_at,
            refresh_token: tokens.refresh_token,
            id_token,
            user_info,
            scopes: tokens.scopes.unwrap_or_else(|| settings.scopes.clone()),
            created: now,
            used: now,
        })
    }

    /// Makes the session, in place of the one that this browser had.
    async fn establish(&self, request: &Request, data: Data, now: Timestamp) -> Result<(Vec<HeaderValue>, Arc<User>)> {
        let before = self.session_id(request);
        let held = Jar::read(&request.headers, &self.settings.cookie_name).held();
        let snapshot = Snapshot::new(data, &self.settings.header_name);
        let person = Arc::clone(&snapshot.user);
        let live = self.registry.admit(snapshot, now).ok_or_else(|| Error::internal("a new session is over"))?;
        self.save(&live, now).await?;
        let cookies = self.cookies_of(&live, held, now).inspect_err(|_| self.registry.end(&live.sid))?;
        if let Some(before) = before {
            self.end(&before).await;
        }
        Ok((cookies, person))
    }

    /// 303: a POST of the provider's form becomes a GET, and takes no code along.
    fn onward(&self, return_to: &str) -> Response {
        match self.settings.same_site {
            SameSite::Strict => page::onward(return_to),
            SameSite::Lax | SameSite::None => web::redirect(StatusCode::SEE_OTHER, return_to),
        }
    }
}

/// `redirect_url` is Flyte's name of it.
pub(super) fn wanted_return(request: &Request) -> Option<String> {
    request.parameter(&["return_to", "redirect_url"])
}
