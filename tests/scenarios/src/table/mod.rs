//! The scenarios, by subject.

mod acks;
mod addresses;
mod batches;
#[cfg(target_os = "linux")]
mod descriptors;
mod dumps;
#[cfg(target_os = "linux")]
mod filters;
#[cfg(target_os = "linux")]
mod flags;
mod nlctrl;
mod opening;
mod options;
#[cfg(target_os = "linux")]
mod pointers;
mod privilege;
mod queues;
mod random;
mod receiving;
mod sending;
pub mod sharing;
#[cfg(target_os = "linux")]
mod socket_level;
mod users;
#[cfg(target_os = "linux")]
mod waiting;

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
            random::fill,
        ] {
            fill(&mut table);
        }
        table.add_linuxs();
        table
    }

    /// What only Linux has: its numbers, its calls.
    #[cfg(target_os = "linux")]
    fn add_linuxs(&mut self) {
        for fill in
            [socket_level::fill, flags::fill, filters::fill, descriptors::fill, waiting::fill, pointers::fill]
        {
            fill(self);
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn add_linuxs(&mut self) {}

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
