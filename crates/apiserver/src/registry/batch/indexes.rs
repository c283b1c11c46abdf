//! Sets of indexes in text form, for example `1,3-5,7`.

use std::num::ParseIntError;

use apimachinery::text::quote;

/// The reason why text is not a set of indexes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("cannot convert string to integer for index: {}", quote(text))]
    NotInteger { text: String, source: ParseIntError },
    #[error("too large index: {}", quote(.0))]
    TooLarge(String),
    #[error("non-increasing order, previous: {previous}, current: {current}")]
    Falling { previous: i64, current: i64 },
    #[error(
        "the fragment {} violates the requirement that an index interval can have at most two \
         parts separated by '-'",
        quote(.0)
    )]
    Parts(String),
}

fn index(text: &str, completions: i64) -> Result<i64, Malformed> {
    let bad = |source| Malformed::NotInteger { text: text.to_owned(), source };
    let number: i64 = text.parse().map_err(bad)?;
    if number >= completions {
        return Err(Malformed::TooLarge(text.to_owned()));
    }
    Ok(number)
}

fn interval(text: &str, completions: i64) -> Result<(i64, i64), Malformed> {
    match text.split('-').collect::<Vec<_>>()[..] {
        [one] => index(one, completions).map(|x| (x, x)),
        [first, last] => {
            let (x, y) = (index(first, completions)?, index(last, completions)?);
            if x >= y { Err(Malformed::Falling { previous: x, current: y }) } else { Ok((x, y)) }
        }
        _ => Err(Malformed::Parts(text.to_owned())),
    }
}

/// The number of indexes in the text, which must be increasing and below `completions`.
pub(super) fn count(text: &str, completions: i64) -> Result<i64, Malformed> {
    if text.is_empty() {
        return Ok(0);
    }
    let (mut total, mut last) = (0, None);
    for part in text.split(',') {
        let (x, y) = interval(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= x) {
            return Err(Malformed::Falling { previous: last, current: x });
        }
        total += y - x + 1;
        last = Some(y);
    }
    Ok(total)
}

/// The first index in both texts; invalid intervals are skipped.
pub(super) fn overlap(one: &str, other: &str, completions: i64) -> Option<i64> {
    let intervals = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|part| interval(part, completions).ok()).collect()
    };
    let others = intervals(other);
    let common = |(x, y): (i64, i64)| {
        others.iter().find(|(u, v)| x <= *v && *u <= y).map(|(u, _)| x.max(*u))
    };
    intervals(one).into_iter().find_map(common)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_or_says_why_not() {
        assert_eq!(count("1,3-5,7", 8), Ok(5));
        assert_eq!(count("", 1), Ok(0));
        for (text, why) in [
            ("1,8", "too large index: \"8\""),
            ("3,1", "non-increasing order, previous: 3, current: 1"),
            ("5-4", "non-increasing order, previous: 5, current: 4"),
            ("1-", "cannot convert string to integer for index: \"\""),
        ] {
            assert_eq!(count(text, 8).unwrap_err().to_string(), why, "{text}");
        }
    }
}
