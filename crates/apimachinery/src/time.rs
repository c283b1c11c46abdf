//! Timestamps in the two precisions the API uses.

use jiff::Timestamp;

/// Now, as `metav1.Time`: RFC 3339 in UTC with whole seconds.
#[must_use]
pub fn now_rfc3339() -> String {
    rfc3339(Timestamp::now())
}

/// Now, as `metav1.MicroTime`: RFC 3339 in UTC with microseconds.
#[must_use]
pub fn now_micro() -> String {
    micro(Timestamp::now())
}

/// Formats a moment as `metav1.Time`.
#[must_use]
pub fn rfc3339(t: Timestamp) -> String {
    t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Formats a moment as `metav1.MicroTime`.
#[must_use]
pub fn micro(t: Timestamp) -> String {
    t.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Parses RFC 3339 with any offset and precision; `None` when it is not a timestamp.
#[must_use]
pub fn parse(s: &str) -> Option<Timestamp> {
    s.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_both_precisions() {
        let t = parse("2024-02-29T12:00:00.123456789+02:00").unwrap();
        assert_eq!(rfc3339(t), "2024-02-29T10:00:00Z");
        assert_eq!(micro(t), "2024-02-29T10:00:00.123456Z");
        assert!(parse("yesterday").is_none());
    }
}
