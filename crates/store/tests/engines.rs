//! Every engine against the contract of `Store`.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod contract;

use std::sync::Arc;

use contract::Engine;
use store::{Embedded, Options, Store};

/// The embedded engine in a directory of its own.
struct InDirectory(tempfile::TempDir);

impl Engine for InDirectory {
    fn open(&self) -> Arc<dyn Store> {
        // Small, so that logs are ended and snapshots taken within a test.
        let options = Options { segment_bytes: 16 << 10, snapshot_after: 8 << 10 };
        Arc::new(Embedded::open(self.0.path(), options).unwrap())
    }
}

/// Each part of the contract as a test of each engine.
macro_rules! every_engine_keeps {
    ($($part:ident,)*) => {
        mod embedded {
            $(#[tokio::test]
            async fn $part() {
                super::contract::$part(&super::InDirectory(tempfile::tempdir().unwrap())).await;
            })*
        }
    };
}

every_engine_keeps! {
    revisions_have_no_gaps_and_are_spliced_in,
    what_is_not_as_expected_changes_nothing,
    a_feed_has_every_change_once_and_in_order,
    an_event_is_there_before_its_author_is_told,
    of_many_authors_at_once_one_wins,
    what_was_acknowledged_outlives_the_store,
}
