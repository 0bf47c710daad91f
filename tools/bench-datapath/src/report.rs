//! The table at the end: what was measured, and how it stands to its target.

/// Rows so far.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

struct Row {
    what: String,
    value: f64,
    /// (whether more is better, the target)
    target: Option<(bool, f64)>,
    detail: String,
}

impl Report {
    /// A figure that is to be at least `target`.
    pub fn at_least(&mut self, what: &str, value: f64, target: f64, detail: String) {
        self.rows.push(Row { what: what.to_owned(), value, target: Some((true, target)), detail });
    }

    /// A figure that is to be at most `target`.
    pub fn at_most(&mut self, what: &str, value: f64, target: f64, detail: String) {
        self.rows.push(Row { what: what.to_owned(), value, target: Some((false, target)), detail });
    }

    /// A figure without a target.
    pub fn plain(&mut self, what: &str, value: f64, detail: String) {
        self.rows.push(Row { what: what.to_owned(), value, target: None, detail });
    }

    /// Prints all rows; whether all targets are met.
    pub fn print(&self) -> bool {
        println!("{:<58} {:>12} {:>12}         ", "measured", "value", "target");
        let mut all = true;
        for Row { what, value, target, detail } in &self.rows {
            let (target, verdict) = match target {
                None => (String::new(), ""),
                Some((more, target)) => {
                    let met = if *more { value >= target } else { value <= target };
                    all &= met;
                    (
                        format!("{} {target}", if *more { "≥" } else { "≤" }),
                        if met { "met" } else { "NOT MET" },
                    )
                }
            };
            println!("{what:<58} {value:>12.2} {target:>12} {verdict:<8} {detail}");
        }
        all
    }
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Medians of each row's values, and of each row's ratio to the first row's value of the same round.
pub fn ratios(of: &[f64], to: &[f64]) -> f64 {
    median(&of.iter().zip(to).map(|(a, b)| a / b).collect::<Vec<_>>())
}
