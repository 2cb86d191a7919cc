//! Sessions that are kept by JavaScript: each read and write is handed over as a [`StoreCall`] and answered through it.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flyte_auth::relying_party::SessionStore;
use flyte_auth::{Error, ErrorKind, Result};
use futures_util::future::BoxFuture;
use napi::Status;
use napi::bindgen_prelude::{Buffer, Function, Unknown};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use tokio::sync::oneshot;

/// A store that has not answered by then will not.
const LONGEST: Duration = Duration::from_secs(10);

fn failed(why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Store, "session_store_failed", format!("the session store failed: {why}"))
        .with_retryable(true)
        .with_next("Check the store that was given to flyteLogin")
}

type Answer = Result<Option<Vec<u8>>>;
type Waiting = oneshot::Sender<Answer>;

/// Something that the store is asked for.
#[napi]
pub struct StoreCall {
    operation: &'static str,
    key: String,
    value: Option<Vec<u8>>,
    lifetime: Option<f64>,
    waiting: Mutex<Option<Waiting>>,
}

impl StoreCall {
    fn answer(&self, answer: Answer) {
        if let Some(waiting) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = waiting.send(answer);
        }
    }
}

#[napi]
impl StoreCall {
    /// `get`, `set` or `delete`.
    #[napi(getter, ts_return_type = "'get' | 'set' | 'delete'")]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Whose session: a hash that gives nothing away.
    #[napi(getter)]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// `set`: the sealed session.
    #[napi(getter)]
    pub fn value(&self) -> Option<Buffer> {
        self.value.clone().map(Buffer::from)
    }

    /// `set`: milliseconds for which it is to be kept.
    #[napi(getter)]
    pub fn lifetime(&self) -> Option<f64> {
        self.lifetime
    }

    /// It is done; `get` gives what it found.
    #[napi]
    pub fn done(&self, found: Option<Buffer>) {
        self.answer(Ok(found.map(|found| found.to_vec())));
    }

    /// It cannot be done.
    #[napi]
    pub fn failed(&self, why: String) {
        self.answer(Err(failed(why)));
    }
}

/// What JavaScript gives: a function that serves a [`StoreCall`].
pub(crate) type Serve<'env> = Function<'env, StoreCall, Unknown<'static>>;

/// The store that JavaScript serves. It keeps no event loop alive.
pub(crate) struct JsStore(ThreadsafeFunction<StoreCall, Unknown<'static>, StoreCall, Status, false, true>);

impl fmt::Debug for JsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsStore").finish_non_exhaustive()
    }
}

impl JsStore {
    pub(crate) fn new(serve: &Serve<'_>) -> napi::Result<Self> {
        let served = serve.build_threadsafe_function::<StoreCall>().callee_handled::<false>().weak::<true>();
        Ok(Self(served.build_callback(|call| Ok(call.value))?))
    }

    async fn ask(&self, operation: &'static str, key: &str, value: Option<Vec<u8>>, lifetime: Option<f64>) -> Answer {
        let (waiting, answer) = oneshot::channel();
        let key = key.to_owned();
        let call = StoreCall { operation, key, value, lifetime, waiting: Mutex::new(Some(waiting)) };
        let status = self.0.call(call, ThreadsafeFunctionCallMode::NonBlocking);
        if status != Status::Ok {
            return Err(failed("its thread has ended"));
        }
        match tokio::time::timeout(LONGEST, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(failed("it gave no answer"))),
            Err(_) => Err(failed("it gave no answer in ten seconds")),
        }
    }
}

impl SessionStore for JsStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>>> {
        Box::pin(async move { Ok(self.ask("get", key, None, None).await?.map(Bytes::from)) })
    }

    fn put<'a>(&'a self, key: &'a str, sealed: Bytes, lifetime: Duration) -> BoxFuture<'a, Result<()>> {
        let millis = lifetime.as_secs_f64() * 1000.0;
        Box::pin(async move { self.ask("set", key, Some(sealed.to_vec()), Some(millis)).await.map(drop) })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.ask("delete", key, None, None).await.map(drop) })
    }
}
