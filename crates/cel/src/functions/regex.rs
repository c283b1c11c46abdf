//! Patterns, in the syntax of RE2.

use regex::{Regex, RegexBuilder};

use super::strings::{int, text};
use super::{Outcome, Row};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    ("matches", "matches", "!(string, string) -> bool", matches),
    ("matches", "matches_string", "!.(string, string) -> bool", matches),
    ("find", "string_find_string", ".(string, string) -> string", find),
    ("findAll", "string_find_all_string", ".(string, string) -> list(string)", find_all),
    ("findAll", "string_find_all_string_int", ".(string, string, int) -> list(string)", find_all),
];

/// A compiled pattern takes no more bytes.
const MAX_COMPILED: usize = 1 << 20;
/// As much is charged for a pattern that is compiled while an expression is evaluated.
const COMPILED: usize = 1 << 16;

/// A pattern, or what is wrong with it.
pub(crate) fn compile(pattern: &str) -> Result<Regex, EvalError> {
    check_repetition(pattern)?;
    RegexBuilder::new(&translated(pattern)).size_limit(MAX_COMPILED).build().map_err(|error| {
        let error = match error {
            regex::Error::CompiledTooBig(_) => return EvalError::new("expression too large"),
            other => other.to_string(),
        };
        const KNOWN: [(&str, &str); 5] = [
            ("unclosed group", "missing closing )"),
            ("unopened group", "unexpected )"),
            ("unclosed character class", "missing closing ]"),
            ("missing expression", "missing argument to repetition operator"),
            ("range is invalid", "invalid character class range"),
        ];
        let known = KNOWN.iter().find(|(theirs, _)| error.contains(theirs));
        let why = known.map_or("invalid or unsupported Perl syntax", |(_, why)| why);
        EvalError::new(format!("error parsing regexp: {why}: `{pattern}`"))
    })
}

/// The classes that have a name.
const CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// RE2 repeats nothing twice in a row, and nothing more than a thousand times; and it knows only
/// its own classes.
fn check_repetition(pattern: &str) -> Result<(), EvalError> {
    let mut rest = pattern;
    let (mut class, mut repeated) = (false, false);
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        let mut repeats = false;
        match c {
            '\\' => length += rest[1..].chars().next().map_or(0, char::len_utf8),
            '[' if !class => {
                class = true;
                let first = rest[1..].strip_prefix('^').unwrap_or(&rest[1..]);
                length = rest.len() - first.len() + usize::from(first.starts_with(']'));
            }
            '[' if rest.starts_with("[:") => {
                if let Some(end) = rest[2..].find(":]") {
                    length = end + 4;
                    let name = rest[2..end + 2].trim_start_matches('^');
                    if !CLASSES.contains(&name) {
                        return Err(EvalError::new(format!(
                            "error parsing regexp: invalid character class range: `{}`",
                            &rest[..length]
                        )));
                    }
                }
            }
            ']' => class = false,
            '*' | '+' | '?' if !class => repeats = true,
            '{' if !class => {
                if let Some(end) = rest.find('}') {
                    let mut counts = rest[1..end].splitn(2, ',');
                    let number = |text: &str| text.parse::<u32>();
                    if let Some(Ok(first)) = counts.next().map(number) {
                        let second = counts.next().filter(|text| !text.is_empty()).map(number);
                        let most = second.and_then(Result::ok).unwrap_or(first);
                        if first.max(most) > 1000 {
                            let repeat = &rest[..=end];
                            return Err(EvalError::new(format!(
                                "error parsing regexp: invalid repeat count: `{repeat}`"
                            )));
                        }
                        repeats = true;
                        length = end + 1;
                    }
                }
            }
            _ => {}
        }
        if repeats {
            if repeated {
                return Err(EvalError::new(format!(
                    "error parsing regexp: invalid nested repetition operator: `{pattern}`"
                )));
            }
            // A question mark after it makes it take less.
            length += usize::from(rest[length..].starts_with('?'));
        }
        repeated = repeats;
        rest = &rest[length..];
    }
    Ok(())
}

/// RE2's syntax in that of the library: its classes are of ASCII, a bracket within brackets and
/// doubled signs there mean themselves, and it quotes with `\Q` and `\E`.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut class = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        if c == '\\' {
            let Some(escaped) = after.chars().next() else {
                out.push(c);
                break;
            };
            rest = &after[escaped.len_utf8()..];
            match escaped {
                'd' => out.push_str("[0-9]"),
                'D' => out.push_str("[^0-9]"),
                'w' => out.push_str("[0-9A-Za-z_]"),
                'W' => out.push_str("[^0-9A-Za-z_]"),
                's' => out.push_str("[\\t\\n\\x0C\\r ]"),
                'S' => out.push_str("[^\\t\\n\\x0C\\r ]"),
                'b' if !class => out.push_str("(?-u:\\b)"),
                'B' if !class => out.push_str("(?-u:\\B)"),
                'Q' => {
                    let (quoted, next) = rest.split_once("\\E").unwrap_or((rest, ""));
                    out.push_str(&regex::escape(quoted));
                    rest = next;
                }
                escaped => out.extend(['\\', escaped]),
            }
            continue;
        }
        match c {
            '[' if class && !after.starts_with(':') => out.push_str("\\["),
            '[' if class => {
                // A named class, to its end.
                let end = rest[2..].find(":]").map_or(rest.len(), |end| end + 4);
                out.push_str(&rest[..end]);
                rest = &rest[end..];
                continue;
            }
            '[' => {
                class = true;
                out.push('[');
                // A bracket that comes first means itself.
                for first in ["^]", "^", "]"] {
                    if let Some(next) = after.strip_prefix(first) {
                        out.push_str(&first.replace(']', "\\]"));
                        rest = next;
                        break;
                    }
                }
                if rest.starts_with('[') {
                    rest = after;
                }
                continue;
            }
            ']' => {
                class = false;
                out.push(']');
            }
            '&' | '~' if class => out.extend(['\\', c]),
            '-' if class && after.starts_with('-') => out.push_str("\\-"),
            c => out.push(c),
        }
        rest = after;
    }
    out
}

fn dynamic(args: &[Value<'_>], budget: &mut Budget) -> Result<Regex, EvalError> {
    let pattern = text(args, 1)?;
    if let Some(regex) = budget.pattern(pattern) {
        return Ok(regex);
    }
    budget.allocate(COMPILED)?;
    let regex = compile(pattern)?;
    budget.remember(pattern, &regex);
    Ok(regex)
}

/// A function of a pattern that is known.
pub(crate) fn run<'a>(
    name: &str,
    regex: &Regex,
    args: &[Value<'a>],
    budget: &mut Budget,
) -> Outcome<'a> {
    let text = text(args, 0)?;
    match name {
        "matches" => Ok(Value::Bool(regex.is_match(text))),
        "find" => Ok(Value::text(regex.find(text).map_or("", |found| found.as_str()))),
        _ => {
            let most = if args.len() > 2 { int(args, 2)? } else { -1 };
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let mut found = Vec::new();
            for part in regex.find_iter(text).take(most) {
                budget.allocate(size_of::<Value<'_>>() + part.len())?;
                found.push(Value::text(part.as_str()));
            }
            Ok(Value::list(found))
        }
    }
}

fn matches<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    if !matches!(args[0], Value::String(_)) {
        return Err(EvalError::new("no such overload: matches"));
    }
    let regex = dynamic(args, budget)?;
    run("matches", &regex, args, budget)
}

fn find<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let regex = dynamic(args, budget).map_err(illegal)?;
    run("find", &regex, args, budget)
}

fn find_all<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let regex = dynamic(args, budget).map_err(illegal)?;
    run("findAll", &regex, args, budget)
}

fn illegal(error: EvalError) -> EvalError {
    match error {
        EvalError::Failed(message) => EvalError::new(format!("Illegal regex: {message}")),
        cancelled => cancelled,
    }
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn patterns_mean_what_re2_means() {
        for (pattern, text, matches) in [
            (r"^\d+$", "12", true),
            (r"^\d+$", "\u{661}", false),
            (r"^\w+$", "ä", false),
            (r"^[[:alpha:]]+$", "ab", true),
            (r"^[]a]+$", "]a", true),
            (r"^[^]a]+$", "b", true),
            (r"^[a[]+$", "[a", true),
            (r"^[a&&b]+$", "&", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"^[\d.]+$", "1.2", true),
            (r"^.$", "ä", true),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(text), matches, "{pattern}");
        }
        for pattern in
            ["(", "[[:]", "[[:", "[[::]]", "[", "\\", "a{", "[[:x:]", "{1}", "a{1}{2}", "[]"]
        {
            let _ = compile(pattern);
        }
        assert!(compile("(").is_err());
        assert!(compile(r"(a)\1").is_err());
        assert!(compile("((a{1000}){1000}){1000}").is_err());
    }
}
