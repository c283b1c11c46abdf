//! Reads the configuration again when its file changes, and tries what could not be opened.

use std::future::pending;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::{Encryption, fingerprint, load, read};
use crate::server::Server;

/// Until a file that cannot be in force yet is tried again.
const AGAIN: Duration = Duration::from_secs(60);
/// Least time for new plugins to be well.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer of a plugin that is not well stands so long.
const ASK_AGAIN: Duration = Duration::from_secs(3);

/// The files are cleaned so long after the last value was sealed that stood in them as it was.
const QUIET: Duration = Duration::from_secs(5);

/// Waits for a time, if there is one.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => pending().await,
    }
}

/// Follows the file and the plugins until the server is dropped.
pub(crate) async fn run(server: Weak<Server>) {
    let found = server
        .upgrade()
        .and_then(|server| Some((server.storage.encryption()?.clone(), server.storage.exposed())));
    let Some((encryption, exposed)) = found else { return pending().await };
    let mut again: Option<Instant> = None;
    let mut clean: Option<Instant> = None;
    loop {
        let changed = async {
            match &encryption.watched {
                Some(file) => file.changed().await,
                None => pending().await,
            }
        };
        // The server is not held meanwhile.
        let reads = tokio::select! {
            changed = changed => {
                if let Err(why) = changed {
                    tracing::error!(%why, "watching the encryption provider configuration");
                    return pending().await;
                }
                true
            }
            () = at(again) => true,
            () = encryption.ready() => false,
            () = exposed.notified() => {
                clean = Some(Instant::now() + QUIET);
                continue;
            }
            () = at(clean) => {
                clean = None;
                let Some(server) = server.upgrade() else { return };
                match server.storage.store().compact().await {
                    Ok(()) => tracing::info!("the store's files hold no value from before its sealing"),
                    Err(why) => tracing::error!(%why, "cleaning the store's files"),
                }
                continue;
            }
        };
        let Some(server) = server.upgrade() else { return };
        if reads {
            again = apply(&server, &encryption).await;
        }
        server.storage.reveal(&server.cache).await;
        if server.settings.addresses.are_unknown() {
            crate::bootstrap::reserve_service_addresses(&server);
        }
    }
}

/// Puts the file in force, if it says something new and its plugins are well. Returns when it should
/// be tried again.
async fn apply(server: &Server, encryption: &Arc<Encryption>) -> Option<Instant> {
    let reloads = &server.metrics.encryption_reloads;
    let refused = |why: String| {
        reloads.reloaded(false);
        tracing::error!(why, "error processing encryption config file; the one before stays");
        Some(Instant::now() + AGAIN)
    };
    let text = match read(&encryption.path) {
        Ok(text) => text,
        Err(why) => return refused(why.to_string()),
    };
    let hash = fingerprint(&[text.as_bytes()]);
    if *encryption.text.lock() == hash {
        return None;
    }
    let (path, metrics) = (&encryption.path, &encryption.metrics);
    let loaded = match load(path, &text, true, metrics, &encryption.ready).await {
        Ok(loaded) => loaded,
        Err(why) => return refused(why.to_string()),
    };
    let deadline = Instant::now() + PATIENCE.max(loaded.patience);
    for plugin in &loaded.plugins {
        while let Err(why) = plugin.check().await {
            let next = Instant::now() + ASK_AGAIN;
            if next > deadline {
                return refused(format!("health check for new transformers failed: {why}"));
            }
            tokio::time::sleep_until(next).await;
        }
    }
    encryption.loaded.store(Arc::new(loaded));
    *encryption.text.lock() = hash;
    reloads.reloaded(true);
    reloads.in_force(&text);
    tracing::info!("loaded new encryption config content");
    None
}
