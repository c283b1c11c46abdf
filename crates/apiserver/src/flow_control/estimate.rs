//! How many seats a request takes, and for how long (KEP-1040, "width of the request").

use std::sync::Arc;
use std::time::Duration;

use crate::cache::Collection;
use crate::request::{Query, RequestInfo};

/// Bytes of memory that one seat stands for.
const BYTES_PER_SEAT: usize = 100_000;
/// A list of any size is written piece by piece.
const MOST_BYTES: usize = 1_000_000;
const MOST_SEATS_OF_LIST: usize = 100;
const MOST_SEATS_OF_WRITE: usize = 10;
/// Watchers whose events one seat makes.
const WATCHERS_PER_SEAT: usize = 10;
/// Time of that seat for each event.
const EVENT: Duration = Duration::from_millis(5);
/// Objects whose sizes stand for those of all.
const SAMPLE: usize = 8;

/// The seats of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Estimate {
    /// While it is executed.
    pub(super) initial: usize,
    /// For some time afterwards, while its event goes to watchers.
    pub(super) last: usize,
    pub(super) lasting: Duration,
}

impl Estimate {
    /// A request that takes so many seats until it is answered.
    pub(super) fn seats(initial: usize) -> Self {
        Self { initial, last: 0, lasting: Duration::ZERO }
    }

    pub(super) fn most(&self) -> usize {
        self.initial.max(self.last)
    }

    /// The work beyond the execution, in seconds of one seat.
    pub(super) fn last_work(&self) -> f64 {
        self.last as f64 * self.lasting.as_secs_f64()
    }
}

/// Estimates a request on the objects of `collection`. `limit` is the most that its priority level
/// gives to one request, 0 for no limit of its own.
pub(super) fn estimate(
    info: &RequestInfo,
    query: &Query,
    collection: impl FnOnce() -> Option<Arc<Collection>>,
    limit: usize,
) -> Estimate {
    let wide = match info.verb {
        "list" | "create" | "update" | "patch" | "delete" => true,
        "watch" => sends_present(query),
        _ => false,
    };
    // Most requests read one object, and need no look at the others.
    let Some(collection) = (info.is_resource && wide).then(collection).flatten() else {
        return Estimate::seats(1);
    };
    let within = |most: usize| if limit == 0 { most } else { limit.min(most) };
    match info.verb {
        "list" | "watch" => {
            Estimate::seats(list(info, query, &collection, within(MOST_SEATS_OF_LIST)))
        }
        // A token for a service account makes no event.
        _ if info.subresource == "token" => Estimate::seats(1),
        _ => write(collection.readers().len(), within(MOST_SEATS_OF_WRITE)),
    }
}

/// Returns true if a watch begins with the objects that there are.
fn sends_present(query: &Query) -> bool {
    query.get("sendInitialEvents") == Some("true")
        || matches!(query.get("resourceVersion"), None | Some("" | "0"))
}

fn list(info: &RequestInfo, query: &Query, collection: &Collection, most: usize) -> usize {
    let snapshot = collection.snapshot();
    let mut count = snapshot.entries.len();
    if !info.name.is_empty() {
        count = count.min(1);
    }
    let limit = query.get("limit").and_then(|limit| limit.parse::<usize>().ok());
    if let Some(limit) = limit.filter(|limit| *limit > 0) {
        count = count.min(limit);
    }
    let sample = snapshot.entries.values().take(SAMPLE);
    let (sampled, bytes) =
        sample.fold((0, 0), |(number, bytes), entry| (number + 1, bytes + entry.bytes.len()));
    if sampled == 0 {
        return 1;
    }
    let bytes = count.saturating_mul(bytes / sampled).min(MOST_BYTES);
    bytes.div_ceil(BYTES_PER_SEAT).clamp(1, most.max(1))
}

/// The work of many watchers is reshaped so that it is no wider than `most` seats.
fn write(watchers: usize, most: usize) -> Estimate {
    if watchers < WATCHERS_PER_SEAT {
        return Estimate::seats(1);
    }
    let wanted = watchers.div_ceil(WATCHERS_PER_SEAT);
    let last = wanted.min(most.max(1));
    Estimate { initial: 1, last, lasting: EVENT.mul_f64(wanted as f64 / last as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_for_many_watchers_take_seats_after_the_answer() {
        assert_eq!(write(9, 10), Estimate::seats(1));
        let ms = Duration::from_millis;
        assert_eq!(write(10, 10), Estimate { initial: 1, last: 1, lasting: ms(5) });
        assert_eq!(write(95, 10), Estimate { initial: 1, last: 10, lasting: ms(5) });
        assert_eq!(write(1000, 10), Estimate { initial: 1, last: 10, lasting: ms(50) });
        assert_eq!(write(1000, 10).last_work(), 0.5);
    }
}
