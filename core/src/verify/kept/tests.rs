use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const START: Timestamp = Timestamp::from_secs(1_795_489_920);

/// Counts the fetches; each brings its own number, or fails while `broken`.
#[derive(Default)]
struct Issuer {
    fetches: AtomicUsize,
    broken: std::sync::atomic::AtomicBool,
}

impl Issuer {
    fn fetch(self: &Arc<Self>) -> impl FnOnce() -> BoxFuture<'static, Brought<usize>> + use<> {
        let this = Arc::clone(self);
        move || {
            async move {
                tokio::task::yield_now().await;
                let number = this.fetches.fetch_add(1, Ordering::SeqCst) + 1;
                if this.broken.load(Ordering::SeqCst) {
                    return Err(Error::new(ErrorKind::Network, "refused", "no answer"));
                }
                Ok((number, Duration::from_secs(300)))
            }
            .boxed()
        }
    }

    fn count(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

#[tokio::test]
async fn a_hundred_callers_are_one_fetch() {
    let (kept, issuer) = (Arc::new(Kept::default()), Arc::new(Issuer::default()));
    let callers = (0..100).map(|_| {
        let (kept, fetch) = (Arc::clone(&kept), issuer.fetch());
        tokio::spawn(async move { kept.get(START, fetch).await.unwrap().value })
    });
    for caller in callers.collect::<Vec<_>>() {
        assert_eq!(caller.await.unwrap(), 1);
    }
    assert_eq!(issuer.count(), 1);
    assert_eq!(kept.get(at(200), issuer.fetch()).await.unwrap().value, 1);
    assert_eq!(issuer.count(), 1, "within its lifetime");
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_end_the_fetch() {
    let (kept, issuer) = (Arc::new(Kept::default()), Arc::new(Issuer::default()));
    assert!(kept.get(START, issuer.fetch()).now_or_never().is_none(), "the fetch needs a turn of the runtime");
    assert_eq!(kept.get(START, issuer.fetch()).await.unwrap().value, 1);
    assert_eq!(issuer.count(), 1);
}

#[tokio::test]
async fn the_last_fifth_is_renewed_behind_and_the_end_is_waited_for() {
    let (kept, issuer) = (Arc::new(Kept::default()), Arc::new(Issuer::default()));
    assert!(kept.fresh(START).is_none());
    kept.get(START, issuer.fetch()).await.unwrap();
    assert!(kept.fresh(at(239)).is_some());
    assert!(kept.fresh(at(240)).is_none(), "due");
    assert_eq!(kept.get(at(240), issuer.fetch()).await.unwrap().value, 1, "the old one serves");
    while issuer.count() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(kept.get(at(241), issuer.fetch()).await.unwrap().value, 2);
    assert_eq!(kept.get(at(1000), issuer.fetch()).await.unwrap().value, 3, "past its lifetime it is fetched first");
}

#[tokio::test]
async fn an_outage_is_survived_for_a_day_and_not_asked_about_at_every_call() {
    let (kept, issuer) = (Arc::new(Kept::default()), Arc::new(Issuer::default()));
    kept.get(START, issuer.fetch()).await.unwrap();
    issuer.broken.store(true, Ordering::SeqCst);
    for second in [400, 401, 430, 459] {
        assert_eq!(kept.get(at(second), issuer.fetch()).await.unwrap().value, 1);
    }
    assert_eq!(issuer.count(), 2, "one try in a minute");
    assert_eq!(kept.get(at(460), issuer.fetch()).await.unwrap().value, 1);
    assert_eq!(issuer.count(), 3);
    let error = kept.get(at(86_401), issuer.fetch()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Network, true));
    issuer.broken.store(false, Ordering::SeqCst);
    assert!(kept.get(at(86_470), issuer.fetch()).await.is_ok());
}

#[tokio::test]
async fn a_first_failure_is_tried_again_after_a_growing_pause() {
    let (kept, issuer) = (Arc::new(Kept::<usize>::default()), Arc::new(Issuer::default()));
    issuer.broken.store(true, Ordering::SeqCst);
    let mut tries = Vec::new();
    for second in 0..200 {
        let before = issuer.count();
        let error = kept.get(at(second), issuer.fetch()).await.unwrap_err();
        assert_eq!(error.code(), "refused");
        if issuer.count() > before {
            tries.push(second);
        }
    }
    assert_eq!(tries, [0, 1, 3, 7, 15, 31, 63, 123, 183]);
}

#[tokio::test]
async fn a_missing_key_asks_once_a_minute() {
    let (kept, issuer) = (Arc::new(Kept::default()), Arc::new(Issuer::default()));
    let first = kept.get(START, issuer.fetch()).await.unwrap();
    for second in 0..60 {
        assert!(kept.newer(at(second), first.number, issuer.fetch()).await.is_none());
    }
    assert_eq!(issuer.count(), 1);
    let second = kept.newer(at(60), first.number, issuer.fetch()).await.unwrap();
    assert_eq!((second.value, second.number), (2, 2));
    assert_eq!(kept.newer(at(61), first.number, issuer.fetch()).await.unwrap().value, 2, "what is there is used");
    assert!(kept.newer(at(61), second.number, issuer.fetch()).await.is_none());
    assert_eq!(issuer.count(), 2);
}

#[tokio::test]
async fn a_clock_that_was_set_back_fetches_anew() {
    let (kept, issuer) = (Arc::new(Kept::default()), Arc::new(Issuer::default()));
    kept.get(at(1000), issuer.fetch()).await.unwrap();
    assert_eq!(kept.get(START, issuer.fetch()).await.unwrap().value, 2);
    assert_eq!(kept.get(at(10), issuer.fetch()).await.unwrap().value, 2);
}
