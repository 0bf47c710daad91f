//! Shrinks a target's input and shows it: `case TARGET FILE`. The smaller one is written beside it, as FILE.small; put
//! into fuzz/found/TARGET it is a regression test.

use pfnl_fuzz::script::{Limits, script};
use pfnl_fuzz::targets::{ALL, Target};
use pfnl_fuzz::{Choices, NoHints, ovs, shrink, world::World};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn outcome(target: Target, input: &[u8]) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| target(input))).unwrap_or_else(|_| Err("it panicked".to_owned()))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (name, file) = (arguments.next().ok_or("TARGET FILE")?, arguments.next().ok_or("TARGET FILE")?);
    let (_, target) = ALL.into_iter().find(|(other, _)| *other == name).ok_or("no such target")?;
    let input = std::fs::read(&file)?;
    let first = outcome(target, &input);
    println!("{name}, {} bytes: {first:?}", input.len());
    if first.is_err() {
        std::panic::set_hook(Box::new(|_| {}));
        let small = shrink(&input, 20_000, |bytes| outcome(target, bytes).is_err());
        let _ = std::panic::take_hook();
        println!("{} bytes are enough: {small:02x?}", small.len());
        show(&name, &small);
        println!("{:?}", outcome(target, &small));
        std::fs::write(format!("{file}.small"), small)?;
    } else {
        show(&name, &input);
    }
    Ok(())
}

/// What choices stand for, where that can be said.
fn show(name: &str, input: &[u8]) {
    let world = World::new();
    let mut c = Choices::replay(input);
    let acts = match name {
        "sockets" => {
            let limits = Limits { acts: 100, sockets: 5, packets: false, datapath: false };
            let families: Vec<_> =
                world.families().iter().filter(|family| family.name == "nlctrl").cloned().collect();
            script(&families, &NoHints, limits, &mut c)
        }
        "world" => script(world.families(), &ovs::OVS, Limits::default(), &mut c),
        "odp" => return println!("{:?}", String::from_utf8_lossy(input)),
        _ => return,
    };
    acts.iter().for_each(|act| println!("{act:?}"));
}
