//! Reads the configuration of authorization again when its file changes.

use std::future::pending;
use std::sync::Weak;

use crate::server::Server;
use crate::watched_file;

use super::authorizers::Applied;

/// Follows the file until the server is dropped.
pub(crate) async fn run(server: Weak<Server>) {
    let applied = server.upgrade().and_then(|server| server.authorizers.file.clone());
    let Some(applied) = applied else { return pending().await };
    loop {
        // The server is not held meanwhile.
        if let Err(why) = applied.file.changed().await {
            tracing::error!(%why, "watching authorization config file");
            return pending().await;
        }
        let Some(server) = server.upgrade() else { return };
        apply(&server, &applied);
    }
}

/// Puts the file in force, if it says something new that can be. What cannot leaves the old one.
fn apply(server: &Server, applied: &Applied) {
    let reloads = &server.metrics.authorization_reloads;
    let failed = |why: &dyn std::fmt::Display| {
        tracing::error!(%why, "reloading authorization config");
        reloads.reloaded(false);
    };
    let text = match watched_file::read(&applied.path) {
        Ok(text) => text,
        Err(why) => return failed(&why),
    };
    let mut last = applied.text.lock();
    if *last == text {
        return;
    }
    match server.authorizers.replace(&text) {
        Ok(()) => {
            reloads.in_force(&text);
            reloads.reloaded(true);
            tracing::info!("reloaded authorization config");
        }
        Err(why) => failed(&why),
    }
    *last = text;
}
