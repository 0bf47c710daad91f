//! The table against a list that is searched from end to end.

use super::*;
use crate::key::WORDS;
use alloc::vec::Vec;
use pfnl_platform::User;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A flow of the model: key, mask, name.
type Entry = (FlowKey, FlowKey, Option<Ufid>);

#[derive(Clone, Debug)]
enum Op {
    Insert { key: FlowKey, mask: usize, ufid: Option<Ufid> },
    Remove(usize),
    Lookup(FlowKey),
    Flush,
}

/// Few words, few values: so that keys collide and masks overlap.
fn any_key() -> impl Strategy<Value = FlowKey> {
    prop::collection::vec((prop_oneof![Just(0), Just(1), Just(5), Just(40), Just(WORDS - 1)], 0u64..3), 0..4)
        .prop_map(|words| {
            let mut key = FlowKey::ZERO;
            words.into_iter().for_each(|(at, word)| key.words_mut()[at] = word);
            key
        })
}

fn masks() -> [FlowKey; 6] {
    [&[][..], &[0], &[0, 1], &[5, 40], &[WORDS - 1], &[0, 1, 5, 40, WORDS - 1]].map(|words| {
        let mut mask = FlowKey::ZERO;
        words.iter().for_each(|&at| mask.words_mut()[at] = 3);
        mask
    })
}

fn any_op() -> impl Strategy<Value = Op> {
    let ufid = prop_oneof![
        Just(None),
        prop::collection::vec(0u8..3, 1..3).prop_map(|bytes| Ufid::new(&bytes)),
        any::<[u8; 16]>().prop_map(|bytes| Ufid::new(&bytes)),
    ];
    prop_oneof![
        8 => (any_key(), 0..6usize, ufid).prop_map(|(key, mask, ufid)| Op::Insert { key, mask, ufid }),
        4 => any::<usize>().prop_map(Op::Remove),
        8 => any_key().prop_map(Op::Lookup),
        1 => Just(Op::Flush),
    ]
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_table_answers_as_a_list_does(ops in prop::collection::vec(any_op(), 1..120)) {
        let (table, mut writer) = (Table::<User>::try_new().unwrap(), Writer::new());
        let mut model: Vec<Entry> = Vec::new();
        let section = User::enter();
        for op in ops {
            match op {
                Op::Insert { key, mask, ufid } => {
                    let mask = masks()[mask].clone();
                    // What the datapath rules out: two flows of one name, or that one packet's key would both match.
                    let taken = model.iter().any(|e| is_called(e, ufid.as_ref(), &key) || matches(e, &key));
                    let found = table.find(&section, ufid.as_ref(), &key).is_some()
                        || table.search(&section, &key).is_some();
                    prop_assert_eq!(taken, found);
                    if !taken {
                        table.insert(&mut writer, &key, &mask, ufid.as_ref(), Actions::default()).unwrap();
                        model.push((key, mask, ufid));
                    }
                }
                Op::Remove(n) if !model.is_empty() => {
                    let (key, _, ufid) = model.remove(n % model.len());
                    let flow = table.find(&section, ufid.as_ref(), &key).unwrap().clone();
                    table.remove(&mut writer, &flow).unwrap();
                    prop_assert!(table.find(&section, ufid.as_ref(), &key).is_none());
                    prop_assert_eq!(table.remove(&mut writer, &flow), Err(Errno::ENOENT));
                }
                Op::Remove(_) => {}
                Op::Lookup(key) => {
                    let Found { flow: found, tried, .. } = table.lookup(&section, &key, usize::MAX);
                    prop_assert_eq!(found.is_some(), model.iter().any(|e| matches(e, &key)));
                    if let Some(flow) = found {
                        // One of those that match: which, is not said.
                        let (mut own, mask) = (FlowKey::ZERO, mask_of(flow));
                        flow.key(&mut own);
                        prop_assert!(model.iter().any(|e| matches(e, &key) && e.1 == mask && masked(e) == own));
                    }
                    prop_assert!(tried as usize <= table.masks(&section));
                }
                Op::Flush => {
                    table.flush(&mut writer);
                    model.clear();
                }
            }
            prop_assert_eq!(table.flows(), model.len());
            let masks: BTreeSet<_> = model.iter().map(|e| *e.1.words()).collect();
            prop_assert_eq!(table.masks(&section), masks.len());
            prop_assert_eq!(walk(&table, &section).len(), model.len());
        }
    }
}

fn mask_of(flow: &Flow<User>) -> FlowKey {
    let mut mask = FlowKey::ZERO;
    flow.mask().expand(&mut mask);
    mask
}

fn masked((key, mask, _): &Entry) -> FlowKey {
    let mut own = key.clone();
    own.words_mut().iter_mut().zip(mask.words()).for_each(|(word, bits)| *word &= bits);
    own
}

fn walk(table: &Table<User>, section: &<User as Platform>::Guard) -> Vec<u64> {
    let mut cursor = Cursor::default();
    core::iter::from_fn(|| table.next(section, &mut cursor).map(|flow| flow.serial)).collect()
}

fn port(n: u32) -> FlowKey {
    FlowKey { in_port: n, ..FlowKey::ZERO }
}

fn insert(table: &Table<User>, writer: &mut Writer, n: u32) -> Shared<Flow<User>> {
    let mask = FlowKey { in_port: u32::MAX, ..FlowKey::ZERO };
    table.insert(writer, &port(n), &mask, None, Actions::default()).unwrap()
}

#[test]
fn a_walk_meets_what_stays_exactly_once_whatever_else_happens() {
    let (table, mut writer) = (Table::<User>::try_new().unwrap(), Writer::new());
    let stay: BTreeSet<u64> = (0..300).map(|n| insert(&table, &mut writer, n).serial).collect();
    let mut gone: Vec<_> = (300..600).map(|n| insert(&table, &mut writer, n)).collect();
    let (mut cursor, mut met) = (Cursor::default(), Vec::new());
    let section = User::enter();
    let mut n = 600;
    while let Some(flow) = table.next(&section, &mut cursor) {
        met.push(flow.serial);
        // Meanwhile the table grows through several sizes, and shrinks.
        if n < 4000 {
            (0..10).for_each(|i| drop(insert(&table, &mut writer, n + i)));
            n += 10;
        }
        if let Some(flow) = gone.pop() {
            table.remove(&mut writer, &flow).unwrap();
        }
    }
    let unique: BTreeSet<_> = met.iter().copied().collect();
    assert_eq!(unique.len(), met.len());
    assert!(unique.is_superset(&stay));
}

#[test]
fn readers_go_on_while_a_writer_works() {
    let table = Table::<User>::try_new().unwrap();
    let mut writer = Writer::new();
    insert(&table, &mut writer, 0);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = 0;
                    loop {
                        let section = User::enter();
                        // Flow 0 is always there; the last one tells that all is over.
                        assert!(table.lookup(&section, &port(0), usize::MAX).flow.is_some());
                        assert_eq!(
                            table
                                .lookup(&section, &port(777), usize::MAX)
                                .flow
                                .map(|flow| flow.matches(&port(777))),
                            {
                                seen += 1;
                                table.lookup(&section, &port(777), usize::MAX).flow.map(|_| true)
                            }
                        );
                        if table.lookup(&section, &port(u32::MAX), usize::MAX).flow.is_some() {
                            return seen;
                        }
                    }
                })
            })
            .collect();
        for _ in 0..30 {
            let flows: Vec<_> = (1..100).map(|n| insert(&table, &mut writer, n)).collect();
            flows.iter().for_each(|flow| table.remove(&mut writer, flow).unwrap());
        }
        insert(&table, &mut writer, u32::MAX);
        assert!(readers.into_iter().all(|reader| reader.join().unwrap() > 0));
    });
}

#[test]
fn masks_that_are_hit_come_first() {
    let (table, mut writer) = (Table::<User>::try_new().unwrap(), Writer::new());
    table.resize_cache(&mut writer, 0).unwrap();
    let section = User::enter();
    for n in 1..=10u32 {
        let mask = FlowKey { skb_mark: u32::MAX, recirc_id: n, ..FlowKey::ZERO };
        let key = FlowKey { skb_mark: n, ..FlowKey::ZERO };
        table.insert(&mut writer, &key, &mask, None, Actions::default()).unwrap();
    }
    let last = FlowKey { skb_mark: 10, ..FlowKey::ZERO };
    assert_eq!(table.lookup(&section, &last, usize::MAX).tried, 10);
    writer.reordered = 0;
    table.reorder(&mut writer, &section);
    assert_eq!(table.lookup(&section, &last, usize::MAX).tried, 1);
    // Not again at once.
    let other = FlowKey { skb_mark: 9, ..FlowKey::ZERO };
    let before = table.lookup(&section, &other, usize::MAX).tried;
    table.reorder(&mut writer, &section);
    assert_eq!(table.lookup(&section, &other, usize::MAX).tried, before);
}

#[test]
fn the_cache_knows_the_mask_of_a_connection() {
    let (table, mut writer) = (Table::<User>::try_new().unwrap(), Writer::new());
    let section = User::enter();
    let add = |writer: &mut Writer, n: u32| {
        let mask = FlowKey { skb_mark: u32::MAX, recirc_id: n, ..FlowKey::ZERO };
        let key = FlowKey { skb_mark: n, ..FlowKey::ZERO };
        table.insert(writer, &key, &mask, None, Actions::default()).unwrap()
    };
    let flows: Vec<_> = (1..=10).map(|n| add(&mut writer, n)).collect();
    let look = |mark: u32, src: u8| {
        let key = FlowKey { skb_mark: mark, ipv4_src: [src; 4], ..FlowKey::ZERO };
        let found = table.lookup(&section, &key, usize::MAX);
        (found.flow.map(|flow| flow.serial), found.tried, found.cached)
    };
    assert_eq!(look(10, 1), (Some(10), 10, false));
    assert_eq!(look(10, 1), (Some(10), 1, true));
    assert_eq!(look(10, 2), (Some(10), 10, false), "another connection");
    // What looks like that connection and is of another flow: one mask in vain, then all others.
    assert_eq!(look(3, 1), (Some(3), 4, false));
    assert_eq!(look(3, 1), (Some(3), 1, true));
    assert_eq!(look(99, 1), (None, 10, false));
    let few = table.lookup(&section, &FlowKey { skb_mark: 9, ..FlowKey::ZERO }, 8);
    assert_eq!((few.flow.is_some(), few.tried, few.gave_up), (false, 8, true));
    let enough = table.lookup(&section, &FlowKey { skb_mark: 9, ..FlowKey::ZERO }, 9);
    assert_eq!((enough.flow.is_some(), enough.tried, enough.gave_up), (true, 9, false));
    // A mask that goes takes nobody along.
    table.remove(&mut writer, &flows[2]).unwrap();
    assert_eq!(look(3, 1).0, None);
    assert_eq!(look(10, 2).0, Some(10));
    table.flush(&mut writer);
    assert_eq!(look(10, 2), (None, 0, false));
}

#[test]
fn an_index_grows_and_shrinks_with_its_flows() {
    let (table, mut writer) = (Table::<User>::try_new().unwrap(), Writer::new());
    let section = User::enter();
    let mut flows: Vec<_> = (0..20_000).map(|n| insert(&table, &mut writer, n)).collect();
    assert!((0..20_000).all(|n| table.lookup(&section, &port(n), usize::MAX).flow.is_some()));
    for n in (3..20_000u32).rev() {
        table.remove(&mut writer, &flows.pop().unwrap()).unwrap();
        assert!(table.lookup(&section, &port(n), usize::MAX).flow.is_none());
    }
    assert!((0..3).all(|n| table.lookup(&section, &port(n), usize::MAX).flow.is_some()));
    assert_eq!(walk(&table, &section).len(), 3);
}

#[test]
fn there_is_an_end_to_masks() {
    let (table, mut writer) = (Table::<User>::try_new().unwrap(), Writer::new());
    let mut insert = |n: u32| {
        let (key, mask) =
            (FlowKey { skb_mark: n, ..FlowKey::ZERO }, FlowKey { skb_mark: n, ..FlowKey::ZERO });
        table.insert(&mut writer, &key, &mask, None, Actions::default()).map(|_| ())
    };
    for n in 0..MAX_MASKS as u32 {
        insert(n).unwrap();
    }
    assert_eq!(insert(MAX_MASKS as u32), Err(Errno::ENOSPC));
    assert_eq!((table.flows(), table.masks(&User::enter())), (MAX_MASKS, MAX_MASKS));
}

#[test]
fn a_flow_is_small() {
    assert!(size_of::<Flow<User>>() <= 256, "{}", size_of::<Flow<User>>());
}
