//! Pointers that lead nowhere: EFAULT, and nothing else happens.

use super::Table;
use crate::message::ping;
use crate::say;
use crate::say::{outcome, port};
use crate::sock::Sock;
use crate::sys::wild::{self, Place};

pub fn fill(table: &mut Table) {
    for place in [Place::Null, Place::Nowhere] {
        table.add(format!("pointer/{place:?}"), move || {
            let a = Sock::at("a", port(1));
            for (name, result) in wild::calls(a.raw(), place) {
                say!("{name}: {}", outcome(&result));
            }
            a.send("a ping", &ping(1));
            a.drain();
        });
        for which in 0..6 {
            table.add(format!("pointer/{place:?}-receiving-{which}"), move || {
                let a = Sock::at("a", port(1));
                a.send("a ping", &ping(1));
                a.send("a ping", &ping(2));
                say!("{}", outcome(&wild::receiving(a.raw(), place, which)));
                a.drain();
            });
        }
    }
}
