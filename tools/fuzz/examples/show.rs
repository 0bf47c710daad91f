//! Shows the script that an input of the target `world` or `sockets` stands for: `show TARGET HEX`.

use pfnl_fuzz::script::{Limits, script};
use pfnl_fuzz::{Choices, NoHints, ovs, world::World};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (target, hex) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    let digits = |at: usize| u8::from_str_radix(hex.get(at..at + 2).unwrap_or("00"), 16).unwrap_or(0);
    let bytes: Vec<_> = (0..hex.len()).step_by(2).map(digits).collect();
    let world = World::new();
    let mut c = Choices::replay(&bytes);
    let acts = match target.as_str() {
        "sockets" => {
            let limits = Limits { acts: 100, sockets: 5, packets: false, datapath: false };
            let families: Vec<_> =
                world.families().iter().filter(|family| family.name == "nlctrl").cloned().collect();
            script(&families, &NoHints, limits, &mut c)
        }
        _ => script(world.families(), &ovs::Ovs, Limits::default(), &mut c),
    };
    acts.iter().for_each(|act| println!("{act:?}"));
    println!("{:?}", world.play(&acts));
}
