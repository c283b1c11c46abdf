use super::*;
use proptest::prelude::*;

#[test]
fn normal_forms_match_upstream() {
    let table = [
        ("0", "0"),
        ("0Mi", "0"),
        ("1000m", "1"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("1.", "1."),
        ("1.5Gi", "1536Mi"),
        ("1024Ki", "1Mi"),
        ("1025Ki", "1025Ki"),
        ("0.5Ki", "512"),
        ("1000Ki", "1000Ki"),
        ("8Gi", "8Gi"),
        ("1024", "1024"),
        ("2048Mi", "2Gi"),
        ("12e6", "12e6"),
        ("1200e4", "12e6"),
        ("1E", "1E"),
        ("1E3", "1E3"),
        ("1000000", "1M"),
        ("1234567", "1234567"),
        ("1.234", "1.234"),
        ("1.2345", "1234500u"),
        ("100n", "100n"),
        ("0.1n", "1n"),
        ("-1.5", "-1500m"),
        ("+5", "+5"),
        ("001", "001"),
        ("99999999999999999999", "9223372036854775807"),
        ("1e-12", "1e-9"),
    ];
    for (text, normal) in table {
        assert_eq!(Quantity::normalize(text).as_deref(), Ok(normal), "{text}");
    }
}

#[test]
fn broken_text_is_refused() {
    use QuantityError::{Format, Suffix};
    let table = [
        ("", Format),
        ("1.1.1", Format),
        ("1 ", Format),
        ("a", Format),
        ("1x", Format),
        ("1mi", Suffix),
        ("1ki", Suffix),
        ("1K", Suffix),
        ("1ee3", Suffix),
        ("1i", Suffix),
    ];
    for (text, error) in table {
        assert_eq!(Quantity::parse(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn values_round_away_from_zero() {
    let q = |text| Quantity::parse(text).unwrap();
    assert_eq!((q("1500m").value(), q("-1500m").value(), q("1u").milli_value()), (2, -2, 1));
    assert_eq!(q("100E").milli_value(), i64::MAX);
    assert_eq!((q("1Gi") - q("512Mi")).to_string(), "512Mi");
    assert_eq!((Quantity::ZERO + q("1Gi") + q("1")).to_string(), "1073741825");
    assert!(q("1Ki") > q("1k") && q("1") == q("1000m"));
}

proptest! {
    #[test]
    fn canonical_text_reads_back(nanos in any::<i64>(), binary in any::<bool>()) {
        let format = if binary { Format::BinarySi } else { Format::DecimalSi };
        let q = Quantity { nanos: i128::from(nanos), format };
        prop_assert_eq!(Quantity::parse(&q.to_string()).unwrap(), q);
        let whole = Quantity::from_units(nanos, format);
        prop_assert_eq!(Quantity::parse(&whole.to_string()).unwrap(), whole);
        let decimal = Quantity::from_units(nanos, Format::DecimalSi).to_string();
        prop_assert_eq!(Quantity::normalize(&decimal).unwrap(), decimal);
    }
}
