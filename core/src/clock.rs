//! Time and randomness, handed in as arguments: nothing else in this crate reads a clock or a random source
//! (`clippy.toml` bans it), so that every expiry and every nonce can be tested.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;

/// A point in time: whole milliseconds since 1970-01-01T00:00:00Z. Wall clock, so that it counts through suspend and
/// means the same in every process that shares a store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }
    /// From seconds since the epoch, saturating.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }
    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }
    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }
    /// `self + duration`, saturating.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
    /// `self - duration`, saturating.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
    /// How long from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
    /// RFC 3339 in UTC with whole seconds, for example `2026-11-24T03:12:00Z`.
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_second(self.as_secs())
            .map_or_else(|_| format!("@{}", self.as_secs()), |time| time.to_string())
    }
    /// From a date as HTTP headers carry it (RFC 9110 section 5.6.7); `None` for anything else, the obsolete forms too.
    pub fn parse_http_date(text: &str) -> Option<Self> {
        let parser = jiff::fmt::rfc2822::DateTimeParser::new();
        parser.parse_timestamp(text.trim()).ok().map(|time| Self(time.as_millisecond()))
    }
    /// From RFC 3339 with any offset; `None` if it is not that.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.trim().parse::<jiff::Timestamp>().ok().map(|time| Self(time.as_millisecond()))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// Reads the time and waits. The one real implementation is [`SystemClock`].
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Completes after `duration` (tokio's timer; needs a runtime).
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Fills buffers with unpredictable bytes. The one real implementation is [`SystemEntropy`].
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills `buffer`. Never returns with predictable bytes: a failing source ends the process.
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// [`Clock::now`] with a static call. On Linux the coarse clock (5 ns, at most 4 ms behind): `token()` reads it on
    /// every call, and no token's lifetime is decided by milliseconds.
    #[inline]
    pub fn read() -> Timestamp {
        #[cfg(target_os = "linux")]
        {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
            crate::testing::moved(Timestamp(time.tv_sec * 1000 + time.tv_nsec / 1_000_000))
        }
        #[cfg(not(target_os = "linux"))]
        {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
            let now = std::time::SystemTime::now();
            let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            crate::testing::moved(Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Self::read()
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The operating system's random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        #[expect(clippy::expect_used, reason = "a predictable state or verifier is worse than no process")]
        getrandom::fill(buffer).expect("the operating system's random source failed");
    }
}

#[cfg(test)]
pub(crate) mod fake;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trip() {
        let time = Timestamp::from_secs(1_795_489_920);
        assert_eq!(Timestamp::parse_rfc3339(&time.to_rfc3339()), Some(time));
        assert_eq!(
            Timestamp::parse_rfc3339("2026-11-24T05:12:00+02:00"),
            Timestamp::parse_rfc3339("2026-11-24T03:12:00Z")
        );
        assert_eq!(Timestamp::parse_rfc3339("tomorrow"), None);
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::from_secs(i64::MAX).plus(Duration::MAX), Timestamp::from_millis(i64::MAX));
        assert_eq!(Timestamp::from_secs(5).since(Timestamp::from_secs(9)), Duration::ZERO);
    }
}
