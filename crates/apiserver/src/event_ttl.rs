//! Removes each event at its own deadline, an hour after its last update.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::cache::Entry;
use crate::registry::{self, Kind};
use crate::server::Server;

/// Upstream's `--event-ttl`.
const TTL: Duration = Duration::from_secs(3600);
/// Maximum number of changes read from the log at once.
const BATCH: usize = 256;

/// Removes events at their deadline until the server is dropped.
pub(crate) async fn run(server: Weak<Server>) {
    let Some(kind) = registry::find("", "v1", "events") else { return };
    let mut due: BTreeMap<(Instant, u64), Arc<Entry>> = BTreeMap::new();
    // Held only briefly, so that this task does not keep the server alive.
    let collection = server.upgrade().and_then(|s| s.collection(kind).ok());
    let Some(collection) = collection else { return };
    let mut after = 0;
    'resume: loop {
        let Ok((snapshot, revision)) = present(&server, kind) else { return };
        if after == 0 {
            for entry in snapshot.range("", "") {
                due.insert((Instant::now() + TTL, entry.revision), entry.clone());
            }
        }
        after = revision;
        let Ok(mut cursor) = collection.watch_after(after) else { continue };
        loop {
            let Ok(changes) = collection.read(&mut cursor, BATCH) else { continue 'resume };
            for change in &changes {
                due.insert((Instant::now() + TTL, change.revision), change.entry.clone());
            }
            if !changes.is_empty() {
                continue;
            }
            let next = due.keys().next().map(|(at, _)| *at);
            tokio::select! {
                () = cursor.wait() => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    let Some(server) = server.upgrade() else { return };
                    expire(&server, kind, &mut due).await;
                }
            }
        }
    }
}

fn present(
    server: &Weak<Server>,
    kind: &'static Kind,
) -> Result<(Arc<crate::cache::Snapshot>, u64), ()> {
    server.upgrade().ok_or(())?.present(kind).map_err(|_| ())
}

async fn expire(
    server: &Server,
    kind: &'static Kind,
    due: &mut BTreeMap<(Instant, u64), Arc<Entry>>,
) {
    let now = Instant::now();
    while let Some(first) = due.first_entry().filter(|e| e.key().0 <= now) {
        let entry = first.remove();
        // An event that was updated since has a later deadline.
        let _ = server.remove(kind, entry.namespace(), entry.name(), entry.revision).await;
    }
}
