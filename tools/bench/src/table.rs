//! The table: ratios, targets, verdicts.

/// Ratios against their targets, as they come.
#[derive(Default)]
pub struct Table {
    missed: usize,
}

impl Table {
    /// A heading.
    pub fn heading(&self, text: &str) {
        println!("\n{text}");
    }

    /// A number without a target.
    pub fn note(&self, name: &str, value: f64, unit: &str) {
        println!("  {name:<46} {value:>12.1} {unit}");
    }

    /// A ratio that is to be at most so much.
    pub fn at_most(&mut self, name: &str, ratio: f64, target: f64) {
        self.row(name, ratio, "<=", target, ratio <= target);
    }

    /// A ratio that is to be at least so much.
    pub fn at_least(&mut self, name: &str, ratio: f64, target: f64) {
        self.row(name, ratio, ">=", target, ratio >= target);
    }

    fn row(&mut self, name: &str, ratio: f64, sign: &str, target: f64, good: bool) {
        self.missed += usize::from(!good);
        let verdict = if good { "ok" } else { "MISSED" };
        println!("  {name:<46} {ratio:>12.2} x   target {sign} {target:<5} {verdict}");
    }

    /// How many targets were missed.
    pub fn missed(&self) -> usize {
        self.missed
    }
}
