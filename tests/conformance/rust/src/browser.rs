//! Plays the browser that comes back from the authorization server.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::{Url, form_urlencoded};

use crate::Verdict;
use crate::case::Visit;
use crate::template::Variables;

/// The whole visit, on a loaded machine.
const VISIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Visits the redirect URI; judges the page.
///
/// # Errors
/// Nobody answers, or the page is not what the case and the standards want.
pub async fn visit(visit: &Visit, variables: &Variables) -> Verdict {
    let redirect = variables.get("redirect_uri").ok_or("a browser, and no redirect_uri")?;
    let mut url = Url::parse(redirect).map_err(|_| format!("the redirect_uri {redirect} is no URL"))?;
    if let Some(path) = &visit.path {
        url.set_path(&variables.text(path)?);
    }
    let filled = |pairs: &std::collections::BTreeMap<String, String>| {
        let mut out = form_urlencoded::Serializer::new(String::new());
        for (name, value) in pairs {
            out.append_pair(name, &variables.text(value)?);
        }
        Ok::<_, String>(out.finish())
    };
    if !visit.query.is_empty() {
        url.set_query(Some(&filled(&visit.query)?));
    }
    let host = url.host_str().ok_or("the redirect_uri has no host")?.to_owned();
    let port = url.port_or_known_default().unwrap_or(80);
    let named = match &visit.host {
        Some(host) => variables.text(host)?,
        None => format!("{host}:{port}"),
    };
    let target = &url[url::Position::BeforePath..];
    let request = match &visit.form {
        None => format!("GET {target} HTTP/1.1\r\nHost: {named}\r\nConnection: close\r\n\r\n"),
        Some(form) => {
            let body = filled(form)?;
            format!(
                "POST {target} HTTP/1.1\r\nHost: {named}\r\nConnection: close\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        }
    };
    let exchange = async {
        let mut stream = TcpStream::connect((host.as_str(), port)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut page = Vec::new();
        // A server that closes at once may reset what it did not read: what came counts.
        let _ = stream.read_to_end(&mut page).await;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&page).into_owned())
    };
    let page = match tokio::time::timeout(VISIT_TIMEOUT, exchange).await {
        Ok(Ok(page)) => page,
        Ok(Err(cause)) => return Err(format!("nobody listens at the redirect_uri: {cause}")),
        Err(_) => return Err("the page at the redirect_uri takes too long".to_owned()),
    };
    judge(&page, visit, variables)
}

fn judge(page: &str, visit: &Visit, variables: &Variables) -> Verdict {
    let (head, body) = page.split_once("\r\n\r\n").unwrap_or((page, ""));
    let status: u16 = head.split(' ').nth(1).and_then(|number| number.parse().ok()).unwrap_or(0);
    let wanted = visit.status.as_ref().map_or(Some(200), Value::as_u64);
    // `"any"` is no number.
    if wanted.is_some_and(|wanted| wanted != u64::from(status)) {
        let wanted = wanted.unwrap_or_default();
        return Err(format!("the page at the redirect_uri has status {status}, not {wanted}"));
    }
    let head = head.to_ascii_lowercase();
    if !head.lines().any(|line| line.starts_with("cache-control:") && line.contains("no-store")) {
        return Err("the page at the redirect_uri is not `no-store` (RFC 9700 section 4.2.4)".to_owned());
    }
    for lacks in &visit.page_lacks {
        if body.contains(&variables.text(lacks)?) {
            return Err("the page at the redirect_uri repeats a parameter".to_owned());
        }
    }
    // What a page shows of the answer, a script or a referrer can carry away.
    match variables.get("state") {
        Some(state) if body.contains(state) => Err("the page at the redirect_uri repeats the state".to_owned()),
        _ => Ok(()),
    }
}
