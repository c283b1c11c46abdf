//! What one request, and all of them together, may take of the server.

mod deadline;
mod in_flight;
mod work;

pub(crate) use deadline::{Deadline, LONGEST, allotted, within};
pub(crate) use in_flight::{InFlight, Place};
pub(crate) use work::{Abandoned, Work};

use crate::request::RequestInfo;

/// Subresources that are streams for as long as their client likes.
const STREAMS: &[&str] = &["attach", "exec", "proxy", "log", "portforward"];

/// Whether a request is a stream, which answers in a protocol of its own.
pub(crate) fn is_stream(info: &RequestInfo) -> bool {
    info.is_resource && STREAMS.contains(&info.subresource.as_str())
}

/// Whether a request may last: such are neither counted nor timed (upstream's
/// `BasicLongRunningRequestCheck`).
pub(crate) fn is_long_running(info: &RequestInfo) -> bool {
    is_stream(info) || (info.is_resource && info.verb == "watch")
}
