use super::*;

fn reply(status: u16, media_type: &str, body: &str) -> Reply {
    let mut headers = http::HeaderMap::new();
    if !media_type.is_empty() {
        headers.insert(http::header::CONTENT_TYPE, media_type.parse().unwrap());
    }
    Reply {
        status: http::StatusCode::from_u16(status).unwrap(),
        headers,
        body: body.into(),
        trailers: http::HeaderMap::new(),
    }
}

fn ok(body: &str) -> TokenReply {
    token(&reply(200, "application/json", body), &[]).unwrap_or_else(|problem| panic!("{body}: {problem:?}"))
}

#[test]
fn tolerated_because_real_servers_do_it() {
    let hour = Some(Duration::from_secs(3600));
    for (body, expires_in) in [
        (r#"{"access_token":"a","token_type":"Bearer","expires_in":3600}"#, hour),
        (r#"{"access_token":"a","token_type":"bearer","expires_in":"3600"}"#, hour),
        (r#"{"access_token":"a","token_type":"BEARER","expires_in":3600.0}"#, hour),
        (r#"{"access_token":"a","expires_in":" 3600 "}"#, hour),
        (r#"{"access_token":"a","token_type":"","not-before-policy":0,"x":{"y":[1]}}"#, None),
        (r#"{"access_token":"a","expires_in":-1}"#, None),
        (r#"{"access_token":"a","expires_in":0}"#, None),
        (r#"{"access_token":"a","expires_in":1e30}"#, None),
        (r#"{"access_token":"a","expires_in":"NaN"}"#, None),
        (r#"{"access_token":"a","expires_in":null}"#, None),
        (r#"{"access_token":"a","expires_in":[]}"#, None),
    ] {
        assert_eq!(ok(body).expires_in, expires_in, "{body}");
    }
    let full = ok(r#"{"access_token":"a","refresh_token":"","id_token":"","scope":""}"#);
    assert_eq!((full.refresh_token, full.id_token, full.scopes), (None, None, None));
    let scopes = Some(vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(ok(r#"{"access_token":"a","scope":"a b"}"#).scopes, scopes);
    assert_eq!(ok(r#"{"access_token":"a","scope":["a","b"]}"#).scopes, scopes);
    for media_type in ["application/json; charset=utf-8", "application/problem+json", "text/plain", ""] {
        assert!(token(&reply(200, media_type, r#"{"access_token":"a"}"#), &[]).is_ok(), "{media_type}");
    }
    assert!(token(&reply(201, "application/json", r#"{"access_token":"a"}"#), &[]).is_ok());
}

#[test]
fn refused_with_a_reason() {
    for (status, media_type, body, expected) in [
        (200, "text/html", "<html>", Problem::Html { status: 200 }),
        (403, "text/html; charset=utf-8", "<html>", Problem::Html { status: 403 }),
        (502, "text/html", "<html>", Problem::Unavailable { status: 502, retry_after: None }),
        (302, "text/html", "<html>", Problem::Redirect { status: 302 }),
        (307, "", "", Problem::Redirect { status: 307 }),
        (400, "", "", Problem::Refused { status: 400 }),
        (403, "application/json", "", Problem::Refused { status: 403 }),
        (401, "application/json", r#"{"message":"no"}"#, Problem::Refused { status: 401 }),
        (429, "", "", Problem::Unavailable { status: 429, retry_after: None }),
        (408, "", "", Problem::Unavailable { status: 408, retry_after: None }),
        (503, "", "down", Problem::Unavailable { status: 503, retry_after: None }),
    ] {
        assert_eq!(token(&reply(status, media_type, body), &[]), Err(expected), "{status} {media_type} {body}");
    }
    for body in [
        "",
        "null",
        "[]",
        r#"{"access_token":"a""#,
        r#"{"access_token":"a","access_token":"b"}"#,
        r#"{"access_token":7}"#,
        r#"{"access_token":""}"#,
        r#"{"access_token":"a b"}"#,
        r#"{"access_token":"a\n"}"#,
        r#"{"token_type":"Bearer"}"#,
        r#"{"access_token":"a","token_type":"DPoP"}"#,
        r#"{"access_token":"a","token_type":"mac"}"#,
        r#"{"access_token":"a","refresh_token":{}}"#,
    ] {
        let problem = token(&reply(200, "application/json", body), &[]).unwrap_err();
        assert!(matches!(problem, Problem::Malformed(_)), "{body}: {problem:?}");
    }
}

#[test]
fn retry_after_in_both_forms() {
    let waits = |headers: &[(http::HeaderName, &str)]| {
        let mut reply = reply(503, "", "");
        reply.headers.extend(headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())));
        match token(&reply, &[]) {
            Err(Problem::Unavailable { retry_after, .. }) => retry_after.map(|wait| wait.as_secs()),
            other => panic!("{other:?}"),
        }
    };
    use http::header::{DATE, RETRY_AFTER};
    for (value, seconds) in
        [("30", Some(30)), (" 0 ", Some(0)), ("999999999", Some(86_400)), ("-1", None), ("soon", None)]
    {
        assert_eq!(waits(&[(RETRY_AFTER, value)]), seconds, "{value}");
    }
    let at = (RETRY_AFTER, "Sun, 06 Nov 1994 08:50:07 GMT");
    let now = (DATE, "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(waits(&[at.clone(), now.clone()]), Some(30));
    assert_eq!(waits(&[(RETRY_AFTER, now.1), (DATE, at.1)]), Some(0), "the time has come");
    assert_eq!(waits(&[at]), None, "against what clock?");
}

#[test]
fn oauth_errors_are_found_whatever_the_status() {
    let body = r#"{"error":"authorization_pending"}"#;
    for status in [200, 400, 401, 403, 428, 500] {
        let problem = token(&reply(status, "application/json", body), &[]).unwrap_err();
        assert!(
            matches!(problem, Problem::OAuth { error, status: s, .. } if error == "authorization_pending" && s == status)
        );
    }
}

#[test]
fn descriptions_are_cleaned_and_never_repeat_a_secret() {
    let body = r#"{"error":"invalid_grant","error_description":"\u001b[31mtoken\nr-secret-1 is bad"}"#;
    let Err(Problem::OAuth { description, .. }) = token(&reply(400, "application/json", body), &[]) else { panic!() };
    assert_eq!(description.as_deref(), Some("[31mtoken r-secret-1 is bad"));
    let Err(Problem::OAuth { description, .. }) = token(&reply(400, "application/json", body), &["r-secret-1"]) else {
        panic!()
    };
    assert_eq!(description, None);
}

#[test]
fn no_body_in_a_problem() {
    for body in
        [r#"{"access_token":{"canary":1}}"#, r#"{"access_token":"canary" oops"#, r#"{"access_token":"canary canary"}"#]
    {
        let problem = token(&reply(200, "application/json", body), &[]).unwrap_err();
        assert!(!format!("{problem:?}").contains("canary"), "{problem:?}");
    }
}

#[test]
fn retry_after_seconds() {
    let mut slow = reply(503, "", "");
    slow.headers.insert(http::header::RETRY_AFTER, "7".parse().unwrap());
    let expected = Problem::Unavailable { status: 503, retry_after: Some(Duration::from_secs(7)) };
    assert_eq!(token(&slow, &[]), Err(expected));
    slow.headers.insert(http::header::RETRY_AFTER, "Wed, 21 Oct 2026 07:28:00 GMT".parse().unwrap());
    assert_eq!(token(&slow, &[]), Err(Problem::Unavailable { status: 503, retry_after: None }));
}

#[test]
fn device_authorization_replies() {
    let parse = |body: &str| device_authorization(&reply(200, "application/json", body));
    let full = parse(
        r#"{"device_code":"d","user_code":"AB-CD","verification_uri":"https://i.example/device",
            "verification_uri_complete":"https://i.example/device?user_code=AB-CD","expires_in":"900","interval":1}"#,
    )
    .unwrap();
    assert_eq!((full.expires_in.as_secs(), full.interval.as_secs()), (900, 1));
    let least = parse(r#"{"device_code":"d","user_code":"AB","verification_url":"https://i.example/d"}"#).unwrap();
    assert_eq!(least.interval, DEFAULT_INTERVAL);
    assert_eq!(least.expires_in, DEFAULT_DEVICE_LIFETIME);
    assert_eq!(least.verification_uri, "https://i.example/d");
    for body in [
        r#"{"user_code":"AB","verification_uri":"https://i.example/d"}"#,
        r#"{"device_code":"d","verification_uri":"https://i.example/d"}"#,
        r#"{"device_code":"d","user_code":"AB"}"#,
        r#"{"device_code":"d","user_code":"AB","verification_uri":""}"#,
        r#"{"device_code":"d","user_code":"AB","verification_uri":"javascript:alert(1)"}"#,
        r#"{"device_code":"d","user_code":"AB","verification_uri":"file:///etc/passwd"}"#,
        r#"{"device_code":1,"user_code":"AB","verification_uri":"https://i.example/d"}"#,
    ] {
        assert!(matches!(parse(body), Err(Problem::Malformed(_))), "{body}");
    }
    // Spring answers a public client's device authorization with a login page.
    assert_eq!(device_authorization(&reply(302, "text/html", "")), Err(Problem::Redirect { status: 302 }));
}
