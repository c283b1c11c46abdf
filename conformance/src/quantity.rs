//! Quantities of nodes as whole numbers.

use anyhow::{Context, Result};
use serde_json::Value;

/// A quantity in thousandths.
///
/// # Errors
/// If it is none.
pub(crate) fn milli(value: &Value) -> Result<i128> {
    let text = value.as_str().context("a quantity is missing")?;
    let cut = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(cut);
    let scale: i128 = match suffix {
        "m" => 1,
        "" => 1000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        _ => anyhow::bail!("{text} has the unknown suffix {suffix}"),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let part_scale = 10_i128.pow(u32::try_from(part.len())?);
    let digits: i128 = format!("{whole}{part}").parse().with_context(|| text.to_owned())?;
    Ok(digits * scale / part_scale)
}

/// Cores, rounded up.
///
/// # Errors
/// If it is no quantity.
pub(crate) fn cores_up(value: &Value) -> Result<i128> {
    Ok((milli(value)? + 999) / 1000)
}

/// Bytes.
///
/// # Errors
/// If it is no quantity.
pub(crate) fn bytes(value: &Value) -> Result<i128> {
    Ok(milli(value)? / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn suffixes_scale() {
        assert_eq!(milli(&json!("250m")).unwrap(), 250);
        assert_eq!(milli(&json!("1.5")).unwrap(), 1500);
        assert_eq!(bytes(&json!("2Ki")).unwrap(), 2048);
        assert_eq!(cores_up(&json!("1250m")).unwrap(), 2);
        assert!(milli(&json!("1Q")).is_err());
    }
}
