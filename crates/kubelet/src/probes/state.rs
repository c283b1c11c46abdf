//! Thresholds: how many answers in a row it takes to believe one.

use k8s_openapi::api::core::v1::Probe;

/// An answer that reached its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Success,
    Failure,
}

/// Counts equal answers.
#[derive(Debug)]
pub(super) struct State {
    success_threshold: u32,
    failure_threshold: u32,
    last: Option<bool>,
    run: u32,
}

impl State {
    pub(super) fn new(probe: &Probe) -> Self {
        let or = |value: Option<i32>, default| {
            value.and_then(|value| u32::try_from(value).ok()).filter(|v| *v > 0).unwrap_or(default)
        };
        Self {
            success_threshold: or(probe.success_threshold, 1),
            failure_threshold: or(probe.failure_threshold, 3),
            last: None,
            run: 0,
        }
    }

    /// Counts one more answer; `Some` when its threshold is reached or passed.
    pub(super) fn record(&mut self, succeeded: bool) -> Option<Answer> {
        if self.last == Some(succeeded) {
            self.run += 1;
        } else {
            self.last = Some(succeeded);
            self.run = 1;
        }
        let (threshold, answer) = if succeeded {
            (self.success_threshold, Answer::Success)
        } else {
            (self.failure_threshold, Answer::Failure)
        };
        (self.run >= threshold).then_some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        let probe =
            Probe { success_threshold: Some(2), failure_threshold: Some(3), ..Probe::default() };
        let table = [
            ("+", "."),
            ("++", ".S"),
            ("+-+", "..."),
            ("---+", "..F."),
            ("--+---", ".....F"),
            ("++++", ".SSS"),
        ];
        for (answers, wanted) in table {
            let mut state = State::new(&probe);
            let got: String = answers
                .chars()
                .map(|answer| match state.record(answer == '+') {
                    None => '.',
                    Some(Answer::Success) => 'S',
                    Some(Answer::Failure) => 'F',
                })
                .collect();
            assert_eq!(got, wanted, "{answers}");
        }
    }
}
