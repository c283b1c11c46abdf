//! Runs a check on input after input.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::random::Random;
use crate::{binary, tree};

/// Inputs of a run for which no time is said: as many on a busy machine as on a quick one.
const INPUTS: usize = if cfg!(test) { 100_000 } else { 250 };
/// A check that takes more processor time fails; it is without optimisation.
const SLOW: Duration = Duration::from_secs(5);
/// A check that takes longer is taken to be endless, and the process is ended.
const ENDLESS: Duration = Duration::from_secs(60);
/// Most of what the process may ever have kept in memory, in kB.
const MEMORY: u64 = 2 << 20;
/// Inputs that are mutated further.
const POOL: usize = 512;

/// Checks mutations of `seeds`, of which `words` become parts. The check says whether it took
/// the input.
pub fn bytes(seeds: &[&[u8]], words: &[&[u8]], mut check: impl FnMut(&[u8]) -> bool) {
    let seeds = seeds.iter().map(|seed| seed.to_vec()).collect();
    let show = |input: &Vec<u8>| format!("b\"{}\"", input.escape_ascii());
    let mutate = |random: &mut Random, pool: &[Vec<u8>]| binary::mutated(random, pool, words);
    run(seeds, mutate, show, |input| check(input));
}

/// The same of text.
pub fn text(seeds: &[&str], words: &[&str], mut check: impl FnMut(&str) -> bool) {
    let seeds: Vec<&[u8]> = seeds.iter().map(|seed| seed.as_bytes()).collect();
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    bytes(&seeds, &words, |input| check(&String::from_utf8_lossy(input)));
}

/// The same of JSON values.
pub fn values(seeds: &[Value], mut check: impl FnMut(&Value) -> bool) {
    let show = |input: &Value| input.to_string();
    run(seeds.to_vec(), tree::mutated, show, |input| check(input));
}

fn variable<T: std::str::FromStr<Err: Debug>>(name: &str) -> Option<T> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn run<T: Clone + Send + 'static>(
    seeds: Vec<T>,
    mutate: impl Fn(&mut Random, &[T]) -> T,
    show: impl Fn(&T) -> String + Copy + Send + 'static,
    mut check: impl FnMut(&T) -> bool,
) {
    let seconds = variable("FUZZ_SECONDS").map(Duration::from_secs);
    let seed = variable("FUZZ_SEED").unwrap_or_else(|| match seconds {
        None => 1,
        Some(_) => {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64)
        }
    });
    let mut random = Random::new(seed);
    let told = move |input: &T, what: &str| {
        let shown = show(input);
        let shown: String = shown.chars().take(20_000).collect();
        eprintln!("FUZZ_SEED={seed}: {what}: {shown}");
    };
    let present = Arc::new(Mutex::new((0_u64, seeds[0].clone())));
    let (_over, ended) = mpsc::channel::<()>();
    let watched = Arc::clone(&present);
    std::thread::spawn(move || watch(&watched, &ended, told));

    let end = seconds.map(|seconds| Instant::now() + seconds);
    let mut pool = seeds.clone();
    let mut first = seeds.into_iter();
    for number in 0.. {
        if end.map_or(number >= INPUTS, |end| Instant::now() >= end) {
            break;
        }
        let (input, mutant) = match first.next() {
            Some(seed) => (seed, false),
            None => (mutate(&mut random, &pool), true),
        };
        {
            let mut present = present.lock().unwrap_or_else(PoisonError::into_inner);
            *present = (present.0 + 1, input.clone());
        }
        let begun = processor_time();
        let taken = match catch_unwind(AssertUnwindSafe(|| check(&input))) {
            Ok(taken) => taken,
            Err(panic) => {
                told(&input, "fails");
                resume_unwind(panic);
            }
        };
        // A busy machine or disk is not the check's fault.
        let took = processor_time().saturating_sub(begun);
        if took > SLOW {
            told(&input, "takes long");
            panic!("an input took {took:?}");
        }
        if taken && mutant && random.once_in(4) {
            if pool.len() < POOL {
                pool.push(input);
            } else {
                let place = random.below(POOL);
                pool[place] = input;
            }
        }
    }
    let peak = peak_memory();
    assert!(peak < MEMORY, "{peak} kB were in memory at some time");
}

/// Ends the process when one input is never done with.
fn watch<T: Clone>(present: &Mutex<(u64, T)>, ended: &mpsc::Receiver<()>, told: impl Fn(&T, &str)) {
    let mut before = 0;
    while ended.recv_timeout(ENDLESS) == Err(mpsc::RecvTimeoutError::Timeout) {
        let (number, input) = present.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if number == before {
            told(&input, "does not end");
            std::process::abort();
        }
        before = number;
    }
}

/// Processor time of this thread.
fn processor_time() -> Duration {
    let now = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID.now();
    now.expect("the kernel keeps the time of threads").into()
}

/// Most memory the process had, in kB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("/proc/self/status has VmHWM")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn faults_are_found() {
        let found = std::panic::catch_unwind(|| {
            super::bytes(&[b"abc"], &[b"bug"], |input| {
                assert!(!input.windows(3).any(|part| part == b"bug"));
                true
            });
        });
        assert!(found.is_err());
        let found = std::panic::catch_unwind(|| {
            super::values(&[json!({"a": [1, {"b": "c"}]})], |value| {
                assert!(value["a"][1]["b"] != "x");
                true
            });
        });
        assert!(found.is_err());
    }
}
