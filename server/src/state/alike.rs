//! [`Memory`] and [`Sqlite`] behave alike: the same calls, thousands of them in any order, with the same answers.

use serde_json::{Map, json};

use super::*;

/// The same numbers every time (Knuth's constants).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// One of a few names, so that calls meet.
    fn name(&mut self, of: &str) -> String {
        format!("{of}-{}", self.below(4))
    }
}

fn grant(session: String) -> Grant {
    Grant {
        session,
        client_id: "flytectl".to_owned(),
        issuer: "https://flyte.example".to_owned(),
        subject: Some("alice".to_owned()),
        claims: Map::new(),
        scopes: vec!["all".to_owned()],
        audience: Vec::new(),
        auth_time: 0,
        ends_at: i64::MAX,
    }
}

fn pending(expires_at: Timestamp) -> Pending {
    let request = json!({
        "client_id": "flytectl", "redirect_uri": "http://127.0.0.1/callback", "redirect_uri_named": true,
        "issuer": "https://flyte.example", "response_mode": "Query", "state": null, "scopes": ["all"], "audience": [],
        "challenge": null, "nonce": null, "silent": false, "login_hint": null,
    });
    let whole = json!({ "request": request, "expires_at": expires_at.as_millis() });
    serde_json::from_value(whole).unwrap()
}

/// One call, chosen by `numbers`; what it answered.
async fn call(state: &dyn State, numbers: &mut Numbers, now: Timestamp) -> String {
    let soon = now.plus(Duration::from_secs(1 + numbers.below(200)));
    let kind = numbers.below(24);
    let said = match kind {
        0 => format!("{:?}", state.put_pending(&numbers.name("p"), &pending(soon)).await.is_ok()),
        1 => format!("{:?}", state.pending(&numbers.name("p"), now).await.unwrap()),
        2 => format!("{:?}", state.take_pending(&numbers.name("p"), now).await.unwrap()),
        3 => {
            let code = Code {
                grant: grant(numbers.name("s")),
                redirect_uri: "http://127.0.0.1/callback".to_owned(),
                redirect_uri_named: true,
                challenge: None,
                nonce: None,
                expires_at: soon,
                used: false,
            };
            // A code is made once.
            let digest = numbers.name("c");
            if state.code(&digest).await.unwrap().is_none() {
                state.put_code(&digest, &code).await.unwrap();
            }
            digest
        }
        4 => format!("{:?}", state.code(&numbers.name("c")).await.unwrap()),
        5 => format!("{:?}", state.use_code(&numbers.name("c")).await.unwrap()),
        6 => {
            let device = Device {
                user_code: numbers.name("U"),
                client_id: "flytectl".to_owned(),
                issuer: "https://flyte.example".to_owned(),
                scopes: Vec::new(),
                audience: Vec::new(),
                challenge: None,
                answer: DeviceAnswer::Pending,
                expires_at: soon,
                interval: 5,
                polled_at: None,
            };
            let digest = numbers.name("d");
            match state.device(&digest).await.unwrap() {
                None => format!("{:?}", state.put_device(&digest, &device, now).await.unwrap()),
                Some(known) => {
                    let interval = 5 + numbers.below(20);
                    state.poll_device(&digest, now, interval).await.unwrap();
                    let taken = known.answer != DeviceAnswer::Pending && state.take_device(&digest).await.unwrap();
                    format!("{:?} {taken}", (known.interval, known.polled_at, known.answer))
                }
            }
        }
        7 => {
            let found = state.device_by_user_code(&numbers.name("U"), now).await.unwrap();
            format!("{:?}", found.map(|device| (device.user_code, device.expires_at)))
        }
        8 => {
            let answer = if numbers.below(2) == 0 {
                DeviceAnswer::Denied
            } else {
                DeviceAnswer::Approved { subject: "alice".to_owned(), claims: Map::new(), auth_time: 7 }
            };
            format!("{:?}", state.answer_device(&numbers.name("U"), &answer, now).await.unwrap())
        }
        9..=10 => {
            let refresh = Refresh {
                grant: grant(numbers.name("s")),
                access_token_id: numbers.name("a"),
                expires_at: soon,
                dead: false,
            };
            let digest = format!("r-{}", numbers.below(12));
            // A token is made once.
            if state.refresh(&digest).await.unwrap().is_none() {
                state.put_refresh(&digest, &refresh).await.unwrap();
            }
            digest
        }
        11..=12 => format!("{:?}", state.refresh(&format!("r-{}", numbers.below(12))).await.unwrap()),
        13..=15 => {
            let (old, new) = (format!("r-{}", numbers.below(12)), format!("r-{}", numbers.below(12)));
            let grace = numbers.below(4) > 0;
            let id = numbers.name("a");
            match (state.refresh(&old).await.unwrap(), state.refresh(&new).await.unwrap()) {
                (Some(found), None) => {
                    let successor = Refresh { access_token_id: id, dead: false, expires_at: soon, ..found };
                    format!("{:?}", state.rotate(&old, &new, &successor, grace).await.unwrap())
                }
                _ => "not now".to_owned(),
            }
        }
        16 => {
            state.revoke_session(&numbers.name("s"), soon).await.unwrap();
            String::new()
        }
        17 => {
            state.revoke(&numbers.name("j"), soon).await.unwrap();
            String::new()
        }
        18 => format!("{:?}", state.any_revoked(&[&numbers.name("j"), &numbers.name("s")])),
        19 => format!("{:?}", state.first_use(&numbers.name("u"), soon, now).await.unwrap()),
        20 => {
            state.put_session(&numbers.name("k"), &[1, 2, 3], soon).await.unwrap();
            String::new()
        }
        21 => format!("{:?}", state.session(&numbers.name("k"), now).await.unwrap()),
        22 => {
            state.delete_session(&numbers.name("k")).await.unwrap();
            String::new()
        }
        _ => {
            state.prune(now, Duration::from_secs(100)).await.unwrap();
            String::new()
        }
    };
    format!("{kind}: {said}")
}

#[tokio::test]
async fn thousands_of_calls_have_the_same_answers() {
    for seed in 1..=4 {
        let sqlite = Sqlite::open(None).await.unwrap();
        let memory = Memory::default();
        let (mut ours, mut theirs) = (Numbers(seed), Numbers(seed));
        let mut now = Timestamp::from_secs(1_700_000_000);
        for step in 0..3000 {
            let one = call(&sqlite, &mut ours, now).await;
            let other = call(&memory, &mut theirs, now).await;
            assert_eq!(one, other, "seed {seed}, step {step}");
            now = now.plus(Duration::from_secs(ours.below(8)));
            theirs.below(8);
        }
    }
}
