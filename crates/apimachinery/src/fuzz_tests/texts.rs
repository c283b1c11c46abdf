//! Selectors, quantities and times.

use crate::quantity::Quantity;
use crate::selector::{FieldSelector, LabelSelector};
use crate::time;

#[test]
fn label_selectors_read_back() {
    let seeds = ["a=b,c in (x,y),!d", "a.b/c notin (,x),e!=f,g>1,h<2,i", "in in (in),notin"];
    let words = [" in ", " notin ", "(", ")", ",", "=", "==", "!=", "!", ">", "<", "/", " ", "é"];
    fuzz::text(&seeds, &words, |text| {
        let Ok(selector) = LabelSelector::parse(text) else { return false };
        assert_eq!(LabelSelector::parse(&selector.to_string()).as_ref(), Ok(&selector));
        selector.matches(|_| Some("1"));
        true
    });
}

#[test]
fn field_selectors_read_back() {
    let seeds = ["metadata.name=x,status.phase!=Running", r"a==\,\=\\,b="];
    fuzz::text(&seeds, &["=", "==", "!=", ",", r"\", r"\,", ".", "é"], |text| {
        let Ok(selector) = FieldSelector::parse(text) else { return false };
        assert_eq!(FieldSelector::parse(&selector.to_string()).as_ref(), Ok(&selector));
        selector.matches(|field| field.to_owned());
        true
    });
}

#[test]
fn quantities_keep_their_value_in_their_normal_form() {
    let seeds =
        ["100m", "1.5Gi", "-3e-2", "+.5", "12E", "1E3", "0.000000001", "9223372036854775807"];
    let words =
        ["n", "u", "m", "k", "Ki", "Mi", "E", "Ei", "e", "E-", ".", "-", "+", "0", "9", " "];
    fuzz::text(&seeds, &words, |text| {
        let Ok(quantity) = Quantity::parse(text) else {
            assert!(Quantity::normalize(text).is_err());
            return false;
        };
        let normal = Quantity::normalize(text).unwrap();
        // Beyond 64 bits upstream caps some spellings and not others.
        if quantity.value().unsigned_abs() > 1 << 62 {
            return false;
        }
        let again = Quantity::parse(&normal).unwrap();
        assert_eq!(Quantity::normalize(&normal).unwrap(), normal, "{text}");
        assert_eq!(again.value(), quantity.value(), "{text} as {normal}");
        assert_eq!(again.milli_value(), quantity.milli_value(), "{text} as {normal}");
        assert_eq!(again.sign(), quantity.sign());
        assert!(!quantity.as_f64().is_nan());
        true
    });
}

#[test]
fn times_read_back() {
    let seeds = [
        "2024-02-29T23:59:60Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999+23:59",
        "2024-01-01T00:00:00.000001-07:00",
    ];
    fuzz::text(&seeds, &["-", ":", "T", "t", "Z", "z", "+", ".", ",", "00", "60", "é"], |text| {
        let complaints = [time::TIME, time::MICRO_TIME].map(|layout| time::complaint(text, layout));
        assert!(complaints.iter().all(|complaint| !complaint.is_empty()));
        let Some(at) = time::parse(text) else { return false };
        let second = time::parse(&time::rfc3339(at)).unwrap();
        assert_eq!(second.as_second(), at.as_nanosecond().div_euclid(1_000_000_000) as i64);
        let micro = time::parse(&time::micro(at)).unwrap();
        assert_eq!(time::micro(micro), time::micro(at));
        assert!(time::after(at, i64::MIN) < at && time::after(at, i64::MAX) > at);
        true
    });
}

#[test]
fn durations_read_back() {
    let seeds = ["1h2m3.5s", "-1ms", "+1µs", "0", "2562047h47m16.854775807s", "1ns", ".5h"];
    let words = ["h", "m", "s", "ms", "us", "µs", "μs", "ns", ".", "-", "+", "0", "9"];
    fuzz::text(&seeds, &words, |text| {
        let Some(nanos) = time::parse_duration(text) else { return false };
        let shown = time::format_duration(nanos);
        assert_eq!(time::parse_duration(&shown), Some(nanos), "{text} as {shown}");
        true
    });
}
