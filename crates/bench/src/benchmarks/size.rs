//! Bytes of the binary.

use anyhow::Result;

use crate::process;
use crate::report::{Report, Row, Target};

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let bytes = std::fs::metadata(process::coxswain()?)?.len();
    report.add(Row {
        what: "size of the binary".into(),
        figure: bytes as f64 / 1e6,
        baseline: None,
        unit: "MB",
        target: Target::Below(50.0),
    });
    Ok(())
}
