//! The results of a run.

use std::time::Duration;

use serde_json::{Value, json};

/// The result of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It held.
    Passed,
    /// It did not; why.
    Failed(String),
    /// It cannot tell; why.
    Skipped(String),
}

impl Outcome {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }

    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Passed => "",
            Self::Failed(message) | Self::Skipped(message) => message,
        }
    }
}

/// A case and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) title: String,
    pub(crate) outcome: Outcome,
    pub(crate) time: Duration,
}

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    /// Of our cases.
    pub(crate) records: Vec<Record>,
    /// Of upstream's, by its own binary.
    pub(crate) upstream: Vec<Record>,
    pub(crate) time: Duration,
}

impl Report {
    fn all(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().chain(&self.upstream)
    }

    fn count(&self, word: &str) -> usize {
        self.all().filter(|record| record.outcome.word() == word).count()
    }

    /// How many failed.
    pub(crate) fn failed(&self) -> usize {
        self.count("failed")
    }

    /// Prints failures again, the table of both suites if both ran, and the sum.
    pub(crate) fn print_summary(&self) {
        for record in self.all() {
            if let Outcome::Failed(message) = &record.outcome {
                println!("\nFAILED {}\n  {}", record.title, message.replace('\n', "\n  "));
            }
        }
        if !self.upstream.is_empty() {
            self.print_table();
        }
        println!(
            "\n{} passed, {} failed, {} skipped in {:.1} s",
            self.count("passed"),
            self.failed(),
            self.count("skipped"),
            self.time.as_secs_f64()
        );
    }

    /// One line for each title of either suite: ours, upstream's.
    fn print_table(&self) {
        println!("\n{:<8} {:<8} title", "ours", "upstream");
        for [ours, upstream, title] in self.table() {
            println!("{ours:<8} {upstream:<8} {title}");
        }
    }

    fn table(&self) -> Vec<[&str; 3]> {
        let mut titles: Vec<&str> = self.all().map(|record| record.title.as_str()).collect();
        titles.sort_unstable();
        titles.dedup();
        let of = |records: &'_ [Record], title: &str| {
            let found = records.iter().find(|record| record.title == title);
            found.map_or("-", |record| record.outcome.word())
        };
        let row = |title| [of(&self.records, title), of(&self.upstream, title), title];
        titles.into_iter().map(row).collect()
    }

    /// The whole as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let list = |records: &[Record]| {
            let one = |record: &Record| {
                json!({"title": record.title, "outcome": record.outcome.word(),
                    "message": record.outcome.message(), "seconds": record.time.as_secs_f64()})
            };
            Value::Array(records.iter().map(one).collect())
        };
        json!({
            "passed": self.count("passed"),
            "failed": self.failed(),
            "skipped": self.count("skipped"),
            "seconds": self.time.as_secs_f64(),
            "cases": list(&self.records),
            "upstream": list(&self.upstream),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn sample() -> Report {
        let record = |title: &str, outcome| Record {
            title: title.to_owned(),
            outcome,
            time: Duration::from_millis(1500),
        };
        Report {
            records: vec![
                record("[sig-a] one", Outcome::Passed),
                record("[sig-b] two", Outcome::Failed("expected <3> & \"4\"".to_owned())),
            ],
            upstream: vec![
                record("[sig-a] one", Outcome::Passed),
                record("[sig-c] three", Outcome::Skipped("no".to_owned())),
            ],
            time: Duration::from_secs(3),
        }
    }

    #[test]
    fn both_suites_share_a_table() {
        assert_eq!(
            sample().table(),
            [
                ["passed", "passed", "[sig-a] one"],
                ["failed", "-", "[sig-b] two"],
                ["-", "skipped", "[sig-c] three"],
            ]
        );
        let json = sample().to_json();
        assert_eq!((&json["passed"], &json["failed"]), (&json!(2), &json!(1)));
    }
}
