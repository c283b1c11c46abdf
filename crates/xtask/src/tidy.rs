//! House rules, as ordinary tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::test::root;

/// Which of our crates may depend on which. What is not listed depends on none.
const ALLOWED: &[(&str, &[&str])] = &[
    ("apiserver", &["apimachinery", "cel", "pki", "rules", "store", "telemetry"]),
    ("bench", &["apimachinery", "client", "store"]),
    ("client", &["telemetry"]),
    ("conformance", &["apimachinery"]),
    ("controllers", &["apimachinery", "cel", "client", "pki", "rules", "telemetry"]),
    ("dns", &["client", "telemetry"]),
    ("kubelet", &["apimachinery", "client", "network", "pki", "rules", "runtime", "telemetry"]),
    ("proxy", &["client", "network", "telemetry"]),
    ("rules", &["apimachinery"]),
    ("runtime", &["network", "telemetry"]),
    ("scheduler", &["apimachinery", "client", "rules", "telemetry"]),
    ("store", &["telemetry"]),
    ("xtask", &["apimachinery"]),
];
/// The binary puts everything together.
const BINARY: &str = "coxswain";

const MAX_LINES: usize = 800;
const MEDIAN_LINES: usize = 200;

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if path.is_dir() {
            if name != "target"
                && !(name.starts_with('.') && name != ".ci" && name != ".cargo")
                && name != "data"
                // Written by other programs, which have their own rules.
                && name != "generated"
            {
                files(&path, found);
            }
        } else if name != ".git" {
            // In a second work tree that is a file, with a path.
            found.push(path);
        }
    }
}

fn all_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root(), &mut found);
    found
}

pub(crate) fn rust_files() -> Vec<(PathBuf, String)> {
    let sources = all_files().into_iter().filter(|p| p.extension().is_some_and(|e| e == "rs"));
    sources.map(|p| (p.clone(), std::fs::read_to_string(p).unwrap())).collect()
}

/// Names under `[dependencies]` of a manifest, without the development ones.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest.split("\n[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn crates_depend_only_on_what_the_design_allows() {
    let mut crates = BTreeMap::new();
    let inner =
        std::fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    for dir in inner.chain([root().join("conformance")]) {
        let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
        crates.insert(name, dependencies(&manifest));
    }
    let ours: BTreeSet<&String> = crates.keys().collect();
    for (name, dependencies) in &crates {
        if name == BINARY {
            continue;
        }
        let allowed = ALLOWED.iter().find(|(n, _)| n == name).map_or(&[][..], |(_, list)| list);
        for dependency in dependencies.iter().filter(|d| ours.contains(d)) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} must not depend on {dependency}"
            );
        }
    }
}

#[test]
fn files_are_short() {
    let mut lengths: Vec<(usize, PathBuf)> =
        rust_files().into_iter().map(|(path, text)| (text.lines().count(), path)).collect();
    for (lines, path) in &lengths {
        assert!(
            *lines <= MAX_LINES,
            "{} has {lines} lines: which two jobs are in it?",
            path.display()
        );
    }
    lengths.sort();
    let median = lengths[lengths.len() / 2].0;
    assert!(median <= MEDIAN_LINES, "the median file has {median} lines");
}

#[test]
fn nothing_promises_instead_of_doing() {
    // Split, so that this file does not find itself.
    let words = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("FIX", "ME"),
        concat!("#[ig", "nore"),
    ];
    for (path, text) in rust_files() {
        for word in words {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
    }
}

#[test]
fn unsafe_code_stays_where_it_belongs() {
    for (path, text) in rust_files() {
        let relative = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let home = ["crates/runtime/", "crates/network/"].iter().any(|c| relative.starts_with(c));
        let allows = text.contains(concat!("allow(un", "safe_code)"));
        assert!(home || !allows, "{relative} allows unsafe code");
    }
}

#[test]
fn every_public_file_says_what_it_is_for() {
    for (path, text) in rust_files() {
        let first = text.lines().next().unwrap_or_default();
        // The name of a file of tests says it.
        let tests =
            path.components().any(|c| matches!(c.as_os_str().to_str(), Some("tests" | "tests.rs")));
        assert!(
            tests || first.starts_with("//!"),
            "{} does not begin with a line that says its job",
            path.display()
        );
    }
}

/// True if a line is a comment that begins like a question: a summary says what is so.
fn begins_like_a_question(line: &str) -> bool {
    let Some(rest) = line.trim_start().strip_prefix("//") else { return false };
    let text = rest.trim_start_matches(['/', '!']).trim_start();
    let first = text.split(' ').next().unwrap_or_default();
    ["What", "Whether", "Who", "Whom"].contains(&first) && text.len() > first.len()
}

#[test]
fn comments_are_statements() {
    for (line, wanted) in [
        ("    /// Whether it is so.", true),
        ("//! What this is for.", true),
        ("// Who asked has gone.", true),
        ("/// Whatever comes is read.", false),
        ("/// True if it is so.", false),
        ("let what = \"// What\";", false),
    ] {
        assert_eq!(begins_like_a_question(line), wanted, "{line}");
    }
    for (path, text) in rust_files() {
        let found = text.lines().enumerate().find(|(_, line)| begins_like_a_question(line));
        if let Some((number, line)) = found {
            panic!("{}:{}: a comment states, it does not ask: {line}", path.display(), number + 1);
        }
    }
}

#[test]
fn no_path_of_a_developers_machine_is_kept() {
    for path in all_files() {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for word in [concat!("/wo", "rk/"), concat!("/ro", "ot/.")] {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
    }
}

/// The part of a source file that is no test; nothing of a file that is all test.
fn shipped<'t>(path: &Path, text: &'t str) -> &'t str {
    let tests = ["tests", "tests.rs", "testing", "testing.rs", "fake.rs", "bench", "fuzz", "xtask"];
    let mut parts = path.components().filter_map(|part| part.as_os_str().to_str());
    if parts.any(|part| tests.contains(&part) || part.ends_with("_tests.rs")) {
        return "";
    }
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default()
}

/// Source files under `crates/` by their path there, without their tests.
fn shipped_files() -> Vec<(String, String)> {
    let crates = root().join("crates");
    let files = rust_files().into_iter().filter_map(|(path, text)| {
        let relative = path.strip_prefix(&crates).ok()?;
        let shipped = shipped(relative, &text).to_owned();
        Some((relative.to_string_lossy().into_owned(), shipped))
    });
    files.collect()
}

#[test]
fn tasks_are_spawned_where_a_panic_is_seen() {
    for (path, text) in shipped_files() {
        let home = path == "telemetry/src/task.rs";
        assert!(
            home || !text.contains(concat!("tokio::spa", "wn(")),
            "{path} spawns a task that nobody watches: use telemetry::task"
        );
    }
}

/// Parameters of the `Result` whose `<` has just been passed, without blanks.
fn parameters(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let (mut depth, mut before) = (0, ' ');
    for c in text.chars() {
        match c {
            '<' | '(' | '[' => depth += 1,
            // Not that of an arrow.
            '>' if before == '-' => {}
            '>' | ')' | ']' if depth == 0 => break,
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                found.push(String::new());
                continue;
            }
            _ => {}
        }
        before = c;
        if let Some(last) = found.last_mut().filter(|_| !c.is_whitespace()) {
            last.push(c);
        }
    }
    found
}

/// True where text stands for an error.
fn has_text_for_error(source: &str) -> bool {
    let as_parameter = source.split("Result<").skip(1).any(|rest| {
        let all = parameters(rest);
        ["String", "E=String", "&str", "&'staticstr"]
            .iter()
            .any(|text| all.get(1).is_some_and(|error| error == text))
    });
    let as_type = ["type Err = String;", "type Error = String;"];
    as_parameter || as_type.iter().any(|word| source.contains(word))
}

#[test]
fn errors_have_types() {
    for (source, wanted) in [
        ("fn f() -> Result<(), String> {}", true),
        ("fn f() -> Result<\n    (A, B<C>),\n    String,\n> {}", true),
        ("type Result<T, E = String> = std::result::Result<T, E>;", true),
        ("type Result<T> = std::result::Result<T, String>;", true),
        ("f: &dyn Fn(&str) -> Result<A, String>", true),
        ("fn f() -> Result<Box<dyn Fn() -> A>, &'static str> {}", true),
        ("    type Err = String;", true),
        ("fn f() -> Result<String, Error> {}", false),
        ("fn f() -> Result<String> { HashMap<A, String> }", false),
        ("fn f() -> Result<BTreeMap<String, String>, Error> {}", false),
    ] {
        assert_eq!(has_text_for_error(source), wanted, "{source}");
    }
    for (path, text) in shipped_files() {
        assert!(!has_text_for_error(&text), "{path}: an error is text there; give it a type");
    }
}

/// Words by which a rule that `rules` has is recognised, and where else they may stand.
const RULES: &[(&str, &str, &[&str])] = &[
    ("sidecars", r#"restart_policy.as_deref() == Some("Always")"#, &[]),
    ("sidecars", r#"["restartPolicy"] == "Always""#, &[]),
    ("cron schedules", r#""@hourly""#, &[]),
    ("node selectors", r#""DoesNotExist" => value.is_none()"#, &[]),
    ("quality of service", r#""BestEffort" =>"#, &["apiserver/src/registry/core/quota.rs"]),
    ("quality of service", r#""Burstable" =>"#, &[]),
    ("tolerations", "fn tolerates", &[]),
];

#[test]
fn each_rule_is_written_once() {
    for (path, text) in shipped_files().iter().filter(|(path, _)| !path.starts_with("rules/")) {
        for (rule, word, elsewhere) in RULES {
            assert!(
                !text.contains(word) || elsewhere.contains(&path.as_str()),
                "{path} has a rule of its own about {rule} ({word}): use the crate `rules`"
            );
        }
    }
}
