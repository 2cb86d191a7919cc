//! `flyte-auth serve` beside oidc-provider and Apache with mod_auth_openidc, on the same cores in the same run.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::load::{self, Outcome, Pace};
use crate::peer::Server;
use crate::process::median;
use crate::sandbox::Sandbox;
use crate::stopwatch::Stopwatch;
use crate::{Row, text_of};

const AREA: &str = "serve";
const CONNECTIONS: u32 = 32;
const PROVIDER: &str = "tests/e2e/peers/oidc-provider.mjs";
const APACHE: &str = "/usr/sbin/apache2";
const MODULE: &str = "/usr/lib/apache2/modules/mod_auth_openidc.so";

const RS256: &str = "client credentials, RS256, 32 connections";
const ES256: &str = "client credentials, ES256, 32 connections";
const BEARER: &str = "bearer token to identity, 32 connections";
const PROXY: &str = "p99 added by the proxy at 1,000 requests/s";

pub(crate) fn rows(bin: &Path, quick: bool) -> Result<Vec<Row>, String> {
    let lasts = Duration::from_secs(if quick { 4 } else { 15 });
    let mut rows = Vec::new();
    for (algorithm, case) in [("RS256", RS256), ("ES256", ES256)] {
        let plane = Plane::start(bin, algorithm, &[])?;
        if algorithm == "RS256" {
            rows.push(Row::lower(AREA, "start, to the ready line", "flyte-auth", plane.started, "ms"));
            rows.push(Row::lower(AREA, "start, to the ready line", "limit", 100.0, "ms"));
            rows.push(Row::lower(AREA, "memory at rest", "flyte-auth", plane.resident()?, "MiB"));
            rows.push(Row::lower(AREA, "memory at rest", "limit", 40.0, "MiB"));
        }
        // The hash of the secret is worked on once, and that is not what is measured.
        plane.grants(Duration::from_secs(1))?;
        let outcome = clean(plane.grants(lasts)?)?;
        rows.push(Row::higher(AREA, case, "flyte-auth", outcome.per_second, "requests/s"));
        rows.push(Row::higher(AREA, case, "aws-lc signing alone, 2 threads", signing(algorithm, quick)?, "per s"));
        if algorithm == "RS256" {
            rows.extend(bearer(&plane, lasts, quick)?);
        }
    }
    rows.extend(peers(lasts)?);
    rows.extend(keycloak(lasts)?);
    rows.extend(proxy(bin, quick)?);
    Ok(rows)
}

fn clean(outcome: Outcome) -> Result<Outcome, String> {
    if outcome.refused > 0 {
        return Err(format!("{} requests were refused", outcome.refused));
    }
    Ok(outcome)
}

/// A running `serve`, with a folder of its own.
struct Plane {
    child: Child,
    stdin: Option<ChildStdin>,
    _folder: tempfile::TempDir,
    host: String,
    address: SocketAddr,
    /// In milliseconds.
    started: f64,
    secrets: std::path::PathBuf,
}

const SECRET: &str = "foobar";

fn free_port() -> Result<u16, String> {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map(|own| own.port()).map_err(text_of)
}

fn run(command: &mut Command, input: &str) -> Result<String, String> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(text_of)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(text_of)?;
    }
    let output = child.wait_with_output().map_err(text_of)?;
    if !output.status.success() {
        return Err(format!("{command:?} failed"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl Plane {
    fn start(bin: &Path, algorithm: &str, upstreams: &[Value]) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(text_of)?;
        let secrets = folder.path().join("secrets");
        run(Command::new(bin).args(["secrets", "init", "--algorithm", &algorithm.to_lowercase()]).arg(&secrets), "")?;
        let hash = run(Command::new(bin).args(["secrets", "hash"]), SECRET)?;
        let port = free_port()?;
        let propeller = json!({"client_secret": hash, "grant_types": ["client_credentials"], "scopes": ["all"]});
        let config = json!({
            "server": {"httpPort": port, "grpc": {"port": 0}, "security": {"useAuth": true}},
            "secrets": {"secrets-prefix": secrets},
            "auth": {
                "authorizedUris": [format!("http://localhost:{port}")],
                "appAuth": {"selfAuthServer": {
                    "signingAlgorithm": algorithm, "staticClients": {"flytepropeller": propeller},
                }},
            },
            "gateway": {
                "address": "127.0.0.1", "metricsPort": "none", "database": folder.path().join("serve.db"),
                "upstreams": upstreams,
            },
        });
        let file = folder.path().join("serve.json");
        std::fs::write(&file, config.to_string()).map_err(text_of)?;
        let watch = Stopwatch::start();
        let mut child = Command::new(bin)
            .args(["serve", "--exit-with-stdin", "--log-level", "error", "--config"])
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(text_of)?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line).map_err(text_of)?;
        let started = watch.elapsed().as_secs_f64() * 1e3;
        let _: Value = serde_json::from_str(&line).map_err(|cause| format!("serve: {cause}"))?;
        let host = format!("localhost:{port}");
        Ok(Self { child, stdin, _folder: folder, host, address: ([127, 0, 0, 1], port).into(), started, secrets })
    }

    /// In MiB.
    fn resident(&self) -> Result<f64, String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).map_err(text_of)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().map_err(text_of)?;
        Ok(kilobytes / 1024.0)
    }

    fn grant(&self) -> Vec<u8> {
        grant("/oauth2/token", &self.host, "flytepropeller", SECRET)
    }

    fn grants(&self, lasts: Duration) -> Result<Outcome, String> {
        load::run(self.address, &self.grant(), CONNECTIONS, Pace::AsFastAsItGoes, lasts)
    }

    /// An access token, by the same request.
    fn token(&self) -> Result<String, String> {
        use std::io::Read as _;
        let mut stream = std::net::TcpStream::connect(self.address).map_err(text_of)?;
        let request = String::from_utf8_lossy(&self.grant()).replacen("\r\n", "\r\nConnection: close\r\n", 1);
        stream.write_all(request.as_bytes()).map_err(text_of)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(text_of)?;
        let body = answer.split_once("\r\n\r\n").ok_or("no answer")?.1;
        let reply: Value = serde_json::from_str(body).map_err(text_of)?;
        reply["access_token"].as_str().map(str::to_owned).ok_or_else(|| "no token".to_owned())
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

fn grant(path: &str, host: &str, id: &str, secret: &str) -> Vec<u8> {
    let basic = STANDARD.encode(format!("{id}:{secret}"));
    let headers = format!("Authorization: Basic {basic}\r\nContent-Type: application/x-www-form-urlencoded\r\n");
    load::request("POST", path, host, &headers, "grant_type=client_credentials&scope=all")
}

/// The ceiling: signatures with a parsed key, on two threads.
fn signing(algorithm: &str, quick: bool) -> Result<f64, String> {
    const MESSAGE: &[u8] = &[7; 600];
    let seconds = if quick { 1.0 } else { 3.0 };
    let failed = |_| "no signature".to_owned();
    let rsa = || -> Result<RsaKeyPair, String> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
        RsaKeyPair::from_pkcs8(der.as_ref()).map_err(|cause| cause.to_string())
    };
    let count = |sign: &(dyn Fn() -> bool + Sync)| -> f64 {
        let one = || {
            let watch = Stopwatch::start();
            let mut signatures = 0_u32;
            while watch.elapsed().as_secs_f64() < seconds && sign() {
                signatures += 1;
            }
            f64::from(signatures) / watch.elapsed().as_secs_f64()
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(one);
            let own = one();
            own + other.join().unwrap_or_default()
        })
    };
    if algorithm == "RS256" {
        let pair = rsa()?;
        let length = pair.public_modulus_len();
        let _ = pair.public_key();
        return Ok(count(&|| {
            let mut signature = vec![0; length];
            pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), MESSAGE, &mut signature).is_ok()
        }));
    }
    let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
    Ok(count(&|| pair.sign(&SystemRandom::new(), MESSAGE).is_ok()))
}

/// Who a token is, and memory before and after many such requests.
fn bearer(plane: &Plane, lasts: Duration, quick: bool) -> Result<Vec<Row>, String> {
    let token = plane.token()?;
    let header = format!("Authorization: Bearer {token}\r\n");
    let request = load::request("GET", "/me", &plane.host, &header, "");
    let asked = |lasts| load::run(plane.address, &request, CONNECTIONS, Pace::AsFastAsItGoes, lasts);
    clean(asked(Duration::from_secs(1))?)?;
    let before = plane.resident()?;
    let outcome = clean(asked(lasts)?)?;
    let after = plane.resident()?;
    let mut rows = vec![
        Row::higher(AREA, BEARER, "flyte-auth", outcome.per_second, "requests/s"),
        // Ten times flyteadmin's 2,700, which is more than three times mod_auth_openidc's 8,800, on the machine where those
        // were measured. The peers' figures of this run stand beside it.
        Row::higher(AREA, BEARER, "limit", 10.0 * 2_700.0, "requests/s"),
        Row::lower(AREA, "memory after that beyond before", "flyte-auth", after - before, "MiB"),
        Row::lower(AREA, "memory after that beyond before", "limit", 4.0, "MiB"),
    ];
    if !quick || Path::new(MODULE).exists() {
        rows.extend(apache(plane, &token, lasts)?);
    }
    Ok(rows)
}

/// Apache with mod_auth_openidc, which checks the same token with the same key.
fn apache(plane: &Plane, token: &str, lasts: Duration) -> Result<Vec<Row>, String> {
    if !Path::new(APACHE).exists() || !Path::new(MODULE).exists() {
        crate::report(
            "no Apache with mod_auth_openidc (apt-get install apache2 libapache2-mod-auth-openidc): not measured",
        );
        return Ok(Vec::new());
    }
    let folder = tempfile::tempdir().map_err(text_of)?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let key = plane.secrets.join("token_rsa_key.pem").display().to_string();
    let public = run(Command::new("openssl").args(["rsa", "-pubout", "-in", &key]), "")?;
    std::fs::write(folder.path().join("public.pem"), public).map_err(text_of)?;
    std::fs::create_dir(folder.path().join("htdocs")).map_err(text_of)?;
    std::fs::write(folder.path().join("htdocs/index.html"), "x".repeat(400)).map_err(text_of)?;
    let head = token.split('.').next().unwrap_or_default();
    let head = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(head).map_err(text_of)?;
    let head: Value = serde_json::from_slice(&head).map_err(text_of)?;
    let kid = head["kid"].as_str().unwrap_or_default();
    let port = free_port()?;
    let modules: String = ["mpm_event", "authn_core", "authz_core", "authz_user", "auth_openidc", "dir", "mime"]
        .iter()
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    let config = format!(
        "ServerRoot {root}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {pid}\nErrorLog {log}\nLogLevel error\n\
         {modules}TypesConfig /etc/mime.types\nDocumentRoot {htdocs}\nKeepAlive On\nMaxKeepAliveRequests 0\n\
         OIDCCryptoPassphrase benchmark\nOIDCOAuthVerifyCertFiles {kid}#{public}\n\
         <Location />\nAuthType oauth20\nRequire valid-user\n</Location>\n",
        root = folder.path().display(),
        pid = at("pid"),
        log = at("log"),
        htdocs = at("htdocs"),
        public = at("public.pem"),
    );
    let file = at("httpd.conf");
    std::fs::write(&file, config).map_err(text_of)?;
    let mut child = Command::new(APACHE).args(["-X", "-f", &file]).stderr(Stdio::null()).spawn().map_err(text_of)?;
    // -X is one process with all its threads; it says nowhere that it is ready.
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    let up = load::listens(address, Duration::from_secs(5))?;
    let header = format!("Authorization: Bearer {token}\r\n");
    let request = load::request("GET", "/", "localhost", &header, "");
    let outcome = if up {
        load::run(address, &request, CONNECTIONS, Pace::AsFastAsItGoes, lasts).and_then(clean)
    } else {
        Err(format!("Apache did not start: {}", std::fs::read_to_string(at("log")).unwrap_or_default()))
    };
    let _ = child.kill();
    let _ = child.wait();
    let outcome = outcome?;
    Ok(vec![Row::higher(AREA, BEARER, "Apache, mod_auth_openidc", outcome.per_second, "requests/s")])
}

/// Keycloak, where `make keycloak` has put it.
fn keycloak(lasts: Duration) -> Result<Vec<Row>, String> {
    let home = std::env::var("KEYCLOAK_HOME").unwrap_or_else(|_| "target/keycloak/keycloak-26.7.3".to_owned());
    if !Path::new(&home).join("bin/kc.sh").exists() {
        crate::report("no Keycloak (make keycloak fetches it): not measured");
        return Ok(Vec::new());
    }
    let import = Path::new(&home).join("data/import");
    std::fs::create_dir_all(&import).map_err(text_of)?;
    let client = json!({
        "clientId": "bench", "secret": SECRET, "serviceAccountsEnabled": true, "standardFlowEnabled": false,
        "defaultClientScopes": [],
    });
    let realm = json!({"realm": "bench", "enabled": true, "sslRequired": "none", "clients": [client]});
    std::fs::write(import.join("bench.json"), realm.to_string()).map_err(text_of)?;
    let port = free_port()?;
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    let mut child = Command::new(Path::new(&home).join("bin/kc.sh"))
        .args(["start-dev", "--import-realm", "--http-host=127.0.0.1", "--cache=local"])
        .arg(format!("--http-port={port}"))
        .env("JAVA_OPTS_KC_HEAP", "-Xms64m -Xmx512m")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(text_of)?;
    let path = "/realms/bench/protocol/openid-connect/token";
    let basic = STANDARD.encode(format!("bench:{SECRET}"));
    let headers = format!("Authorization: Basic {basic}\r\nContent-Type: application/x-www-form-urlencoded\r\n");
    let request = load::request("POST", path, &address.to_string(), &headers, "grant_type=client_credentials");
    let outcome = match load::listens(address, Duration::from_secs(180)) {
        // A virtual machine that has not run a request yet is not what is measured.
        Ok(true) => load::run(address, &request, CONNECTIONS, Pace::AsFastAsItGoes, 2 * lasts)
            .and_then(|_| load::run(address, &request, CONNECTIONS, Pace::AsFastAsItGoes, lasts))
            .and_then(clean),
        Ok(false) => Err("Keycloak did not start".to_owned()),
        Err(why) => Err(why),
    };
    let _ = child.kill();
    let _ = child.wait();
    Ok(vec![Row::higher(AREA, RS256, "Keycloak, dev mode", outcome?.per_second, "requests/s")])
}

fn peers(lasts: Duration) -> Result<Vec<Row>, String> {
    // Three times oidc-provider's 1,244 (RS256; more than twenty times flyteadmin's 133) and four times its 2,273 (ES256),
    // on the machine where those were measured. Three times what it does here may be above the ceiling: both sign.
    let mut rows = vec![
        Row::higher(AREA, RS256, "limit", 3.0 * 1_244.0, "requests/s"),
        Row::higher(AREA, ES256, "limit", 4.0 * 2_273.0, "requests/s"),
    ];
    if !Path::new("tests/e2e/peers/node_modules/oidc-provider").exists() {
        crate::report("no oidc-provider (scripts/setup.sh): not measured");
        return Ok(rows);
    }
    let mut command = Command::new("node");
    command.arg(PROVIDER).env("OIDC_EXIT_WITH_STDIN", "1").stderr(Stdio::null());
    let provider = Server::start(&mut command)?;
    let issuer = provider.told("issuer")?;
    let host = issuer.trim_start_matches("http://").to_owned();
    let address: SocketAddr = host.parse().map_err(text_of)?;
    let request = grant("/token", &host, "ci-basic", "basic-secret-0123456789");
    let outcome = load::run(address, &request, CONNECTIONS, Pace::AsFastAsItGoes, lasts).and_then(clean)?;
    rows.push(Row::higher(AREA, RS256, "oidc-provider", outcome.per_second, "requests/s"));
    Ok(rows)
}

/// The same upstream with and without the plane before it, in turn.
fn proxy(bin: &Path, quick: bool) -> Result<Vec<Row>, String> {
    const RATE: u32 = 1000;
    let lasts = Duration::from_secs(if quick { 2 } else { 8 });
    let upstream = Sandbox::start(bin, &[])?;
    let upstreams = [json!({"match": "/api", "url": upstream.http})];
    let plane = Plane::start(bin, "ES256", &upstreams)?;
    let token = plane.token()?;
    let header = format!("Authorization: Bearer {token}\r\n");
    let direct: SocketAddr = upstream.http.trim_start_matches("http://").parse().map_err(text_of)?;
    let there = load::request("GET", "/api/v1/x", &direct.to_string(), &header, "");
    let through = load::request("GET", "/api/v1/x", &plane.host, &header, "");
    let mut added = Vec::new();
    // What is asked for is not there: an answer of the same service, small and quick.
    for _ in 0..5 {
        let without = load::run(direct, &there, CONNECTIONS, Pace::PerSecond(RATE), lasts)?.percentile(99.0);
        let with = load::run(plane.address, &through, CONNECTIONS, Pace::PerSecond(RATE), lasts)?.percentile(99.0);
        added.push(with - without);
    }
    Ok(vec![Row::lower(AREA, PROXY, "flyte-auth", median(added), "ms"), Row::lower(AREA, PROXY, "limit", 2.0, "ms")])
}
