//! Stop signals: names here, numbers of their own in CRI.

use crate::cri::proto::Signal;

/// The beginning of every signal's name in CRI.
const PREFIX: &str = "SIGNAL_";

/// The number of a signal's name; that of the runtime's default for one it does not know.
pub(super) fn number(name: &str) -> i32 {
    // `SIGRTMIN+1` is `SIGNAL_SIGRTMINPLUS1` there.
    let name = name.replace('+', "PLUS").replace('-', "MINUS");
    Signal::from_str_name(&[PREFIX, &name].concat()).unwrap_or_default().into()
}

/// The name by its number; empty for the runtime's default.
pub(super) fn name(number: i32) -> String {
    match Signal::try_from(number) {
        Err(_) | Ok(Signal::RuntimeDefault) => String::new(),
        Ok(signal) => signal
            .as_str_name()
            .trim_start_matches(PREFIX)
            .replace("PLUS", "+")
            .replace("MINUS", "-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_survive_both_ways() {
        for signal in ["SIGABRT", "SIGTERM", "SIGRTMIN+15", "SIGRTMAX-14", "SIGRTMAX"] {
            assert_eq!(name(number(signal)), signal);
        }
        assert_eq!((number("SIGTERM"), number("SIGRTMAX")), (23, 65));
        assert_eq!((number(""), name(0), name(66)), (0, String::new(), String::new()));
    }
}
