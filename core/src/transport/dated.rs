//! Reads the `Date` of every answer: how far the server's clock is from ours, and what a `Retry-After` that names a
//! date means in seconds (RFC 9110 section 10.2.3).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::future::BoxFuture;
use http::HeaderValue;
use http::header::{DATE, RETRY_AFTER};

use super::{Call, Failure, HttpTransport, Reply};
use crate::clock::{Clock, Timestamp};

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

    fn read(&self, reply: &mut Reply) {
        let now = self.clock.now();
        let date = reply.headers.get(DATE).and_then(http_date);
        if let Some(date) = date {
            self.skew.0.store(date.as_millis().saturating_sub(now.as_millis()), Ordering::Relaxed);
        }
        if let Some(until) = reply.headers.get(RETRY_AFTER).and_then(http_date) {
            let wait = until.since(date.unwrap_or(now)).as_secs();
            reply.headers.insert(RETRY_AFTER, HeaderValue::from(wait));
        }
    }
}

/// An HTTP date (`Wed, 21 Oct 2026 07:28:00 GMT`).
fn http_date(value: &HeaderValue) -> Option<Timestamp> {
    let time = jiff::fmt::rfc2822::parse(value.to_str().ok()?.trim()).ok()?;
    Some(Timestamp::from_millis(time.timestamp().as_millisecond()))
}

impl HttpTransport for Dated {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Reply, Failure>> {
        Box::pin(async move {
            let mut reply = self.inner.send(call).await?;
            self.read(&mut reply);
            Ok(reply)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::fake::FakeClock;
    use crate::transport::scripted::{ScriptedTransport, json};

    fn dated(reply: &mut Reply, headers: &[(&'static str, &str)]) -> i64 {
        for (name, value) in headers {
            reply.headers.insert(*name, value.parse().unwrap());
        }
        let dated = Dated::new(Arc::new(ScriptedTransport::new(vec![])), Arc::new(FakeClock::default()));
        dated.read(reply);
        dated.skew().millis()
    }

    #[test]
    fn the_servers_clock() {
        // The fake clock stands at 03:12:00.
        for (date, skew) in [
            ("Tue, 24 Nov 2026 03:12:00 GMT", 0),
            ("Tue, 24 Nov 2026 03:17:00 GMT", 300_000),
            ("Mon, 23 Nov 2026 03:12:00 GMT", -86_400_000),
            ("yesterday", 0),
        ] {
            assert_eq!(dated(&mut json(200, "{}").unwrap(), &[("date", date)]), skew, "{date}");
        }
    }

    #[test]
    fn retry_after_a_date_becomes_seconds_by_the_servers_own_clock() {
        for (headers, expected) in [
            (&[("retry-after", "Tue, 24 Nov 2026 03:12:30 GMT")][..], "30"),
            (&[("date", "Tue, 24 Nov 2026 05:00:00 GMT"), ("retry-after", "Tue, 24 Nov 2026 05:00:07 GMT")], "7"),
            (&[("retry-after", "Tue, 24 Nov 2026 03:00:00 GMT")], "0"),
            (&[("retry-after", "12")], "12"),
            (&[("retry-after", "soon")], "soon"),
        ] {
            let mut reply = json(503, "").unwrap();
            dated(&mut reply, headers);
            assert_eq!(reply.headers[RETRY_AFTER], expected, "{headers:?}");
        }
    }
}
