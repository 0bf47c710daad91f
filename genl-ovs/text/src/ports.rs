//! Ports by number and by name.

use std::collections::BTreeMap;

/// The names of a datapath's ports, for text that uses them instead of numbers. With none, all is numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    names: BTreeMap<u32, String>,
    numbers: BTreeMap<String, u32>,
}

impl Ports {
    /// The name of a port.
    pub fn name(&self, number: u32) -> Option<&str> {
        self.names.get(&number).map(String::as_str)
    }

    /// The number of a port.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// Appends the name of a port, or its number if it has none.
    pub(crate) fn print(&self, out: &mut String, number: u32) {
        match self.name(number) {
            Some(name) => out.push_str(name),
            None => out.push_str(&number.to_string()),
        }
    }
}

impl FromIterator<(u32, String)> for Ports {
    fn from_iter<I: IntoIterator<Item = (u32, String)>>(ports: I) -> Ports {
        let names: BTreeMap<u32, String> = ports.into_iter().collect();
        let numbers = names.iter().map(|(&number, name)| (name.clone(), number)).collect();
        Ports { names, numbers }
    }
}
