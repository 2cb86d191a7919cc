use std::collections::BTreeMap;

use super::*;
use crate::protocol::secret::ClientSecret;

fn form(request: &Request) -> BTreeMap<String, String> {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(request.body()).into_owned().collect();
    let map: BTreeMap<String, String> = pairs.iter().cloned().collect();
    assert_eq!(map.len(), pairs.len(), "a parameter is sent twice (RFC 6749 section 3.2): {pairs:?}");
    map
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

#[test]
fn authorization_url_keeps_the_endpoints_own_query() {
    let verifier = CodeVerifier::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let scopes = strings(&["openid", "offline"]);
    let extra = [("prompt".to_owned(), "select_account".to_owned())];
    let url = authorization_url(AuthorizationRequest {
        endpoint: "https://idp.example/authorize?p=B2C_1",
        client_id: "flytectl",
        redirect_uri: "http://localhost:53593/callback",
        state: "the-state",
        nonce: Some("the-nonce"),
        verifier: &verifier,
        parameters: Parameters { scopes: &scopes, audience: Some("https://flyte.example"), extra: &extra },
    })
    .unwrap();
    let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!(
        query,
        map(&[
            ("p", "B2C_1"),
            ("response_type", "code"),
            ("client_id", "flytectl"),
            ("state", "the-state"),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
            ("redirect_uri", "http://localhost:53593/callback"),
            ("scope", "openid offline"),
            ("nonce", "the-nonce"),
            ("audience", "https://flyte.example"),
            ("prompt", "select_account"),
        ])
    );
}

#[test]
fn code_request_replays_nothing_of_the_authorization_request() {
    let request = token_request(
        "https://idp.example/token",
        &Client::public("flytectl"),
        Grant::AuthorizationCode {
            code: &AuthorizationCode::new("c"),
            verifier: &CodeVerifier::new("v"),
            redirect_uri: "http://localhost:53593/callback",
        },
        Parameters { scopes: &strings(&["all"]), audience: Some("a"), extra: &[] },
    )
    .unwrap();
    assert_eq!(
        form(&request),
        map(&[
            ("grant_type", "authorization_code"),
            ("code", "c"),
            ("code_verifier", "v"),
            ("client_id", "flytectl"),
            ("redirect_uri", "http://localhost:53593/callback"),
        ])
    );
    assert!(!request.headers().contains_key(http::header::AUTHORIZATION));
    assert_eq!(request.headers()[http::header::ACCEPT], "application/json");
}

#[test]
fn secret_is_form_encoded_in_basic_and_plain_in_the_body() {
    let mut client = Client {
        id: "id:with/colon".to_owned(),
        secret: Some(ClientSecret::new(":+%/&= ü")),
        method: ClientAuthMethod::Basic,
    };
    let scopes = strings(&["all"]);
    let parameters = Parameters { scopes: &scopes, audience: Some("aud"), extra: &[] };
    let basic = token_request("https://idp.example/token", &client, Grant::ClientCredentials, parameters).unwrap();
    use base64::Engine as _;
    let expected = base64::engine::general_purpose::STANDARD.encode("id%3Awith%2Fcolon:%3A%2B%25%2F%26%3D+%C3%BC");
    assert_eq!(basic.headers()[http::header::AUTHORIZATION], format!("Basic {expected}"));
    assert_eq!(form(&basic), map(&[("grant_type", "client_credentials"), ("scope", "all"), ("audience", "aud")]));

    client.method = ClientAuthMethod::Post;
    let post = token_request("https://idp.example/token", &client, Grant::ClientCredentials, parameters).unwrap();
    assert!(!post.headers().contains_key(http::header::AUTHORIZATION));
    assert_eq!(form(&post)["client_secret"], ":+%/&= ü");
    assert_eq!(form(&post)["client_id"], "id:with/colon");
}

#[test]
fn refresh_sends_no_scope() {
    let token = RefreshToken::new("r1");
    let scopes = strings(&["all"]);
    let request = token_request(
        "https://idp.example/token",
        &Client::public("flytectl"),
        Grant::RefreshToken(&token),
        Parameters { scopes: &scopes, audience: None, extra: &[("resource".to_owned(), "x".to_owned())] },
    )
    .unwrap();
    assert_eq!(
        form(&request),
        map(&[("grant_type", "refresh_token"), ("refresh_token", "r1"), ("client_id", "flytectl"), ("resource", "x")])
    );
}

#[test]
fn device_requests_carry_pkce_where_it_is_used() {
    let client = Client::public("flytectl");
    let verifier = CodeVerifier::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let scopes = strings(&["a", "b"]);
    let parameters = Parameters { scopes: &scopes, audience: None, extra: &[] };
    let start = device_authorization_request("http://127.0.0.1:9/d", &client, Some(&verifier), parameters).unwrap();
    assert_eq!(
        form(&start),
        map(&[
            ("client_id", "flytectl"),
            ("scope", "a b"),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
        ])
    );
    let code = DeviceCode::new("dc");
    let poll = token_request(
        "http://127.0.0.1:9/t",
        &client,
        Grant::DeviceCode { code: &code, verifier: Some(&verifier) },
        parameters,
    )
    .unwrap();
    assert_eq!(
        form(&poll),
        map(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", "dc"),
            ("client_id", "flytectl"),
            ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        ])
    );
    let without = token_request(
        "http://127.0.0.1:9/t",
        &client,
        Grant::DeviceCode { code: &code, verifier: None },
        Parameters::default(),
    )
    .unwrap();
    assert!(!form(&without).contains_key("code_verifier"));
}

#[test]
fn revocation_goes_to_the_real_address_even_on_plain_loopback() {
    let request = revocation_request(
        "http://127.0.0.1:9/revoke?x=1",
        &Client::public("flytectl"),
        Revocable::Refresh(&RefreshToken::new("r1")),
    )
    .unwrap();
    assert_eq!(request.uri(), "http://127.0.0.1:9/revoke?x=1");
    assert_eq!(form(&request)["token"], "r1");
    assert_eq!(form(&request)["token_type_hint"], "refresh_token");
    assert_eq!(form(&request)["client_id"], "flytectl");
}

#[test]
fn bad_endpoints_are_typed_errors() {
    let error = token_request("not a url", &Client::public("x"), Grant::ClientCredentials, Parameters::default());
    assert_eq!(error.unwrap_err().code(), "metadata_invalid");
    assert_eq!(
        revocation_request("::", &Client::public("x"), Revocable::Access(&AccessToken::new("a"))).unwrap_err().code(),
        "metadata_invalid"
    );
}

#[test]
fn nothing_secret_in_debug() {
    let client = Client { id: "a".into(), secret: Some(ClientSecret::new("canary")), method: ClientAuthMethod::Post };
    let grant = Grant::RefreshToken(&RefreshToken::new("canary"));
    assert!(!format!("{client:?}{grant:?}").contains("canary"));
}
