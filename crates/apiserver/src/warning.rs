//! Warning headers: `299 - "text"` (RFC 7234, 5.5).

use std::collections::HashSet;

use http::HeaderValue;

/// Maximum length of all warnings of an answer, before each is truncated (upstream's number).
const ALL: usize = 4096;
/// Length of a truncated warning.
const CUT: usize = 256;

/// The headers of these warnings, each once.
pub(crate) fn headers(warnings: Vec<String>) -> Vec<HeaderValue> {
    let mut seen = HashSet::new();
    // A warning with control characters is dropped.
    let said = |text: &String| !text.is_empty() && !text.chars().any(char::is_control);
    let texts: Vec<String> =
        warnings.into_iter().filter(|text| said(text) && seen.insert(text.clone())).collect();
    if texts.iter().map(|text| text.chars().count()).sum::<usize>() <= ALL {
        return texts.iter().filter_map(|text| header(text)).collect();
    }
    let mut left = ALL;
    let mut cut = Vec::new();
    for text in &texts {
        if left == 0 {
            break;
        }
        let text: String = text.chars().take(CUT).collect();
        left = left.saturating_sub(text.chars().count());
        cut.extend(header(&text));
    }
    cut
}

fn header(text: &str) -> Option<HeaderValue> {
    let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(warnings: &[&str]) -> Vec<String> {
        let warnings = warnings.iter().map(|text| (*text).to_owned()).collect();
        let text = |value: HeaderValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
        headers(warnings).into_iter().map(text).collect()
    }

    #[test]
    fn each_is_said_once_and_in_full() {
        assert_eq!(
            shown(&["a \"b\" \\", "", "b\nc", "é", "é"]),
            [r#"299 - "a \"b\" \\""#, "299 - \"é\""]
        );
        let long = "x".repeat(4000);
        assert_eq!(shown(&[&long]), [format!("299 - \"{long}\"")]);
    }

    #[test]
    fn many_are_cut_short() {
        let long: Vec<String> = (0..30).map(|i| format!("{i}{}", "x".repeat(400))).collect();
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        let shown = shown(&long);
        assert_eq!(shown.len(), ALL / CUT);
        assert!(shown.iter().all(|header| header.len() == CUT + "299 - \"\"".len()));
    }
}
