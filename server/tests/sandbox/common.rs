//! A sandbox in this process and a small HTTP client for it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use flyte_auth::clock::SystemEntropy;
use flyte_auth_server::keys::SigningAlgorithm;
use flyte_auth_server::random;
use flyte_auth_server::sandbox::{Options, Sandbox};
use serde_json::{Map, Value, json};

pub(crate) const REDIRECT: &str = "http://localhost:53593/callback";

/// An HTTP answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
    /// Status and `error`.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status, self.json()["error"].as_str().unwrap_or_default().to_owned())
    }
    /// Parameters of the `Location`.
    pub(crate) fn location(&self) -> (String, Map<String, Value>) {
        let location = self.header("location");
        let (base, query) = location.split_once('?').unwrap_or((location, ""));
        let params = url::form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (name.into_owned(), Value::from(value.into_owned())))
            .collect();
        (base.to_owned(), params)
    }
    /// The value of a hidden field of the page.
    pub(crate) fn field(&self, name: &str) -> String {
        let marker = format!("name=\"{name}\" value=\"");
        let start = self.body.find(&marker).unwrap_or_else(|| panic!("no field {name}: {}", self.body)) + marker.len();
        self.body[start..].split('"').next().unwrap().to_owned()
    }
    /// The cookie that was set, as a browser sends it back.
    pub(crate) fn cookie(&self) -> String {
        self.header("set-cookie").split(';').next().unwrap().to_owned()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own client; the product's is tested elsewhere")]
pub(crate) fn http_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(5))
}

pub(crate) fn encode(params: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish()
}

/// A PKCE pair: verifier and challenge.
pub(crate) fn pkce() -> (String, String) {
    let verifier = random::token(&SystemEntropy);
    let challenge = random::digest(&verifier);
    (verifier, challenge)
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    let part = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", part(id), part(secret))))
}

/// The claims of a JWT, unchecked.
pub(crate) fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

pub(crate) struct Server {
    pub(crate) sandbox: Sandbox,
    pub(crate) client: reqwest::Client,
}

impl Server {
    pub(crate) async fn start(edit: impl FnOnce(&mut Options)) -> Self {
        // ES256: a key is made in no time.
        let mut options = Options { signing_algorithm: SigningAlgorithm::Es256, ..Options::default() };
        edit(&mut options);
        let sandbox = Sandbox::start(options).await.unwrap();
        Self { sandbox, client: http_client().build().unwrap() }
    }

    /// One where nobody is asked.
    pub(crate) async fn approving() -> Self {
        Self::start(|options| options.auto_approve = Some("alice@example.org".to_owned())).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.ready().http)
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await.unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(self.url(path))).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&'static str, &str)]) -> Answer {
        let mut request = self.client.get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request).await
    }

    pub(crate) async fn post(&self, path: &str, params: &[(&str, &str)]) -> Answer {
        self.post_with(path, params, &[]).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        params: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Answer {
        let mut request = self
            .client
            .post(self.url(path))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(encode(params));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request).await
    }

    pub(crate) async fn token(&self, params: &[(&str, &str)]) -> Answer {
        self.post("/oauth2/token", params).await
    }

    pub(crate) async fn admin(&self, path: &str, body: Value) -> Answer {
        let url = format!("{}{path}", self.sandbox.ready().admin);
        self.send(self.client.post(url).body(body.to_string())).await
    }

    pub(crate) async fn stats(&self) -> Value {
        self.send(self.client.get(format!("{}/stats", self.sandbox.ready().admin))).await.json()
    }

    pub(crate) async fn set_clock(&self, offset: i64) {
        assert_eq!(self.admin("/clock", json!({ "offset": offset })).await.status, 200);
    }

    pub(crate) async fn authorize(&self, params: &[(&str, &str)]) -> Answer {
        self.get(&format!("/oauth2/authorize?{}", encode(params))).await
    }

    /// A code for `flytectl` from a server that approves by itself.
    pub(crate) async fn code(&self, scope: &str, challenge: &str) -> String {
        let answer = self
            .authorize(&[
                ("client_id", "flytectl"),
                ("response_type", "code"),
                ("redirect_uri", REDIRECT),
                ("scope", scope),
                ("state", "state-1234"),
                ("nonce", "nonce-1234"),
                ("code_challenge", challenge),
                ("code_challenge_method", "S256"),
            ])
            .await;
        assert_eq!(answer.status, 303, "{answer:?}");
        answer.location().1["code"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn redeem(&self, code: &str, verifier: &str) -> Answer {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("client_id", "flytectl"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", verifier),
        ])
        .await
    }

    /// Signs in from the beginning to the token reply.
    pub(crate) async fn sign_in(&self, scope: &str) -> Value {
        let (verifier, challenge) = pkce();
        let code = self.code(scope, &challenge).await;
        let answer = self.redeem(&code, &verifier).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Answer {
        self.token(&[("grant_type", "refresh_token"), ("client_id", "flytectl"), ("refresh_token", refresh_token)])
            .await
    }

    pub(crate) async fn me(&self, token: &str) -> Answer {
        self.get_with("/me", &[("flyte-authorization", &format!("Bearer {token}"))]).await
    }
}

/// A shared transport for the external issuer.
#[derive(Debug)]
pub(crate) struct TestTransport(pub(crate) reqwest::Client);

impl flyte_auth::transport::HttpTransport for TestTransport {
    fn send(
        &self,
        call: flyte_auth::transport::Call,
    ) -> futures_util::future::BoxFuture<'_, Result<flyte_auth::transport::Reply, flyte_auth::transport::Failure>> {
        Box::pin(async move {
            let (head, body) = call.request.into_parts();
            let request = self.0.request(head.method, head.uri.to_string()).headers(head.headers).body(body.to_vec());
            let response = request.send().await.map_err(|error| flyte_auth::transport::Failure {
                kind: flyte_auth::transport::FailureKind::Connect,
                error: flyte_auth::Error::new(flyte_auth::ErrorKind::Network, "connect", "no answer")
                    .with_source(error),
            })?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = response.bytes().await.unwrap().to_vec();
            Ok(flyte_auth::transport::Reply { status, headers, body: body.into(), trailers: Default::default() })
        })
    }
}

pub(crate) fn transport() -> Arc<TestTransport> {
    Arc::new(TestTransport(http_client().build().unwrap()))
}
