//! The scenarios, by subject.

mod acks;
mod addresses;
mod batches;
mod dumps;
mod nlctrl;
mod opening;
mod options;
mod privilege;
mod queues;
mod receiving;
mod sending;
pub mod sharing;
mod users;

type Scenario = Box<dyn Fn()>;

/// All scenarios, in order.
#[derive(Default)]
pub struct Table(Vec<(String, Scenario)>);

impl Table {
    pub fn whole() -> Table {
        let mut table = Table::default();
        for fill in [
            opening::fill,
            addresses::fill,
            sending::fill,
            receiving::fill,
            options::fill,
            acks::fill,
            batches::fill,
            nlctrl::fill,
            dumps::fill,
            users::fill,
            queues::fill,
            sharing::fill,
            privilege::fill,
        ] {
            fill(&mut table);
        }
        table
    }

    /// Adds a scenario.
    pub fn add(&mut self, name: impl Into<String>, run: impl Fn() + 'static) {
        self.0.push((name.into(), Box::new(run)));
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    pub fn find(&self, name: &str) -> Option<&Scenario> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, run)| run)
    }
}
