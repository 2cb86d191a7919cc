//! `UserInfo`.

use super::*;

const ONE: &str = "http2:/flyteidl.service.IdentityService/UserInfo";
const TWO: &str = "/flyteidl2.auth.IdentityService/UserInfo";

fn server(generation: Option<Generation>, userinfo_endpoint: Option<&str>) -> Discovery {
    let metadata = ServerMetadata { userinfo_endpoint: userinfo_endpoint.map(str::to_owned), ..Default::default() };
    Discovery::Auth(Box::new(ServerAuth { generation, metadata, public_client: PublicClientConfig::default() }))
}

async fn who(target: &Target, discovery: &Discovery, routes: Vec<(&str, Answer)>) -> Result<UserInfo> {
    discoverer(&Router::new(not_found, routes))
        .user_info(target, discovery, "flyte-authorization", "Bearer canary")
        .await
}

#[tokio::test]
async fn each_way_to_ask() {
    let issuer = Target::Issuer("https://i.example".to_owned());
    let (one, two) = (server(Some(Generation::Flyte1), None), server(Some(Generation::Flyte2), None));
    let message = flyteidl::UserInfo { subject: "s".into(), email: "e@x".into(), ..Default::default() };
    for (target, discovery, path, answer) in [
        (&secure(), &one, ONE, grpc_message(&message)),
        (&secure(), &one, "/me", json(200, r#"{"subject":"s","email":"e@x","name":""}"#)),
        (&secure(), &two, TWO, json(200, r#"{"subject":"s","email":"e@x"}"#)),
        (&secure(), &two, "http2:/flyteidl2.auth.IdentityService/UserInfo", grpc_message(&message)),
        (&secure(), &server(None, None), "/me", json(200, r#"{"subject":"s","email":"e@x"}"#)),
        (&issuer, &server(None, Some("https://i.example/u")), "/u", json(200, r#"{"sub":"s","email":"e@x"}"#)),
    ] {
        let info = who(target, discovery, vec![(path, answer)]).await.unwrap();
        assert_eq!(
            (info.subject.as_deref(), info.email.as_deref(), info.name),
            (Some("s"), Some("e@x"), None),
            "{path}"
        );
    }
}

#[tokio::test]
async fn refusals_have_codes() {
    let (one, two) = (server(Some(Generation::Flyte1), None), server(Some(Generation::Flyte2), None));
    for (discovery, path, answer, code) in [
        (&one, ONE, grpc_status(16), "unauthenticated"),
        (&one, ONE, grpc_status(7), "permission_denied"),
        (&one, ONE, grpc_status(14), "unavailable"),
        (&one, ONE, json(401, "{}"), "unauthenticated"),
        (&one, "/me", json(401, "{}"), "unauthenticated"),
        (&one, "/other", json(200, "{}"), "unimplemented"),
        (&two, TWO, json(401, r#"{"code":"unauthenticated"}"#), "unauthenticated"),
        (&two, TWO, json(403, "{}"), "permission_denied"),
        (&two, TWO, reply(401, "text/html", "<html>"), "proxy_in_front"),
        (&two, TWO, reply(302, "", ""), "proxy_in_front"),
        (&two, TWO, json(501, "{}"), "unimplemented"),
        (&two, TWO, json(200, "{"), "malformed"),
        (&two, TWO, failed(FailureKind::Timeout), "timeout"),
    ] {
        let error = who(&secure(), discovery, vec![(path, answer)]).await.unwrap_err();
        assert_eq!(error.code(), code, "{path} {error}");
        assert!(!format!("{error:?}").contains("canary"));
    }
    let issuer = Target::Issuer("https://i.example".to_owned());
    assert_eq!(who(&issuer, &server(None, None), vec![]).await.unwrap_err().code(), "unimplemented");
}

#[tokio::test]
async fn the_token_goes_into_the_one_header() {
    #[derive(Debug, Default)]
    struct Keep(Mutex<Vec<Call>>);
    impl HttpTransport for Keep {
        fn send(&self, call: Call) -> BoxFuture<'_, Answer> {
            self.0.lock().unwrap().push(call);
            Box::pin(async { json(200, "{}") })
        }
    }
    let keep = Arc::new(Keep::default());
    let discoverer = Discoverer::new(Arc::<Keep>::clone(&keep), Arc::new(FakeClock::default()), None);
    let two = server(Some(Generation::Flyte2), None);
    discoverer.user_info(&secure(), &two, "flyte-authorization", "Bearer canary").await.unwrap();
    let calls = keep.0.lock().unwrap();
    let headers = calls[0].request.headers();
    assert_eq!(headers.get("flyte-authorization").unwrap(), "Bearer canary");
    assert!(headers.get("flyte-authorization").unwrap().is_sensitive() && headers.get("authorization").is_none());
}
