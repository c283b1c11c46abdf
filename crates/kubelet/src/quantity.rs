//! Amounts of resources as integers.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// In thousandths, rounded up. What does not parse, which the API server does not admit, is zero.
pub(crate) fn milli(quantity: &Quantity) -> i64 {
    scaled(&quantity.0, 1000)
}

/// In whole units, rounded up.
pub(crate) fn value(quantity: &Quantity) -> i64 {
    scaled(&quantity.0, 1)
}

fn scaled(text: &str, scale: i128) -> i64 {
    let split = text.find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c)));
    let (number, suffix) = text.split_at(split.unwrap_or(text.len()));
    let Some((up, down)) = factor(suffix) else { return 0 };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let Ok(digits) = format!("{whole}{fraction}").parse::<i128>() else { return 0 };
    let Some(numerator) = digits.checked_mul(up).and_then(|n| n.checked_mul(scale)) else {
        return i64::MAX;
    };
    let denominator = down * 10i128.pow(fraction.len().min(18) as u32);
    let rounded =
        numerator.div_euclid(denominator) + i128::from(numerator.rem_euclid(denominator) != 0);
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

/// What a suffix multiplies and divides by.
fn factor(suffix: &str) -> Option<(i128, i128)> {
    Some(match suffix {
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (10i128.pow(12), 1),
        "P" => (10i128.pow(15), 1),
        "E" => (10i128.pow(18), 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let size = 10i128.pow(power.unsigned_abs().min(18));
            if power < 0 { (1, size) } else { (size, 1) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_fractions_and_rounding() {
        let table = [
            ("1", 1000, 1),
            ("100m", 100, 1),
            ("0.5", 500, 1),
            ("1.5Gi", 1_610_612_736_000, 1_610_612_736),
            ("1e3", 1_000_000, 1000),
            ("12E", i64::MAX, i64::MAX),
            ("1n", 1, 1),
            ("nonsense", 0, 0),
        ];
        for (text, as_milli, as_value) in table {
            let quantity = Quantity(text.to_owned());
            assert_eq!((milli(&quantity), value(&quantity)), (as_milli, as_value), "{text}");
        }
    }
}
