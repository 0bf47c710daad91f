//! Measuring in turns: on a machine whose speed moves from minute to minute only what ran side by side compares.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How long a turn is.
const TURN: Duration = Duration::from_millis(2);

/// Something to be measured.
pub struct Case<'a> {
    name: &'static str,
    run: Box<dyn FnMut() + 'a>,
    /// Nanoseconds for one run, a number for each turn.
    times: Vec<f64>,
}

impl<'a> Case<'a> {
    /// A case by its name, and what is done once.
    pub fn new(name: &'static str, run: impl FnMut() + 'a) -> Case<'a> {
        Case { name, run: Box::new(run), times: Vec::new() }
    }
}

/// What was measured.
pub struct Times(Vec<(&'static str, Vec<f64>)>);

impl Times {
    /// The medians, in nanoseconds.
    pub fn medians(&self) -> impl Iterator<Item = (&'static str, f64)> {
        self.0.iter().map(|(name, times)| (*name, median(times.clone())))
    }

    /// How much longer one took than another: the median of the rounds' ratios. `None` if one of them was left out.
    pub fn ratio(&self, one: &str, other: &str) -> Option<f64> {
        let of = |wanted| self.0.iter().find(|(name, _)| *name == wanted).map(|(_, times)| times);
        Some(median(of(one)?.iter().zip(of(other)?).map(|(one, other)| one / other).collect()))
    }
}

/// Runs the cases in turns.
pub fn measure(mut cases: Vec<Case<'_>>, rounds: usize) -> Times {
    // A first round to warm up and to see how many runs make a turn.
    let counts: Vec<u64> = cases.iter_mut().map(|case| calibrate(&mut case.run)).collect();
    for _ in 0..rounds {
        for (case, &count) in cases.iter_mut().zip(&counts) {
            case.times.push(turn(&mut case.run, count).as_nanos() as f64 / count as f64);
        }
    }
    Times(cases.into_iter().map(|case| (case.name, case.times)).collect())
}

fn calibrate(run: &mut dyn FnMut()) -> u64 {
    let mut count = 1;
    while turn(run, count) < TURN {
        count *= 2;
    }
    count
}

/// The processor's time for so many runs: what other programs take meanwhile is not ours.
fn turn(run: &mut dyn FnMut(), count: u64) -> Duration {
    let began = processor_time();
    for _ in 0..count {
        run();
    }
    processor_time() - began
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// The middle one.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
