//! What held a secret is wiped before its memory is freed: an allocator of this program's own looks at every block that
//! is given back. A program of its own, and one test at a time: the allocator sees everything.
//!
//! What is not wiped, and by whom, is listed in [`FOREIGN`]: buffers of other crates that show us no handle.
#![expect(
    unsafe_code,
    clippy::unwrap_used,
    reason = "an allocator is unsafe to write, and a test may fail by its helpers"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flyte_auth::config::{Config, Origin, SecretSource, Setting};
use flyte_auth::credential::TokenSet;
use flyte_auth::protocol::client::{Client, ClientAuthMethod};
use flyte_auth::protocol::grant::{Grant, Parameters, token_request};
use flyte_auth::protocol::secret::{
    AccessToken, AuthorizationCode, ClientSecret, CodeVerifier, DeviceCode, IdToken, RefreshToken, SecretBytes,
};
use flyte_auth::session::transfer::Document;
use flyte_auth::session::{Session, TokenOptions};
use flyte_auth::store::Record;
use flyte_auth::store::file::FileStore;
use flyte_auth::transport::reqwest::ReqwestTransport;
use flyte_auth::transport::{Call, Failure, HttpTransport, Purpose, Reply};
use flyte_auth::{Result, Timestamp};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Begins every secret here. In two parts, so that no constant of the program is taken for a leak.
const MARK: [&str; 2] = ["canary-in-", "memory-"];
/// The same in base64, as a Basic header has it behind `robot:`: the letters that its neighbours do not change.
const MARK_IN_BASE64: &str = "Y2FuYXJ5LWluLW1lbW9y";

/// Frees of other crates that leave a secret behind, by the beginning of the freeing function's name. Only the way over
/// HTTP has any.
const FOREIGN: &[(&str, &str)] = &[("bytes::bytes_mut::", "hyper's buffer of what a connection has received")];

fn mark() -> String {
    MARK.concat()
}

struct Looking;

static LOOKS: AtomicBool = AtomicBool::new(false);
static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    /// What the search itself frees is not searched.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

fn holds(block: &[u8], [one, two]: [&[u8]; 2]) -> bool {
    let length = one.len() + two.len();
    block.windows(length).any(|part| part.starts_with(one) && part.ends_with(two))
}

fn look(block: &[u8]) {
    if !LOOKS.load(Ordering::Relaxed) || BUSY.try_with(|busy| busy.replace(true)).unwrap_or(true) {
        return;
    }
    let [one, two] = MARK.map(str::as_bytes);
    let (base64, rest) = MARK_IN_BASE64.as_bytes().split_at(10);
    if holds(block, [one, two]) || holds(block, [base64, rest]) {
        let freed_by = Backtrace::force_capture().to_string();
        FOUND.lock().unwrap_or_else(PoisonError::into_inner).push(freed_by);
    }
    BUSY.with(|busy| busy.set(false));
}

// SAFETY: hands everything on to the system's allocator; a block is only read, in its whole length, before it goes.
unsafe impl GlobalAlloc for Looking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Nothing unwritten may look like a secret of the block's former owner.
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is ours until it is handed on, and was zeroed in its whole length.
        look(unsafe { std::slice::from_raw_parts(block, layout.size()) });
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
    // `realloc` of the trait allocates, copies and frees: what outgrows its place is looked at too.
}

#[global_allocator]
static ALLOCATOR: Looking = Looking;

/// One test at a time: what the others prepare and free would be seen too.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks while it lives.
struct Look;

impl Look {
    fn begin() -> Self {
        FOUND.lock().unwrap_or_else(PoisonError::into_inner).clear();
        LOOKS.store(true, Ordering::SeqCst);
        Self
    }

    /// The frames of every free that left a secret behind.
    fn found(self) -> Vec<String> {
        LOOKS.store(false, Ordering::SeqCst);
        std::mem::take(&mut *FOUND.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn finds_nothing(self, what: &str) {
        let found = self.found();
        assert!(found.is_empty(), "{what}: {} blocks were freed unwiped, for example by\n{}", found.len(), found[0]);
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        LOOKS.store(false, Ordering::SeqCst);
    }
}

fn secret(name: &str) -> String {
    format!("{}{name}", mark())
}

/// Makes a value while nobody looks, and drops it while somebody does.
fn dropped<T>(what: &str, make: impl FnOnce() -> T) {
    let value = make();
    let look = Look::begin();
    drop(value);
    look.finds_nothing(what);
}

#[test]
fn a_leak_would_be_seen() {
    let _turn = turn();
    let [plain, grown] = [secret("a"), secret("b")];
    let look = Look::begin();
    drop(plain);
    let mut list = grown.into_bytes();
    list.reserve_exact(10_000);
    let found = look.found();
    assert_eq!(found.len(), 2, "a drop, and a move to a larger place");
    drop(list);
}

#[test]
fn every_secret_type() {
    let _turn = turn();
    macro_rules! each {
        ($($name:ident),+) => {$(
            dropped(stringify!($name), || $name::new(secret(stringify!($name))));
            dropped(concat!(stringify!($name), ", cloned"), || {
                let one = $name::new(secret(stringify!($name)));
                (one.clone(), one)
            });
        )+};
    }
    each!(AccessToken, RefreshToken, IdToken, ClientSecret, AuthorizationCode, CodeVerifier, DeviceCode);
    // A text with room to spare is not shrunk in place.
    let mut roomy = secret("roomy");
    roomy.reserve(1000);
    let look = Look::begin();
    drop(RefreshToken::new(roomy));
    look.finds_nothing("RefreshToken of a roomy text");
}

#[test]
fn buffers() {
    let _turn = turn();
    dropped("SecretBytes", || SecretBytes::from(secret("x")));
    dropped("a header", || SecretBytes::from(secret("x")).into_header());
    dropped("shared bytes", || SecretBytes::from(secret("x")).into_shared());
    let piece = SecretBytes::from(secret("piece"));
    let look = Look::begin();
    let mut growing = SecretBytes::new();
    for _ in 0..2000 {
        growing.extend(&piece);
    }
    drop(growing);
    look.finds_nothing("SecretBytes that grow");
}

fn record() -> Record {
    let json = format!(
        r#"{{"schema_version":1,"generation":1,"endpoint":"x","origin":"device","header_name":"authorization",
            "access_token":"{}","refresh_token":"{}","expires_at":1000}}"#,
        secret("access"),
        secret("refresh")
    );
    Record::from_json(json.as_bytes(), "x").unwrap()
}

#[test]
fn records_and_token_sets() {
    let _turn = turn();
    dropped("Record", record);
    dropped("TokenSet", || TokenSet {
        access_token: AccessToken::new(secret("access")),
        expires_at: None,
        refresh_token: Some(RefreshToken::new(secret("refresh"))),
        refresh_expires_at: None,
        id_token: Some(IdToken::new(secret("id"))),
        scopes: None,
        obtained_at: Timestamp::from_secs(1),
    });
    let record = record();
    let look = Look::begin();
    let json = record.to_json().unwrap();
    drop(Record::from_json(&json, "x").unwrap());
    drop(json);
    look.finds_nothing("a record, written and read");
    drop(record);
}

#[test]
fn requests_of_every_grant() {
    let _turn = turn();
    let (code, verifier) = (AuthorizationCode::new(secret("code")), CodeVerifier::new(secret("verifier")));
    let (refresh, device) = (RefreshToken::new(secret("refresh")), DeviceCode::new(secret("device")));
    for method in [ClientAuthMethod::Basic, ClientAuthMethod::Post] {
        let client = Client { id: "robot".into(), secret: Some(ClientSecret::new(secret("s"))), method };
        for grant in [
            Grant::AuthorizationCode { code: &code, verifier: &verifier, redirect_uri: "http://localhost/callback" },
            Grant::ClientCredentials,
            Grant::RefreshToken(&refresh),
            Grant::DeviceCode { code: &device, verifier: Some(&verifier) },
        ] {
            let look = Look::begin();
            let request = token_request("https://idp.example/token", &client, grant, Parameters::default()).unwrap();
            let carries = holds(request.body(), MARK.map(str::as_bytes));
            assert!(carries || matches!(grant, Grant::ClientCredentials) && method == ClientAuthMethod::Basic);
            drop(Call::new(Purpose::Token, request));
            look.finds_nothing(&format!("{grant:?} by {method:?}"));
        }
    }
}

#[test]
fn an_exported_session() {
    let _turn = turn();
    let json = format!(r#"{{"format":"flyte-auth-session","version":1,"session":{}}}"#, {
        let bytes = record().to_json().unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    });
    let look = Look::begin();
    drop(Document::parse(json.as_bytes()).unwrap());
    look.finds_nothing("an exported session, read");
    let mut json = json.into_bytes();
    json.fill(0);
}

/// The token endpoint's answer, with new tokens.
fn answer() -> SecretBytes {
    let mut body = SecretBytes::from(r#"{"token_type":"Bearer","expires_in":3600,"access_token":""#);
    body.extend(MARK[0].as_bytes());
    body.extend(MARK[1].as_bytes());
    body.extend(br#"new-access","refresh_token":""#);
    body.extend(MARK[0].as_bytes());
    body.extend(MARK[1].as_bytes());
    body.extend(br#"new-refresh"}"#);
    body
}

fn metadata(issuer: &str) -> String {
    format!(
        r#"{{"issuer":"{issuer}","token_endpoint":"{issuer}/token","jwks_uri":"{issuer}/jwks",
            "response_types_supported":["code"],"authorization_endpoint":"{issuer}/auth"}}"#
    )
}

/// An authorization server in memory.
#[derive(Debug)]
struct InMemory;

impl HttpTransport for InMemory {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Reply, Failure>> {
        let discovery = call.request.uri().path().starts_with("/.well-known");
        let body = if discovery { metadata("http://127.0.0.1:1").into() } else { answer() };
        let headers = http::HeaderMap::from_iter([(http::header::CONTENT_TYPE, "application/json".parse().unwrap())]);
        Box::pin(async move {
            drop(call);
            Ok(Reply { status: http::StatusCode::OK, headers, body, trailers: http::HeaderMap::new() })
        })
    }
}

/// A session with an expired token and a refresh token in a file.
fn expired(transport: Arc<dyn HttpTransport>, issuer: &str, folder: &std::path::Path) -> Session {
    fn set<T>(value: T) -> Option<Setting<T>> {
        Some(Setting::new(value, Origin::Flag("test".to_owned())))
    }
    let config = Config {
        issuer: set(issuer.to_owned()),
        client_id: set("robot".to_owned()),
        auth_type: set(flyte_auth::config::AuthType::AuthorizationCode).unwrap(),
        ..Config::default()
    };
    let store = Arc::new(FileStore::new(folder, "test"));
    let session = Session::builder(config).transport(transport).store(store).build().unwrap();
    let old = Record { issuer: Some(issuer.to_owned()), client_id: Some("robot".to_owned()), ..record() };
    session.store().save(session.key(), &old).unwrap();
    session
}

async fn refreshes(session: Session) {
    let token = session.token_once(TokenOptions::default()).await.unwrap().unwrap();
    assert!(token.expose().ends_with("new-access"));
    drop((token, session));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// From the file through the exchange to the file: nothing of ours leaves a token behind, old or new.
#[test]
fn a_whole_refresh() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let session = expired(Arc::new(InMemory), "http://127.0.0.1:1", folder.path());
    let look = Look::begin();
    runtime.block_on(refreshes(session));
    drop(runtime);
    look.finds_nothing("a refresh");
}

/// The same over a connection: what then stays behind is other crates', and named.
#[test]
fn a_whole_refresh_over_http() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let (listener, issuer) = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        (listener, issuer)
    });
    let server = runtime.spawn(serve(listener, issuer.clone()));
    let transport = ReqwestTransport::new(&flyte_auth::config::NetworkConfig::default()).unwrap();
    let session = expired(Arc::new(transport), &issuer, folder.path());
    let look = Look::begin();
    runtime.block_on(refreshes(session));
    server.abort();
    drop(runtime);
    let found = look.found();
    for freed_by in &found {
        let foreign = FOREIGN.iter().any(|(name, _)| freeing_function(freed_by).starts_with(name));
        assert!(foreign, "freed unwiped by {}\n{freed_by}", freeing_function(freed_by));
    }
    assert!(!found.is_empty(), "hyper wipes its buffers now: shorten the list of exceptions");
}

/// The first frame of the trace that is neither the allocator's nor the standard library's.
fn freeing_function(backtrace: &str) -> String {
    const OF_FREEING: [&str; 7] = ["wiped::", "std::", "core::", "alloc::", "__rust", "__rdl", "<wiped"];
    let frames = backtrace.lines().filter_map(|line| line.trim().split_once(": ").map(|(_, name)| name.trim()));
    let plain = |name: &str| name.trim_start_matches('<').trim_start_matches("dyn ").to_owned();
    frames
        .filter(|name| !OF_FREEING.iter().any(|part| name.starts_with(part) || plain(name).starts_with(part)))
        .map(str::to_owned)
        .next()
        .unwrap_or_default()
}

async fn serve(listener: tokio::net::TcpListener, issuer: String) {
    while let Ok((mut client, _)) = listener.accept().await {
        let issuer = issuer.clone();
        tokio::spawn(async move {
            let mut buffer = zeroize::Zeroizing::new([0_u8; 8192]);
            while let Ok(read @ 1..) = client.read(&mut *buffer).await {
                let discovery = buffer[..read].starts_with(b"GET");
                let body = if discovery { metadata(&issuer).into() } else { answer() };
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                client.write_all(head.as_bytes()).await.unwrap();
                client.write_all(&body).await.unwrap();
            }
        });
    }
}

#[test]
fn a_client_secret_of_a_setting() {
    let _turn = turn();
    dropped("Config", || Config {
        client_secret: Some(Setting::default_value(SecretSource::Value(ClientSecret::new(secret("config"))))),
        ..Config::default()
    });
    fn shows(value: &impl Debug) -> bool {
        format!("{value:?}").contains(&mark())
    }
    assert!(!shows(&ClientSecret::new(secret("x"))));
}
