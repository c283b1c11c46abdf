//! Progress: a line for each case that ended, and on a terminal a status line.

use std::io::{IsTerminal, Write};

use parking_lot::Mutex;

use super::{Outcome, Record};

#[derive(Default)]
struct State {
    running: Vec<String>,
    done: Vec<(usize, Record)>,
}

/// The display, and the records so far.
pub(crate) struct Progress {
    total: usize,
    lines: bool,
    terminal: bool,
    state: Mutex<State>,
}

impl Progress {
    /// For so many cases; `lines` prints one for each case on standard output.
    pub(crate) fn new(total: usize, lines: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { total, lines, terminal, state: Mutex::default() }
    }

    /// A display that shows nothing.
    pub(crate) fn silent(total: usize) -> Self {
        Self { total, lines: false, terminal: false, state: Mutex::default() }
    }

    pub(crate) fn begin(&self, title: &str) {
        self.state.lock().running.push(title.to_owned());
        self.draw();
    }

    pub(crate) fn end(&self, index: usize, record: &Record) {
        let mut state = self.state.lock();
        state.running.retain(|title| *title != record.title);
        state.done.push((index, record.clone()));
        if self.lines {
            self.clear();
            let word = match &record.outcome {
                Outcome::Passed => "ok  ",
                Outcome::Failed(_) => "FAIL",
                Outcome::Skipped(_) => "skip",
            };
            println!("{word} {:6.1} s  {}", record.time.as_secs_f64(), record.title);
            if let Outcome::Skipped(why) = &record.outcome {
                println!("               {why}");
            }
        }
        drop(state);
        self.draw();
    }

    fn draw(&self) {
        if !self.terminal {
            return;
        }
        let state = self.state.lock();
        let failed = state.done.iter().filter(|(_, r)| matches!(r.outcome, Outcome::Failed(_)));
        let now: String = state.running.last().map_or("", |title| title).chars().take(60).collect();
        let line = format!(
            "\r\x1b[K{}/{} done, {} failed, {} running: {now}",
            state.done.len(),
            self.total,
            failed.count(),
            state.running.len(),
        );
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    /// Takes the changing line away.
    pub(crate) fn clear(&self) {
        if self.terminal {
            let _ = std::io::stderr().write_all(b"\r\x1b[K");
        }
    }

    /// The records so far, in the order of the cases.
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut done = self.state.lock().done.clone();
        done.sort_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, record)| record).collect()
    }
}
