//! Limits on the server's resources for one request and for all of them.

mod deadline;
mod work;

pub(crate) use deadline::{Deadline, LONGEST, allotted, within};
pub(crate) use work::{Abandoned, Work, is_long};

use crate::request::RequestInfo;

/// Subresources that stream until their client closes them.
const STREAMS: &[&str] = &["attach", "exec", "proxy", "log", "portforward"];

/// Returns true if a request is a stream, which answers in its own protocol.
pub(crate) fn is_stream(info: &RequestInfo) -> bool {
    info.is_resource && STREAMS.contains(&info.subresource.as_str())
}

/// Returns true if a request is long-running: it is neither counted nor timed (upstream's
/// `BasicLongRunningRequestCheck`).
pub(crate) fn is_long_running(info: &RequestInfo) -> bool {
    is_stream(info) || (info.is_resource && info.verb == "watch")
}
