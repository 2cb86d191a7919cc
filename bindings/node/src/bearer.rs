//! Bearer tokens for a service (RFC 6750).

use flyte_auth::verify;
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;

use crate::call::{Cancel, call};
use crate::error::{members, raise};
use crate::verify::{VerifiedToken, Verifier};
use crate::web::WebResponse;

/// Either `token`, or the `response` to a request without a good one.
#[napi(object, object_from_js = false)]
pub struct BearerResult {
    #[napi(ts_type = "VerifiedToken")]
    pub token: Option<VerifiedToken>,
    pub response: Option<WebResponse>,
    /// A failure as JSON, for a log.
    pub problem: Option<String>,
}

type Checked = std::result::Result<std::sync::Arc<verify::VerifiedToken>, Box<verify::bearer::Refused>>;

impl From<Checked> for BearerResult {
    fn from(checked: Checked) -> Self {
        match checked {
            Ok(token) => Self { token: Some(VerifiedToken::new(token)), response: None, problem: None },
            Err(refused) => Self {
                token: None,
                response: Some(refused.response.into()),
                problem: refused.problem.map(|error| members(&error).to_string()),
            },
        }
    }
}

/// Guards a service by bearer tokens.
#[napi]
pub struct Bearer {
    inner: verify::bearer::Bearer,
}

#[napi]
impl Bearer {
    /// Takes the tokens that `verifier` takes and that have the scopes.
    #[napi(constructor)]
    pub fn new(
        verifier: &Verifier,
        realm: Option<String>,
        required_scopes: Option<Vec<String>>,
        resource_metadata: Option<String>,
    ) -> napi::Result<Self> {
        let mut inner = verify::bearer::Bearer::new(verifier.inner.clone());
        if let Some(realm) = realm {
            inner = inner.realm(realm).map_err(raise)?;
        }
        for scope in required_scopes.unwrap_or_default() {
            inner = inner.required_scope(scope).map_err(raise)?;
        }
        if let Some(address) = resource_metadata {
            inner = inner.resource_metadata(&address).map_err(raise)?;
        }
        Ok(Self { inner })
    }

    /// What needs no waiting; null means call `check`.
    #[napi]
    pub fn check_now(&self, authorization: Option<String>) -> Option<BearerResult> {
        self.inner.check_values_now(authorization.as_deref()).map(BearerResult::from)
    }

    /// As `checkNow`, whatever it takes.
    #[napi(ts_return_type = "Promise<BearerResult>")]
    pub fn check<'env>(
        &self,
        env: &'env Env,
        authorization: Option<String>,
        cancel: Option<&Cancel>,
    ) -> napi::Result<Object<'env>> {
        let bearer = self.inner.clone();
        call(env, cancel, async move { Ok(bearer.check_values(authorization.as_deref()).await) }, |checked| {
            Ok(BearerResult::from(checked))
        })
    }
}
