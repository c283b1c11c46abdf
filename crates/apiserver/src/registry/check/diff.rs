//! The diff of a refused update (upstream's `pkg/util/diff`).

use std::collections::HashMap;

use serde_json::Value;

use super::shown::{indented, internal};

/// Number of unchanged lines around a change.
const CONTEXT: usize = 3;
/// From this many lines on, frequent lines do not start a common run.
const POPULAR_FROM: usize = 200;

/// A unified diff of two values, printed as one of upstream's internal types.
pub(crate) fn diff(old: &Value, new: &Value, of: &str) -> String {
    unified(&internal(old, of), &internal(new, of))
}

fn unified(old: &str, new: &str) -> String {
    let (old, new) = (indented(old), indented(new));
    let (old, new): (Vec<&str>, Vec<&str>) =
        (old.iter().map(String::as_str).collect(), new.iter().map(String::as_str).collect());
    hunks(&edits(&old, &new), &old, &new)
}

/// A run of lines: equal, or replaced (either side may be empty). Ends are exclusive.
#[derive(Clone, Copy)]
struct Edit {
    equal: bool,
    old: (usize, usize),
    new: (usize, usize),
}

/// Runs of lines as difflib's `SequenceMatcher` finds them: the longest common run first, then the
/// parts before and after it.
fn edits(old: &[&str], new: &[&str]) -> Vec<Edit> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (j, line) in new.iter().enumerate() {
        places.entry(line).or_default().push(j);
    }
    if new.len() >= POPULAR_FROM {
        places.retain(|_, at| at.len() <= new.len() / 100 + 1);
    }
    let mut matches = Vec::new();
    let mut left = vec![((0, old.len()), (0, new.len()))];
    while let Some((a, b)) = left.pop() {
        let (i, j, n) = longest_match(old, new, &places, a, b);
        if n > 0 {
            matches.push((i, j, n));
            left.push(((a.0, i), (b.0, j)));
            left.push(((i + n, a.1), (j + n, b.1)));
        }
    }
    matches.sort_unstable();
    matches.push((old.len(), new.len(), 0));
    let mut runs: Vec<Edit> = Vec::new();
    let (mut i, mut j) = (0, 0);
    for (a, b, n) in matches {
        if i < a || j < b {
            runs.push(Edit { equal: false, old: (i, a), new: (j, b) });
        }
        (i, j) = (a + n, b + n);
        match runs.last_mut() {
            Some(last) if last.equal => (last.old.1, last.new.1) = (i, j),
            _ if n > 0 => runs.push(Edit { equal: true, old: (a, i), new: (b, j) }),
            _ => {}
        }
    }
    runs
}

/// The first longest run common to two ranges; lines without places only extend one.
fn longest_match(
    old: &[&str],
    new: &[&str],
    places: &HashMap<&str, Vec<usize>>,
    a: (usize, usize),
    b: (usize, usize),
) -> (usize, usize, usize) {
    let (mut i, mut j, mut n) = (a.0, b.0, 0);
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for (row, line) in old.iter().enumerate().take(a.1).skip(a.0) {
        let mut next = HashMap::new();
        let columns = places.get(line).map_or(&[][..], Vec::as_slice);
        for &column in columns.iter().filter(|c| (b.0..b.1).contains(*c)) {
            let before = column.checked_sub(1).and_then(|c| lengths.get(&c));
            let length = before.copied().unwrap_or(0) + 1;
            next.insert(column, length);
            if length > n {
                (i, j, n) = (row + 1 - length, column + 1 - length, length);
            }
        }
        lengths = next;
    }
    while i > a.0 && j > b.0 && old[i - 1] == new[j - 1] {
        (i, j, n) = (i - 1, j - 1, n + 1);
    }
    while i + n < a.1 && j + n < b.1 && old[i + n] == new[j + n] {
        n += 1;
    }
    (i, j, n)
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

/// Lines count from one; an empty range is placed after the line before it.
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
        assert_eq!(unified(&old.to_string(), &new.to_string()), want);
        assert_eq!(unified(&old.to_string(), &old.to_string()), "");
    }

    #[test]
    fn insertions_and_distant_changes_stand_apart() {
        let old: Vec<u32> = (0..30).collect();
        let mut new = old.clone();
        new.insert(5, 99);
        new[25] = 98;
        let text = unified(&json!(old).to_string(), &json!(new).to_string());
        assert_eq!(text.matches("@@ -").count(), 2, "{text}");
        assert!(text.contains("@@ -4,6 +4,7 @@"), "{text}");
        assert_eq!(unified("[]", "[1]"), "@@ -1 +1,3 @@\n-[]\n+[\n+ 1\n+]\n");
    }
}
