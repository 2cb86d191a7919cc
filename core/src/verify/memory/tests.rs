use super::*;

fn entry(until: i64) -> Entry {
    let token = VerifiedToken {
        issuer: None,
        subject: None,
        audience: Vec::new(),
        client_id: None,
        scopes: Vec::new(),
        times: None,
        payload: Vec::new(),
        claims: std::sync::OnceLock::new(),
    };
    Entry { token: Arc::new(token), until: Timestamp::from_secs(until), from: Timestamp::from_secs(50), key: None }
}

fn now(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

#[test]
fn an_entry_serves_within_its_time_and_while_its_ground_holds() {
    let memory = Memory::new(100);
    let key = hash("a").whole;
    memory.keep(key, entry(100));
    assert!(memory.get(&key, now(99), |_| Ground::Holds).is_some());
    assert!(memory.get(&hash("b").whole, now(99), |_| Ground::Holds).is_none());
    assert!(memory.get(&key, now(100), |_| Ground::Holds).is_none(), "expired");
    assert_eq!(memory.len(), 0, "and dropped");
    memory.keep(key, entry(100));
    assert!(memory.get(&key, now(49), |_| Ground::Holds).is_none(), "the clock was set back before its time");
    memory.keep(key, entry(100));
    assert!(memory.get(&key, now(99), |_| Ground::Unknown).is_none(), "nobody can tell");
    assert_eq!(memory.len(), 1, "and it stays");
    assert!(memory.get(&key, now(99), |_| Ground::Gone).is_none(), "its key went");
    assert_eq!(memory.len(), 0);
}

#[test]
fn a_flood_is_bounded_and_what_is_used_stays() {
    let memory = Memory::new(160);
    let used = hash("used").whole;
    memory.keep(used, entry(100));
    for number in 0..10_000 {
        memory.keep(hash(&number.to_string()).whole, entry(100));
        assert!(memory.get(&used, now(60), |_| Ground::Holds).is_some(), "{number}");
    }
    assert!(memory.len() <= 2 * 160 + SHARDS, "{}", memory.len());
    let nothing = Memory::new(0);
    nothing.keep(used, entry(100));
    assert_eq!(nothing.len(), 0);
}

#[test]
fn the_hash_is_of_the_whole_token() {
    assert_ne!(hash("a.b.c").whole, hash("a.b.d").whole);
    assert_eq!(hash("abc").whole[..4], [0xba, 0x78, 0x16, 0xbf]); // FIPS 180-2, appendix B.1
    assert_eq!(hash("abc.").signed.finalize()[..4], [0xba, 0x78, 0x16, 0xbf], "what is signed ends at the last dot");
    assert_eq!(hash("a.b.c").whole[..], Sha256::digest("a.b.c")[..]);
}
