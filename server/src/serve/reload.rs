//! Reads the configuration again when a file of it changes, or on SIGHUP. What is wrong is logged, and the present
//! configuration stays.
//!
//! By looking, not by notifications: a mounted Kubernetes secret changes by a link far above the file, which file systems
//! report in as many ways as there are.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flyte_auth::error::{Error, Result};
use tokio::sync::watch;

use super::certificate::Certificate;
use super::{Front, Options, assemble};
use crate::config::model::Listeners;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What the files looked like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen(Vec<(PathBuf, Option<(SystemTime, u64)>)>);

impl Seen {
    /// How they look now.
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let look = |file: &PathBuf| {
            let known = std::fs::metadata(file).ok();
            let known = known.and_then(|known| Some((known.modified().ok()?, known.len())));
            (file.clone(), known)
        };
        Self(files.iter().map(look).collect())
    }

    fn again(&self) -> Self {
        Self::of(&self.0.iter().map(|(file, _)| file.clone()).collect::<Vec<_>>())
    }
}

/// Looks at the files.
pub(super) struct Watcher {
    pub(super) shared: assemble::Shared,
    pub(super) front: Arc<Front>,
    pub(super) certificate: Option<Arc<Certificate>>,
    pub(super) sources_changed: Seen,
    pub(super) options: Options,
    /// Why the last attempt was refused.
    pub(super) refused: Option<String>,
    /// As they were at the start.
    pub(super) listeners: Listeners,
}

#[cfg(unix)]
struct Hangup(Option<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Hangup {
    fn catch() -> Self {
        Self(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok())
    }

    async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(not(unix))]
struct Hangup;

#[cfg(not(unix))]
impl Hangup {
    fn catch() -> Self {
        Self
    }

    async fn next(&mut self) {
        std::future::pending().await
    }
}

impl Watcher {
    /// Until `stop` is true.
    pub(super) async fn watch(mut self, mut stop: watch::Receiver<bool>) {
        let mut hangup = Hangup::catch();
        loop {
            let asked = tokio::select! {
                () = tokio::time::sleep(LOOK) => false,
                () = hangup.next() => true,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let now = self.sources_changed.again();
            // What was missing may be a file that nobody watches yet, such as a secret that comes after its configuration.
            if !asked && now == self.sources_changed && self.refused.is_none() {
                continue;
            }
            // A file that is being written is whole a moment later.
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.sources_changed = self.sources_changed.again();
            match self.renew() {
                Ok(()) => {
                    self.refused = None;
                    self.front.meters.reloaded(true);
                    tracing::info!("the configuration was read again");
                }
                Err(error) => {
                    let why = Some(error.to_string());
                    if asked || why != self.refused {
                        self.front.meters.reloaded(false);
                        tracing::error!(%error, "the changed configuration is not used: the present one stays");
                    }
                    self.refused = why;
                }
            }
        }
    }

    fn renew(&mut self) -> Result<()> {
        let loaded = self.options.load()?;
        if self.front.plane.load().use_auth && !loaded.config.server.use_auth {
            // An emptied file, or the first half of one, says nothing of auth either, which means none.
            let error = Error::config(
                "auth_ends",
                "server.security.useAuth",
                "the changed configuration would turn auth off while requests are served",
            );
            return Err(error.with_next("Restart the process if that is meant"));
        }
        let plane = assemble::plane(&loaded.config, &self.shared)?;
        if let (Some(certificate), Some(files)) = (&self.certificate, &loaded.config.server.tls) {
            certificate.renew(files)?;
        }
        let new = &loaded.config.server;
        let old = &self.listeners;
        if (new.http_port, new.grpc_port, &new.address, new.tls.is_some())
            != (old.http_port, old.grpc_port, &old.address, old.tls.is_some())
        {
            tracing::warn!("ports, address and whether there is TLS change with the next start");
        }
        self.sources_changed = Seen::of(&loaded.config.watched);
        self.front.plane.store(Arc::new(plane));
        Ok(())
    }
}
