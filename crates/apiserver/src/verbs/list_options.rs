//! ListOptions: the query of a list, watch or deletecollection.

use apimachinery::Status;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::text::quote;

use super::Call;
use super::options::invalid;

const EXACT: &str = "Exact";
const NOT_OLDER: &str = "NotOlderThan";

/// Validated options.
pub(super) struct ListOptions<'a> {
    /// Maximum number of items of a page; zero for all.
    pub(super) limit: usize,
    /// Token of the position to continue a list.
    pub(super) token: Option<&'a str>,
    pub(super) version: Option<&'a str>,
    pub(super) exact: bool,
    /// True if a version not older than `version` is requested explicitly.
    pub(super) matching: bool,
    pub(super) send_initial: Option<bool>,
    pub(super) bookmarks: bool,
    /// Duration of a watch in seconds. It is negative if the watch ends before it begins.
    pub(super) timeout: Option<i64>,
}

impl<'a> ListOptions<'a> {
    /// Reads and validates them (upstream's `ValidateListOptions`).
    pub(super) fn read(call: &'a Call<'_>) -> Result<Self, Status> {
        let query = &call.query;
        let number = |name: &str| query.text(name).map(parse_int).transpose();
        let limit = number("limit")?.unwrap_or(0);
        let timeout = number("timeoutSeconds")?;
        let mut matching = query.text("resourceVersionMatch");
        let mut send_initial =
            query.get("sendInitialEvents").map(|_| query.flag("sendInitialEvents"));
        let version = query.text("resourceVersion");
        // A watch of any version begins with the state (upstream's `SetListOptionsDefaults`).
        let watches = call.info.verb == "watch";
        if watches
            && matching.is_none()
            && send_initial.is_none()
            && matches!(version, None | Some("0"))
        {
            (matching, send_initial) = (Some(NOT_OLDER), Some(true));
        }
        let options = Self {
            limit: usize::try_from(limit).unwrap_or(0),
            token: query.text("continue"),
            version,
            exact: matching == Some(EXACT),
            matching: matching.is_some(),
            send_initial,
            bookmarks: query.flag("allowWatchBookmarks"),
            timeout: timeout.filter(|seconds| *seconds != 0),
        };
        let errors =
            if watches { options.check_watch(matching) } else { options.check_list(matching) };
        if errors.is_empty() { Ok(options) } else { Err(invalid("ListOptions", errors)) }
    }

    fn check_list(&self, matching: Option<&str>) -> ErrorList {
        let mut errors = ErrorList::new();
        let path = Path::new("resourceVersionMatch");
        let mut forbid = |path: &Path, why: &str| errors.0.push(FieldError::forbidden(path, why));
        if let Some(matching) = matching {
            if self.version.is_none() {
                let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                forbid(&path, why);
            }
            if self.token.is_some() {
                forbid(&path, "resourceVersionMatch is forbidden when continue is provided");
            }
            if !matches!(matching, EXACT | NOT_OLDER) {
                let supported = [EXACT, NOT_OLDER, ""];
                errors.0.push(FieldError::not_supported(&path, matching, &supported));
            }
            if self.exact && self.version == Some("0") {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.0.push(FieldError::forbidden(&path, why));
            }
        }
        if self.send_initial.is_some() {
            let why = "sendInitialEvents is forbidden for list";
            errors.0.push(FieldError::forbidden(&Path::new("sendInitialEvents"), why));
        }
        errors
    }

    fn check_watch(&self, matching: Option<&str>) -> ErrorList {
        let mut errors = ErrorList::new();
        let path = Path::new("resourceVersionMatch");
        if self.send_initial.is_some() && matching != Some(NOT_OLDER) {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.0.push(FieldError::forbidden(&path, why));
        }
        if let Some(matching) = matching {
            if self.send_initial.is_none() {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents \
                           is provided";
                errors.0.push(FieldError::forbidden(&path, why));
            }
            if matching != NOT_OLDER {
                errors.0.push(FieldError::not_supported(&path, matching, &[NOT_OLDER]));
            }
            if self.token.is_some() {
                let why = "resourceVersionMatch is forbidden when continue is provided";
                errors.0.push(FieldError::forbidden(&path, why));
            }
        }
        errors
    }
}

/// Parses a number of the query, with Go's error message.
pub(super) fn parse_int(text: &str) -> Result<i64, Status> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse().map_err(|e: std::num::ParseIntError| {
        let why = match e.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        Status::bad_request(format!("strconv.ParseInt: parsing {}: {why}", quote(text)))
    })
}

/// Parses a resource version: a decimal number, with upstream's error message.
pub(super) fn parse_version(text: &str) -> Result<u64, FieldError> {
    if text.starts_with('+') || text.parse::<u64>().is_err() {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let why = if digits { "value out of range" } else { "invalid syntax" };
        let why = format!("strconv.ParseUint: parsing {}: {why}", quote(text));
        return Err(FieldError::invalid(&Path::new("resourceVersion"), text, why));
    }
    Ok(text.parse().unwrap_or_default())
}
