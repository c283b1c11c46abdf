//! The time limit of a request, including the arrival of its body.

use std::future::Future;
use std::time::{Duration, Instant};

use apimachinery::Status;
use apimachinery::time::parse_duration;

use crate::request::Query;

/// Upstream's `--request-timeout`.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// Deadline for the client to read the whole answer; upstream cuts off longer transfers. A response
/// extension; watches have one for their own end, other streams none.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(pub(crate) Instant);

/// The time limit that a client sets (`?timeout=`), at most [`LONGEST`]; zero is ignored.
///
/// # Errors
/// 400 if the value is not a duration.
pub(crate) fn allotted(query: &Query) -> Result<Duration, Status> {
    let Some(text) = query.text("timeout") else { return Ok(LONGEST) };
    let Some(nanos) = parse_duration(text) else {
        let number = text.trim_start_matches(['-', '+']).chars().all(|c| c.is_ascii_digit());
        let why = if number { "missing unit in" } else { "invalid" };
        let text = apimachinery::text::quote(text);
        return Err(Status::bad_request(format!(
            "invalid timeout specified in the request URL - time: {why} duration {text}"
        )));
    };
    match u64::try_from(nanos).map(Duration::from_nanos) {
        Ok(wanted) if wanted > Duration::ZERO && wanted < LONGEST => Ok(wanted),
        _ => Ok(LONGEST),
    }
}

/// The result of `work`, or 504.
pub(crate) async fn within<T>(
    time: Duration,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(time, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Status::timeout("request did not complete within the allotted timeout", 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_ask_for_less_time_but_not_for_more() {
        for (query, want) in [
            ("", Some(60)),
            ("timeout=", Some(60)),
            ("timeout=0s", Some(60)),
            ("timeout=5s", Some(5)),
            ("timeout=1m30s", Some(60)),
            ("timeout=-5s", Some(60)),
            ("timeout=5", None),
            ("timeout=soon", None),
        ] {
            let got = allotted(&Query::parse(Some(query))).ok().map(|d| d.as_secs());
            assert_eq!(got, want, "{query}");
        }
    }
}
