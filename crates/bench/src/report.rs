//! The table of results.

use std::fmt;

/// The limit of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// The ratio to the baseline must be at least this.
    RatioAtLeast(f64),
    /// The ratio to the baseline must be at most this.
    RatioAtMost(f64),
    /// The figure itself must be below this, in the row's unit.
    Below(f64),
    /// For information.
    None,
}

/// One measured figure.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) figure: f64,
    /// The name of the baseline, and its figure in the same unit.
    pub(crate) baseline: Option<(&'static str, f64)>,
    pub(crate) unit: &'static str,
    pub(crate) target: Target,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        self.baseline.map(|(_, baseline)| self.figure / baseline)
    }

    fn met(&self) -> Option<bool> {
        match self.target {
            Target::RatioAtLeast(least) => self.ratio().map(|r| r >= least),
            Target::RatioAtMost(most) => self.ratio().map(|r| r <= most),
            Target::Below(limit) => Some(self.figure < limit),
            Target::None => None,
        }
    }

    fn cells(&self) -> [String; 6] {
        let number = |n: f64| format!("{} {}", rounded(n), self.unit);
        [
            self.what.clone(),
            number(self.figure),
            self.baseline.map_or_else(String::new, |(name, n)| format!("{} ({name})", number(n))),
            self.ratio().map_or_else(String::new, |r| format!("{r:.2}")),
            match self.target {
                Target::RatioAtLeast(r) => format!(">= {r}x"),
                Target::RatioAtMost(r) => format!("<= {r}x"),
                Target::Below(n) => format!("< {n} {}", self.unit),
                Target::None => String::new(),
            },
            match self.met() {
                Some(true) => "met".to_owned(),
                Some(false) => "MISSED".to_owned(),
                None => String::new(),
            },
        ]
    }
}

/// Three significant digits, and never fewer than the integer ones.
fn rounded(n: f64) -> String {
    match n {
        n if n >= 100.0 => format!("{n:.0}"),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

/// All results of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    failures: Vec<String>,
}

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("  {}", row.cells().join(" | "));
        self.rows.push(row);
    }

    /// Notes a benchmark that could not be run to its end.
    pub(crate) fn failed(&mut self, benchmark: &str, why: &str) {
        eprintln!("  {benchmark}: {why}");
        self.failures.push(format!("{benchmark}: not measured: {why}"));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["what", "figure", "baseline", "ratio", "target", ""].map(str::to_owned);
        let lines: Vec<_> = std::iter::once(head).chain(self.rows.iter().map(Row::cells)).collect();
        let mut widths = [0; 6];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for line in &lines {
            let cells: Vec<_> =
                line.iter().zip(widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        for failure in &self.failures {
            writeln!(f, "{failure}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(figure: f64, baseline: Option<f64>, target: Target) -> Row {
        let baseline = baseline.map(|n| ("other", n));
        Row { what: "a thing".into(), figure, baseline, unit: "ms", target }
    }

    #[test]
    fn verdicts_follow_the_target() {
        assert_eq!(row(200.0, Some(100.0), Target::RatioAtMost(2.0)).met(), Some(true));
        assert_eq!(row(201.0, Some(100.0), Target::RatioAtMost(2.0)).met(), Some(false));
        assert_eq!(row(99.0, Some(10.0), Target::RatioAtLeast(10.0)).met(), Some(false));
        assert_eq!(row(99.0, None, Target::Below(100.0)).met(), Some(true));
        assert_eq!(row(99.0, None, Target::RatioAtMost(1.0)).met(), None);
        assert_eq!(row(99.0, None, Target::None).met(), None);
    }

    #[test]
    fn the_table_is_aligned_and_names_what_failed() {
        let mut report = Report::default();
        report.add(row(1234.5, Some(1000.0), Target::RatioAtMost(1.0)));
        report.add(row(0.5, None, Target::Below(1.0)));
        report.failed("pods", "needs root");
        let text = report.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "what     figure   baseline         ratio  target",
                "a thing  1234 ms  1000 ms (other)  1.23   <= 1x   MISSED",
                "a thing  0.50 ms                          < 1 ms  met",
                "pods: not measured: needs root",
            ]
        );
    }
}
