use super::*;

#[tokio::test]
async fn every_record_survives_a_restart_as_it_was() {
    let scratch = Scratch::new().await;
    let state = &scratch.state;
    state.put_pending("p", &pending()).await.unwrap();
    state.put_code("c", &code()).await.unwrap();
    assert!(state.put_device("d", &device("WDJB-MJHT"), NOW).await.unwrap());
    state.put_refresh("r", &refresh("session", "at")).await.unwrap();
    state.put_session("s", b"sealed\0\xff", after(60)).await.unwrap();
    state.revoke("jti", after(60)).await.unwrap();
    state.revoke_session("ended", after(60)).await.unwrap();
    assert!(state.first_use("assertion", after(60), NOW).await.unwrap());
    state.record(&[event("one"), event("two")]).await.unwrap();

    let scratch = scratch.restarted().await;
    let state = &scratch.state;
    assert_eq!(state.pending("p", NOW).await.unwrap(), Some(pending()));
    assert!(state.code("c").await.unwrap() == Some(code()));
    assert!(state.device("d").await.unwrap() == Some(device("WDJB-MJHT")));
    assert_eq!(state.refresh("r").await.unwrap(), Some(refresh("session", "at")));
    assert_eq!(state.session("s", NOW).await.unwrap().as_deref(), Some(&b"sealed\0\xff"[..]));
    assert!(state.any_revoked(&["other", "jti"]) && state.any_revoked(&["ended"]) && !state.any_revoked(&["other"]));
    assert!(!state.first_use("assertion", after(60), NOW).await.unwrap());
    assert_eq!(state.events(10).await.unwrap(), [event("two"), event("one")]);
    state.ping().await.unwrap();
}

#[tokio::test]
async fn the_database_in_memory_keeps_what_it_was_told() {
    let state = Sqlite::open(None).await.unwrap();
    state.put_refresh("r", &refresh("session", "at")).await.unwrap();
    assert_eq!(state.rotate("r", "r2", &refresh("session", "at2"), true).await.unwrap(), Rotation::Rotated);
    assert_eq!(state.refresh("r2").await.unwrap(), Some(refresh("session", "at2")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_callers_at_once_one_is_first() {
    let scratch = Scratch::new().await;
    let state = &scratch.state;
    state.put_pending("p", &pending()).await.unwrap();
    state.put_code("c", &code()).await.unwrap();
    state.put_device("d", &device("WDJB-MJHT"), NOW).await.unwrap();
    let with = |_| Arc::clone(state);
    let taken = winners(|at| {
        let state = with(at);
        async move { state.take_pending("p", NOW).await.unwrap() }
    });
    assert_eq!(taken.await, 1);
    let used = winners(|at| {
        let state = with(at);
        async move { state.use_code("c").await.unwrap() }
    });
    assert_eq!(used.await, 1);
    assert!(state.code("c").await.unwrap().unwrap().used);
    let answered = winners(|at| {
        let state = with(at);
        async move { state.answer_device("WDJB-MJHT", &approved(), NOW).await.unwrap() }
    });
    assert_eq!(answered.await, 1);
    let taken = winners(|at| {
        let state = with(at);
        async move { state.take_device("d").await.unwrap() }
    });
    assert_eq!(taken.await, 1);
    let used = winners(|at| {
        let state = with(at);
        async move { state.first_use("jti", after(60), NOW).await.unwrap() }
    });
    assert_eq!(used.await, 1);
    let put = winners(|at| {
        let state = with(at);
        async move { state.put_device(&format!("digest {at}"), &device("BCDF-GHJK"), NOW).await.unwrap() }
    });
    assert_eq!(put.await, 1);
}

#[tokio::test]
async fn what_has_lapsed_is_not_there() {
    let scratch = Scratch::new().await;
    let state = &scratch.state;
    state.put_pending("p", &pending()).await.unwrap();
    assert_eq!(state.pending("p", after(60)).await.unwrap(), None);
    assert_eq!(state.take_pending("p", after(60)).await.unwrap(), None);
    state.put_session("s", b"x", after(60)).await.unwrap();
    assert!(state.session("s", after(59)).await.unwrap().is_some());
    assert!(state.session("s", after(60)).await.unwrap().is_none());
    state.put_session("s", b"y", after(90)).await.unwrap();
    assert_eq!(state.session("s", after(60)).await.unwrap().as_deref(), Some(&b"y"[..]));
    state.delete_session("s").await.unwrap();
    state.delete_session("s").await.unwrap();
    assert!(state.session("s", NOW).await.unwrap().is_none());
    // A code says that it lapsed; and unknown ones are no error.
    state.put_code("c", &code()).await.unwrap();
    assert!(state.code("c").await.unwrap().is_some());
    assert!(state.code("other").await.unwrap().is_none() && !state.use_code("other").await.unwrap());
    assert!(state.first_use("jti", after(60), NOW).await.unwrap());
    assert!(!state.first_use("jti", after(90), after(59)).await.unwrap());
    assert!(state.first_use("jti", after(90), after(60)).await.unwrap(), "the first has lapsed");
    assert!(!state.first_use("jti", after(120), after(89)).await.unwrap());
}

#[tokio::test]
async fn a_user_code_stands_for_one_live_request() {
    let scratch = Scratch::new().await;
    let state = &scratch.state;
    assert!(state.put_device("one", &device("WDJB-MJHT"), NOW).await.unwrap());
    assert!(!state.put_device("two", &device("WDJB-MJHT"), after(599)).await.unwrap());
    assert!(state.device("two").await.unwrap().is_none());
    let later = Device { expires_at: after(1200), ..device("WDJB-MJHT") };
    assert!(state.put_device("two", &later, after(600)).await.unwrap(), "the first has lapsed");
    // The first one is still there but answers to the code no more.
    assert!(state.answer_device("WDJB-MJHT", &approved(), after(600)).await.unwrap());
    assert_eq!(state.device("one").await.unwrap().unwrap().answer, DeviceAnswer::Pending);
    assert_eq!(state.device("two").await.unwrap().unwrap().answer, approved());
    assert!(state.device_by_user_code("WDJB-MJHT", after(600)).await.unwrap().is_none(), "it was answered");
    assert!(!state.answer_device("WDJB-MJHT", &DeviceAnswer::Denied, after(600)).await.unwrap());
    assert!(!state.answer_device("ZZZZ-ZZZZ", &DeviceAnswer::Denied, NOW).await.unwrap());

    state.put_device("three", &device("BCDF-GHJK"), NOW).await.unwrap();
    assert!(state.device_by_user_code("BCDF-GHJK", NOW).await.unwrap() == Some(device("BCDF-GHJK")));
    assert!(state.device_by_user_code("BCDF-GHJK", after(600)).await.unwrap().is_none());
    state.poll_device("three", after(7), 10).await.unwrap();
    let polled = state.device("three").await.unwrap().unwrap();
    assert_eq!((polled.interval, polled.polled_at), (10, Some(after(7).as_millis())));
    state.answer_device("BCDF-GHJK", &DeviceAnswer::Denied, NOW).await.unwrap();
    assert_eq!(state.device("three").await.unwrap().unwrap().answer, DeviceAnswer::Denied);
}

#[tokio::test]
async fn a_revocation_is_never_shortened_and_goes_when_it_lapses() {
    let scratch = Scratch::new().await;
    let state = &scratch.state;
    state.revoke("jti", after(60)).await.unwrap();
    state.revoke("jti", after(10)).await.unwrap();
    state.prune(after(30), Duration::MAX).await.unwrap();
    assert!(state.any_revoked(&["jti"]));
    let scratch = scratch.restarted().await;
    assert!(scratch.state.any_revoked(&["jti"]));
    scratch.state.prune(after(60), Duration::MAX).await.unwrap();
    assert!(!scratch.state.any_revoked(&["jti"]));
}

#[tokio::test]
async fn what_another_process_revokes_is_noticed_when_pruning() {
    let scratch = Scratch::new().await;
    let other = Sqlite::open(Some(&scratch.folder.path().join("state.db"))).await.unwrap();
    other.revoke_session("session", after(60)).await.unwrap();
    assert!(!scratch.state.any_revoked(&["session"]));
    scratch.state.prune(NOW, Duration::MAX).await.unwrap();
    assert!(scratch.state.any_revoked(&["session"]));
}

#[tokio::test]
async fn pruning_removes_what_lapsed_and_nothing_else() {
    let scratch = Scratch::new().await;
    let state = &scratch.state;
    for name in ["a", "b"] {
        let long = if name == "b" { Duration::from_secs(10_000) } else { Duration::ZERO };
        state.put_pending(name, &Pending { expires_at: after(60).plus(long), ..pending() }).await.unwrap();
        state.put_code(name, &Code { expires_at: after(60).plus(long), ..code() }).await.unwrap();
        let device = Device { expires_at: after(60).plus(long), ..device(&format!("WDJB-MJH{name}")) };
        state.put_device(name, &device, NOW).await.unwrap();
        let refresh = Refresh { expires_at: after(60).plus(long), ..refresh(name, name) };
        state.put_refresh(name, &refresh).await.unwrap();
        state.put_session(name, b"x", after(60).plus(long)).await.unwrap();
        state.revoke(name, after(60).plus(long)).await.unwrap();
        state.first_use(name, after(60).plus(long), NOW).await.unwrap();
    }
    let many: Vec<Event> = (0..2500).map(|at| event(&at.to_string())).collect();
    state.record(&many).await.unwrap();
    state.record(&[Event { at: after(1000).as_millis(), ..event("new") }]).await.unwrap();

    assert_eq!(state.prune(after(59), Duration::from_secs(3600)).await.unwrap(), 0);
    // An hour in which a second use is recognised has not passed for codes, device codes and refresh tokens.
    assert_eq!(state.prune(after(60), Duration::from_secs(3600)).await.unwrap(), 4);
    assert!(state.code("a").await.unwrap().is_some() && state.refresh("a").await.unwrap().is_some());
    assert_eq!(state.prune(after(3660), Duration::from_secs(3600)).await.unwrap(), 3 + 2500);
    assert!(state.code("a").await.unwrap().is_none() && state.code("b").await.unwrap().is_some());
    assert!(state.device("a").await.unwrap().is_none() && state.device("b").await.unwrap().is_some());
    assert!(state.refresh("a").await.unwrap().is_none() && state.refresh("b").await.unwrap().is_some());
    assert!(state.pending("b", after(3660)).await.unwrap().is_some());
    assert!(state.session("b", after(3660)).await.unwrap().is_some());
    assert!(state.any_revoked(&["b"]) && !state.any_revoked(&["a"]));
    assert_eq!(state.events(10).await.unwrap().len(), 1);
    assert_eq!(state.prune(after(3660), Duration::from_secs(3600)).await.unwrap(), 0);
}

#[tokio::test]
async fn events_come_back_newest_first_whatever_they_say() {
    let scratch = Scratch::new().await;
    let state = &scratch.state;
    let odd = Event {
        kind: EventKind::Refusal,
        outcome: Outcome::Failure,
        client_id: Some(String::new()),
        subject: Some("'; DROP TABLE audit; --".to_owned()),
        session: None,
        peer: None,
        detail: "\u{0}\u{1b}[31m\"\\ \u{1F600}\u{2028}".to_owned(),
        at: i64::MIN,
    };
    state.record(&[]).await.unwrap();
    state.record(&[event("1"), odd.clone()]).await.unwrap();
    state.record(&(2..600).map(|at| event(&at.to_string())).collect::<Vec<_>>()).await.unwrap();
    let all = state.events(u32::MAX).await.unwrap();
    assert_eq!(all.len(), 600);
    assert_eq!((&all[0], &all[598], &all[599]), (&event("599"), &odd, &event("1")));
    assert_eq!(state.events(2).await.unwrap(), [event("599"), event("598")]);
}

#[tokio::test]
async fn hostile_keys_are_only_keys() {
    let scratch = Scratch::new().await;
    let state = &scratch.state;
    for key in ["", "'", "\"; DROP TABLE codes", "\0", "%", "é\u{1F600}"] {
        state.put_code(key, &code()).await.unwrap();
        assert!(state.use_code(key).await.unwrap(), "{key:?}");
    }
    assert!(state.code("_").await.unwrap().is_none());
}
