//! Who is at the other end of the connection, for the audit trail: known where a request comes in, wanted deep inside.

use std::future::Future;
use std::net::IpAddr;

tokio::task_local! {
    static PEER: Option<IpAddr>;
}

/// Runs the work of one request, whose peer is known inside.
pub(crate) async fn within<R>(peer: Option<IpAddr>, work: impl Future<Output = R>) -> R {
    PEER.scope(peer, work).await
}

/// The peer of the request that is worked on; behind an ingress, the ingress.
pub(crate) fn current() -> Option<String> {
    PEER.try_with(|peer| peer.map(|address| address.to_string())).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_peer_is_known_inside_and_nowhere_else() {
        let address = "192.0.2.7".parse().unwrap();
        assert_eq!(within(Some(address), async { current() }).await.as_deref(), Some("192.0.2.7"));
        assert_eq!(within(None, async { current() }).await, None);
        assert_eq!(current(), None);
    }
}
