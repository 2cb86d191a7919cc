//! Load over HTTP/1.1 on kept connections: the same request again and again, its answer read and thrown away.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::text_of;

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    /// Answers that were not 2xx.
    pub(crate) refused: u64,
    /// In seconds, sorted.
    latencies: Vec<f64>,
}

impl Outcome {
    /// In milliseconds.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let at = (self.latencies.len() as f64 * percent / 100.0) as usize;
        self.latencies.get(at.min(self.latencies.len().saturating_sub(1))).copied().unwrap_or_default() * 1e3
    }
}

/// A whole request with these headers (each with its line end).
pub(crate) fn request(method: &str, path: &str, host: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

/// How fast requests come.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Each when the one before it is answered.
    AsFastAsItGoes,
    /// So many a second over all connections; an answer that is late counts from when its request was due.
    PerSecond(u32),
}

/// Loads `address` from `connections` connections for so long.
pub(crate) fn run(
    address: SocketAddr,
    request: &[u8],
    connections: u32,
    pace: Pace,
    lasts: Duration,
) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text_of)?;
    runtime.block_on(async {
        let began = Instant::now();
        let mut all = tokio::task::JoinSet::new();
        for number in 0..connections {
            let request = request.to_vec();
            all.spawn(one(address, request, number, connections, pace, began, lasts));
        }
        let (mut latencies, mut refused) = (Vec::new(), 0);
        while let Some(ended) = all.join_next().await {
            let (some, bad) = ended.map_err(text_of)??;
            latencies.extend(some);
            refused += bad;
        }
        let took = began.elapsed().as_secs_f64();
        latencies.sort_by(f64::total_cmp);
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let per_second = latencies.len() as f64 / took;
        Ok(Outcome { per_second, refused, latencies })
    })
}

/// Whether somebody listens at `address` within so long.
pub(crate) fn listens(address: SocketAddr, within: Duration) -> Result<bool, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text_of)?;
    runtime.block_on(async {
        let until = Instant::now() + within;
        while TcpStream::connect(address).await.is_err() {
            if Instant::now() >= until {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(true)
    })
}

async fn one(
    address: SocketAddr,
    request: Vec<u8>,
    number: u32,
    connections: u32,
    pace: Pace,
    began: Instant,
    lasts: Duration,
) -> Result<(Vec<f64>, u64), String> {
    let mut stream = TcpStream::connect(address).await.map_err(text_of)?;
    stream.set_nodelay(true).map_err(text_of)?;
    let (mut latencies, mut refused) = (Vec::new(), 0);
    let mut buffer = Vec::with_capacity(16 * 1024);
    let mut count = 0_u32;
    loop {
        let due = match pace {
            Pace::AsFastAsItGoes => Instant::now(),
            Pace::PerSecond(rate) => {
                let due = began + Duration::from_secs_f64(f64::from(number + count * connections) / f64::from(rate));
                sleep_until(due).await;
                due
            }
        };
        if began.elapsed() >= lasts {
            return Ok((latencies, refused));
        }
        let good = loop {
            // A server may end a kept connection when it likes; the new one is part of what it costs.
            let written = stream.write_all(&request).await.is_ok();
            match if written { answer(&mut stream, &mut buffer).await? } else { None } {
                Some(good) => break good,
                None => {
                    stream = TcpStream::connect(address).await.map_err(text_of)?;
                    stream.set_nodelay(true).map_err(text_of)?;
                }
            }
        };
        refused += u64::from(!good);
        latencies.push(due.elapsed().as_secs_f64());
        count += 1;
    }
}

/// Reads one answer with a length; whether it is 2xx. `None`: the connection was closed in place of one.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<bool>, String> {
    buffer.clear();
    loop {
        match stream.read_buf(buffer).await {
            Ok(0) | Err(_) if buffer.is_empty() => return Ok(None),
            Ok(0) => return Err("the connection was closed in the middle of an answer".to_owned()),
            Ok(_) => {}
            Err(cause) => return Err(text_of(cause)),
        }
        let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let length = length.ok_or("an answer without a length")?;
        while buffer.len() < end + 4 + length {
            if stream.read_buf(buffer).await.map_err(text_of)? == 0 {
                return Err("the connection was closed".to_owned());
            }
        }
        return Ok(Some(head.starts_with("http/1.1 2")));
    }
}
