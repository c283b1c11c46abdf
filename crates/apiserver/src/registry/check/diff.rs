//! What an update that is refused would have changed (upstream's `pkg/util/diff`).

use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

/// Lines shown around a change.
const CONTEXT: usize = 3;
/// Beyond this many pairs of lines the changed part is shown as a whole.
const MAX_PAIRS: usize = 1 << 20;

/// A unified diff of two values as indented JSON.
pub(crate) fn diff(old: &Value, new: &Value) -> String {
    let (old, new) = (pretty(old), pretty(new));
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    hunks(&edits(&old, &new), &old, &new)
}

fn pretty(value: &Value) -> String {
    let mut text = Vec::new();
    let mut out = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b" "));
    if serde::Serialize::serialize(value, &mut out).is_err() {
        return String::new();
    }
    String::from_utf8(text).unwrap_or_default()
}

/// A run of lines: equal, or replaced (either side may be empty). Ends are exclusive.
#[derive(Clone, Copy)]
struct Edit {
    equal: bool,
    old: (usize, usize),
    new: (usize, usize),
}

fn edits(old: &[&str], new: &[&str]) -> Vec<Edit> {
    let shorter = old.len().min(new.len());
    let head = (0..shorter).take_while(|i| old[*i] == new[*i]).count();
    let tail =
        (1..=shorter - head).take_while(|i| old[old.len() - i] == new[new.len() - i]).count();
    let (a, b) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut runs: Vec<Edit> = Vec::new();
    let mut push = |equal: bool, rows: usize, columns: usize| {
        let (i, j) = runs.last().map_or((0, 0), |e| (e.old.1, e.new.1));
        match runs.last_mut() {
            Some(last) if last.equal == equal => {
                last.old.1 += rows;
                last.new.1 += columns;
            }
            _ => runs.push(Edit { equal, old: (i, i + rows), new: (j, j + columns) }),
        }
    };
    push(true, head, head);
    if a.len() * b.len() > MAX_PAIRS {
        push(false, a.len(), b.len());
    } else {
        // Lengths of the longest common subsequences of what is left of each side.
        let mut longest = vec![vec![0_u32; b.len() + 1]; a.len() + 1];
        for i in (0..a.len()).rev() {
            for j in (0..b.len()).rev() {
                longest[i][j] = if a[i] == b[j] {
                    longest[i + 1][j + 1] + 1
                } else {
                    longest[i + 1][j].max(longest[i][j + 1])
                };
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < a.len() || j < b.len() {
            if i < a.len() && j < b.len() && a[i] == b[j] {
                push(true, 1, 1);
                (i, j) = (i + 1, j + 1);
            } else if j == b.len() || (i < a.len() && longest[i + 1][j] >= longest[i][j + 1]) {
                push(false, 1, 0);
                i += 1;
            } else {
                push(false, 0, 1);
                j += 1;
            }
        }
    }
    push(true, tail, tail);
    runs.retain(|e| e.old.0 < e.old.1 || e.new.0 < e.new.1);
    runs
}

fn hunks(edits: &[Edit], old: &[&str], new: &[&str]) -> String {
    let mut groups: Vec<Vec<Edit>> = Vec::new();
    for (at, edit) in edits.iter().enumerate() {
        if !edit.equal {
            match groups.last_mut() {
                Some(group) => group.push(*edit),
                None => groups.push(vec![*edit]),
            }
            continue;
        }
        let (last, length) = (at + 1 == edits.len(), edit.old.1 - edit.old.0);
        let begin = |e: &Edit, n: usize| Edit {
            old: (e.old.0, e.old.0 + n),
            new: (e.new.0, e.new.0 + n),
            ..*e
        };
        let end = |e: &Edit, n: usize| Edit {
            old: (e.old.1 - n, e.old.1),
            new: (e.new.1 - n, e.new.1),
            ..*e
        };
        let context = length.min(CONTEXT);
        match groups.last_mut() {
            None => groups.push(vec![end(edit, context)]),
            Some(group) if last => group.push(begin(edit, context)),
            Some(group) if length <= 2 * CONTEXT => group.push(*edit),
            Some(group) => {
                group.push(begin(edit, context));
                groups.push(vec![end(edit, context)]);
            }
        }
    }
    let mut text = String::new();
    for group in groups.iter().filter(|g| g.iter().any(|e| !e.equal)) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        text.push_str(&format!(
            "@@ -{} +{} @@\n",
            range(first.old.0, last.old.1),
            range(first.new.0, last.new.1)
        ));
        for edit in group {
            let mut lines = |mark: char, lines: &[&str]| {
                for line in lines {
                    text.push(mark);
                    text.push_str(line);
                    text.push('\n');
                }
            };
            if edit.equal {
                lines(' ', &old[edit.old.0..edit.old.1]);
            } else {
                lines('-', &old[edit.old.0..edit.old.1]);
                lines('+', &new[edit.new.0..edit.new.1]);
            }
        }
    }
    text
}

/// Lines count from one; an empty range stands after the line before it.
fn range(start: usize, end: usize) -> String {
    match end - start {
        0 => format!("{start},0"),
        1 => (start + 1).to_string(),
        n => format!("{},{n}", start + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shows_changes_with_three_lines_around() {
        let old = json!({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6, "g": 7, "h": 8});
        let mut new = old.clone();
        new["e"] = json!(50);
        let want = "@@ -3,7 +3,7 @@\n  \"b\": 2,\n  \"c\": 3,\n  \"d\": 4,\n- \"e\": 5,\n\
                    + \"e\": 50,\n  \"f\": 6,\n  \"g\": 7,\n  \"h\": 8\n";
        assert_eq!(diff(&old, &new), want);
        assert_eq!(diff(&old, &old), "");
    }

    #[test]
    fn insertions_and_distant_changes_stand_apart() {
        let old: Vec<u32> = (0..30).collect();
        let mut new = old.clone();
        new.insert(5, 99);
        new[25] = 98;
        let text = diff(&json!(old), &json!(new));
        assert_eq!(text.matches("@@ -").count(), 2, "{text}");
        assert!(text.contains("@@ -4,6 +4,7 @@"), "{text}");
        assert_eq!(diff(&json!([]), &json!([1])), "@@ -1 +1,3 @@\n-[]\n+[\n+ 1\n+]\n");
    }
}
