//! Scripts, played to a pfnl in this process.

use crate::script::{Limits, script};
use crate::world::World;
use crate::{Choices, NoHints, ovs};

/// The input is choices: a script over all families, with packets.
///
/// # Errors
/// What does not hold.
pub fn world(input: &[u8]) -> Result<(), String> {
    let world = World::new();
    let mut c = Choices::replay(input);
    let acts = script(world.families(), &ovs::OVS, Limits::default(), &mut c);
    world.play(&acts)
}

/// The input is choices: a script for sockets, with nlctrl alone.
///
/// # Errors
/// What does not hold.
pub fn sockets(input: &[u8]) -> Result<(), String> {
    let world = World::new();
    let mut c = Choices::replay(input);
    let families: Vec<_> =
        world.families().iter().filter(|family| family.name == "nlctrl").cloned().collect();
    let limits = Limits { acts: 100, sockets: 5, packets: false, datapath: false };
    let acts = script(&families, &NoHints, limits, &mut c);
    world.play(&acts)
}
