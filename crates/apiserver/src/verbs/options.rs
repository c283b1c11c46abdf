//! Options of a write in the query.

use apimachinery::Status;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validate::FieldValidation;
use serde_json::json;

use super::Call;

/// Maximum length of a field manager's name, in bytes.
const MAX_MANAGER: usize = 128;

/// Refuses invalid CreateOptions, UpdateOptions or PatchOptions (upstream's `ValidateCreateOptions`
/// and the others), with all errors at once.
pub(super) fn check(call: &Call<'_>) -> Result<(), Status> {
    let kind = match call.info.verb {
        "create" => "CreateOptions",
        "update" => "UpdateOptions",
        "patch" => "PatchOptions",
        _ => return Ok(()),
    };
    let mut errors = ErrorList::new();
    let manager = call.query.get("fieldManager").unwrap_or_default();
    if kind == "PatchOptions" {
        if call.applies() {
            if manager.is_empty() {
                let why = "is required for apply patch";
                errors.0.push(FieldError::required(&Path::new("fieldManager"), why));
            }
        } else if call.query.get("force").is_some() {
            let why = "may not be specified for non-apply patch";
            errors.0.push(FieldError::forbidden(&Path::new("force"), why));
        }
    }
    check_manager(&mut errors, &Path::new("fieldManager"), manager);
    let dry_run: Vec<&str> = call.query.all("dryRun").collect();
    check_dry_run(&mut errors, &dry_run);
    let validation = call.query.get("fieldValidation").unwrap_or_default();
    if FieldValidation::parse(validation).is_none() {
        let (path, words) = (Path::new("fieldValidation"), FieldValidation::WORDS);
        errors.0.push(FieldError::not_supported(&path, validation, words));
    }
    if errors.is_empty() { Ok(()) } else { Err(invalid(kind, errors)) }
}

/// 422 about options of a request.
pub(super) fn invalid(kind: &str, errors: ErrorList) -> Status {
    Status::invalid("meta.k8s.io", kind, "", errors)
}

/// Refuses values other than `All`.
pub(super) fn check_dry_run(errors: &mut ErrorList, values: &[&str]) {
    if values.iter().any(|value| *value != "All") {
        let path = Path::new("dryRun");
        errors.0.push(FieldError::not_supported(&path, json!(values), &["All"]));
    }
}

fn check_manager(errors: &mut ErrorList, path: &Path, manager: &str) {
    if manager.len() > MAX_MANAGER {
        errors.0.push(FieldError::too_long(path, MAX_MANAGER));
    }
    for (at, c) in manager.char_indices().filter(|(_, c)| !is_print(*c)) {
        let why = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        errors.0.push(FieldError::invalid(path, manager, why));
    }
}

/// Go's `unicode.IsPrint`, without unassigned characters.
fn is_print(c: char) -> bool {
    let unseen = matches!(c,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{e000}'..='\u{f8ff}' | '\u{fff9}'..='\u{fffb}');
    c == ' ' || !(c.is_control() || c.is_whitespace() || unseen)
}

/// The field manager derived from a user agent.
pub(super) fn manager_of(agent: &str) -> String {
    let mut name = String::new();
    for c in agent.chars().filter(|c| is_print(*c)) {
        if name.len() + c.len_utf8() > MAX_MANAGER {
            break;
        }
        name.push(c);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_agent_becomes_a_valid_manager() {
        assert_eq!(manager_of("kubectl"), "kubectl");
        assert_eq!(manager_of("a\u{7}b\u{200b}c d"), "abc d");
        assert_eq!(manager_of(&"é".repeat(100)).len(), 128);
    }
}
