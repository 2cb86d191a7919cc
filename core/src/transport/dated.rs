//! Reads the `Date` of every answer (RFC 9110 section 6.6.1): how far the server's clock is from ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::future::BoxFuture;

use super::{Call, Failure, HttpTransport, Reply};
use crate::clock::Clock;

/// The server's clock minus ours, in milliseconds, as of the last answer that had a `Date`.
#[derive(Debug, Clone, Default)]
pub struct Skew(Arc<AtomicI64>);

impl Skew {
    /// Positive: the server's clock is ahead.
    pub fn millis(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A transport that reads the dates of what passes through it.
#[derive(Debug)]
pub struct Dated {
    inner: Arc<dyn HttpTransport>,
    clock: Arc<dyn Clock>,
    skew: Skew,
}

impl Dated {
    /// Around `inner`.
    pub fn new(inner: Arc<dyn HttpTransport>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, clock, skew: Skew::default() }
    }

    /// Follows the server's clock.
    pub fn skew(&self) -> Skew {
        self.skew.clone()
    }

    fn read(&self, reply: &Reply) {
        if let Some(date) = reply.date() {
            let ahead = date.as_millis().saturating_sub(self.clock.now().as_millis());
            self.skew.0.store(ahead, Ordering::Relaxed);
        }
    }
}

impl HttpTransport for Dated {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Reply, Failure>> {
        Box::pin(async move {
            let reply = self.inner.send(call).await?;
            self.read(&reply);
            Ok(reply)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::fake::FakeClock;
    use crate::transport::scripted::{ScriptedTransport, json};

    #[test]
    fn the_servers_clock() {
        // The fake clock stands at 03:12:00.
        for (date, ahead) in [
            ("Tue, 24 Nov 2026 03:12:00 GMT", 0),
            ("Tue, 24 Nov 2026 03:17:00 GMT", 300_000),
            ("Mon, 23 Nov 2026 03:12:00 GMT", -86_400_000),
            ("yesterday", 0),
        ] {
            let mut reply = json(200, "{}").unwrap();
            reply.headers.insert(http::header::DATE, date.parse().unwrap());
            let dated = Dated::new(Arc::new(ScriptedTransport::new(vec![])), Arc::new(FakeClock::default()));
            dated.read(&reply);
            assert_eq!(dated.skew().millis(), ahead, "{date}");
        }
    }
}
