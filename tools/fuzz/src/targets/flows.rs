//! The flow table, beside a list that is searched from end to end.

use crate::Choices;
use pfnl_datapath::action::Actions;
use pfnl_datapath::flow::Ufid;
use pfnl_datapath::key::{FlowKey, WORDS};
use pfnl_datapath::upcall::{Request, Upcall};
use pfnl_datapath::{Datapath, FlowName, Put, VecPacket};
use pfnl_platform::{Errno, Platform, User};

struct Nobody;

impl Upcall<User, VecPacket> for Nobody {
    fn upcall(
        &self,
        _: &Datapath<User, VecPacket, Nobody>,
        _: &<User as Platform>::Guard,
        _: &Request<'_, User, VecPacket>,
        _: &FlowKey,
        _: &VecPacket,
    ) -> Result<(), Errno> {
        Err(Errno::ENOTCONN)
    }
}

/// A flow of the model: key, mask, name.
type Entry = (FlowKey, FlowKey, Option<Ufid>);

/// Few words, few values: so that keys collide and masks overlap.
const AT: [usize; 5] = [0, 1, 5, 40, WORDS - 1];

fn key(c: &mut Choices) -> FlowKey {
    let mut key = FlowKey::ZERO;
    while c.more(2) {
        let at = *c.pick(&AT);
        key.words_mut()[at] = c.below(3) as u64;
    }
    key
}

fn mask(c: &mut Choices) -> FlowKey {
    let mut mask = FlowKey::ZERO;
    let bits = c.below(32);
    for (n, at) in AT.iter().enumerate() {
        if bits >> n & 1 == 1 {
            mask.words_mut()[*at] = *c.pick(&[3, 1, u64::MAX]);
        }
    }
    mask
}

fn name(c: &mut Choices) -> Option<Ufid> {
    let len = *c.pick(&[0, 1, 16]);
    (len > 0).then(|| Ufid::new(&vec![c.below(3) as u8; len])).flatten()
}

fn matches((key, mask, _): &Entry, packet: &FlowKey) -> bool {
    (0..WORDS).all(|n| (key.words()[n] ^ packet.words()[n]) & mask.words()[n] == 0)
}

fn is_called(entry: &Entry, ufid: Option<&Ufid>, key: &FlowKey) -> bool {
    match (&entry.2, ufid) {
        (Some(own), Some(ufid)) => own == ufid,
        (None, None) => entry.0 == *key,
        _ => false,
    }
}

/// The input is choices: flows put, removed, looked up, flushed.
///
/// # Errors
/// What does not hold.
pub fn flows(input: &[u8]) -> Result<(), String> {
    let mut c = Choices::replay(input);
    let datapath = Datapath::<User, VecPacket, Nobody>::try_new(Nobody).map_err(|errno| errno.to_string())?;
    let mut model: Vec<Entry> = Vec::new();
    while c.more(60) {
        match c.below(12) {
            0..=4 => {
                let (key, mask, ufid) = (key(&mut c), mask(&mut c), name(&mut c));
                let name = FlowName { ufid: ufid.as_ref(), key: &key };
                let put = datapath.put_flow(name, &mask, Actions::default(), true).map(|(_, put)| put);
                let called =
                    ufid.is_some() && model.iter().any(|entry| is_called(entry, ufid.as_ref(), &key));
                let taken = called || model.iter().any(|entry| matches(entry, &key));
                match put {
                    Ok(Put::Created) if !taken => model.push((key, mask, ufid)),
                    Err(Errno::EEXIST) if taken => {}
                    put => return Err(format!("put says {put:?}, and taken is {taken}")),
                }
            }
            5 | 6 if !model.is_empty() => {
                let at = c.below(model.len());
                let (key, _, ufid) = model.remove(at);
                let name = FlowName { ufid: ufid.as_ref(), key: &key };
                datapath.remove_flow(name).map_err(|errno| format!("a flow is not removed: {errno}"))?;
                if datapath.flow(name).is_ok() {
                    return Err("a removed flow is there".to_owned());
                }
            }
            7 => {
                let (key, ufid) = (key(&mut c), name(&mut c));
                let found = datapath.flow(FlowName { ufid: ufid.as_ref(), key: &key }).is_ok();
                if found != model.iter().any(|entry| is_called(entry, ufid.as_ref(), &key)) {
                    return Err(format!("by its name a flow is found: {found}"));
                }
            }
            8 if c.one_in(4) => {
                datapath.flush_flows();
                model.clear();
            }
            9 if c.one_in(4) => {
                datapath.reorder_masks();
                let _ = datapath.set_masks_cache_size(*c.pick(&[256, 0, 1, 4096]));
            }
            _ => {
                let key = key(&mut c);
                let section = User::enter();
                let found = datapath.lookup(&section, &key);
                if found.gave_up || found.flow.is_some() != model.iter().any(|entry| matches(entry, &key)) {
                    return Err(format!("a packet's flow is found: {}", found.flow.is_some()));
                }
                if found.flow.is_some_and(|flow| !flow.matches(&key)) {
                    return Err("a flow is found that does not match".to_owned());
                }
            }
        }
        let mut masks: Vec<_> = model.iter().map(|entry| *entry.1.words()).collect();
        masks.sort_unstable();
        masks.dedup();
        let stats = datapath.stats();
        if (stats.flows, stats.masks as usize) != (model.len() as u64, masks.len()) {
            return Err(format!("{stats:?}, with {} flows and {} masks", model.len(), masks.len()));
        }
    }
    Ok(())
}
