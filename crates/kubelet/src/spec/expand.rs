//! `$(NAME)` references in commands, arguments and environment values.

/// Replaces each `$(NAME)` that `lookup` knows. `$$` stands for `$`; unknown references and
/// incomplete ones stay as they are.
pub(crate) fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) =
            rest.strip_prefix('(').and_then(|inner| inner.split_once(')'))
        {
            match lookup(name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn references() {
        let lookup = |name: &str| match name {
            "A" => Some("a"),
            "EMPTY" => Some(""),
            "REF" => Some("$(A)"),
            _ => None,
        };
        let table = [
            ("plain", "plain"),
            ("$(A)-$(A)", "a-a"),
            ("[$(EMPTY)]", "[]"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$a"),
            ("$(REF)", "$(A)"),
            ("$(A", "$(A"),
            ("$A $", "$A $"),
            ("$$", "$"),
            ("ü$(A)ü", "üaü"),
        ];
        for (text, wanted) in table {
            assert_eq!(expand(text, lookup), wanted, "{text}");
        }
    }
}
