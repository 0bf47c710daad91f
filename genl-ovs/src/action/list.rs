//! Lists, and lists inside them: SAMPLE, CLONE, CHECK_PKT_LEN and DEC_TTL hold others, [`MAX_DEPTH`] deep. That is too deep
//! for a kernel's stack, so the lists that are open stand on the heap.
//!
//! Linux takes these four apart and puts them together again for a dump: their parts come back in its order, whatever
//! the order they came in.

use super::dump::Dump;
use super::{Flow, INVALID, Shape, ct, ensure, mute};
use alloc::vec::Vec;
use core::mem;
use pfnl_datapath::action::{Action, Actions, CheckPktLen, MAX_DEPTH};
use pfnl_platform::{try_box, try_push};
use pfnl_proto::ovs::{action, check_pkt_len, dec_ttl, sample};
use pfnl_proto::{Attr, Attrs, Errno, Error, Len, Level};

/// The walk through a list and all inside it.
pub(super) struct Lists<'a> {
    flow: Flow,
    /// The list being read.
    list: List<'a>,
    /// Those it stands in, the outermost first.
    around: Vec<Around<'a>>,
    dump: Dump,
}

struct List<'a> {
    rest: Attrs<'a>,
    shape: Shape,
    actions: Vec<Action>,
    /// Where in the dump it starts.
    start: usize,
}

struct Around<'a> {
    list: List<'a>,
    holder: Holder<'a>,
}

/// The action that waits for a list.
enum Holder<'a> {
    Sample { probability: u32 },
    Clone,
    LessEqual { len: u16, greater: Attrs<'a> },
    Greater { len: u16, less_equal: Vec<Action> },
    DecTtl,
}

impl<'a> Lists<'a> {
    pub fn new(flow: Flow, attrs: Attrs<'a>) -> Lists<'a> {
        let list = List { rest: attrs, shape: flow.shape, actions: Vec::new(), start: 0 };
        Lists { flow, list, around: Vec::new(), dump: Dump::default() }
    }

    pub fn compile(mut self) -> Result<Actions, Error> {
        loop {
            while let Some(attr) = self.list.rest.next() {
                self.action(&attr)?;
            }
            ensure(self.list.rest.leftover() == 0)?;
            self.show()?;
            let Some(around) = self.around.pop() else { break };
            self.leave(around)?;
        }
        Ok(Actions::try_new(self.list.actions, self.dump.finish())?)
    }

    /// A list is whole: who is sent a packet from it may be told of it, and of nothing around it.
    fn show(&mut self) -> Result<(), Error> {
        let place = |at: usize| u32::try_from(at).map_err(|_| Errno::EMSGSIZE);
        let (start, end) = (place(self.list.start)?, place(self.dump.len())?);
        for action in &mut self.list.actions {
            if let Action::Userspace(to) = action
                && let Some(shown) = &mut to.actions
            {
                *shown = start..end;
            }
        }
        Ok(())
    }

    fn action(&mut self, attr: &Attr<'a>) -> Result<(), Error> {
        check_len(attr)?;
        match attr.number() {
            action::SAMPLE => self.sample(attr.attrs()),
            action::CLONE => self.clone(attr.attrs()),
            action::CHECK_PKT_LEN => self.check_pkt_len(attr.attrs()),
            action::DEC_TTL => self.dec_ttl(attr.attrs()),
            action::SET | action::SET_MASKED => {
                let set = self.flow.set(self.list.shape, attr, &mut self.dump)?;
                Ok(try_push(&mut self.list.actions, set)?)
            }
            action::CT => {
                let ct = ct::compile(self.flow.shape, self.flow.ip_proto, attr, &mut self.dump)?;
                Ok(try_push(&mut self.list.actions, ct)?)
            }
            number => {
                let is_last = self.list.rest.leftover() == 0;
                let action = self.flow.plain(&mut self.list.shape, attr, is_last)?;
                self.dump.attr(number, attr.payload())?;
                Ok(try_push(&mut self.list.actions, action)?)
            }
        }
    }

    /// SAMPLE: { PROBABILITY 0x80000000, ACTIONS: { OUTPUT 2 } }
    fn sample(&mut self, attrs: Attrs<'a>) -> Result<(), Error> {
        let sample = sample::View::parse(attrs, Level::Exact)?;
        let probability = sample.probability().ok_or(INVALID)?;
        let actions = sample.actions().ok_or(INVALID)?;
        self.dump.open(action::SAMPLE)?;
        self.dump.attr(sample::PROBABILITY, &probability.to_ne_bytes())?;
        self.dump.open(sample::ACTIONS)?;
        self.enter(Holder::Sample { probability }, actions)
    }

    /// CLONE: { OUTPUT 2 }
    fn clone(&mut self, actions: Attrs<'a>) -> Result<(), Error> {
        self.dump.open(action::CLONE)?;
        self.enter(Holder::Clone, actions)
    }

    /// CHECK_PKT_LEN: { PKT_LEN 200, ACTIONS_IF_LESS_EQUAL: { OUTPUT 3 }, ACTIONS_IF_GREATER: { OUTPUT 2 } }
    fn check_pkt_len(&mut self, attrs: Attrs<'a>) -> Result<(), Error> {
        let check = check_pkt_len::View::parse(attrs, Level::Liberal).map_err(mute)?;
        // An integer that is too long passes, as in old commands; nothing else that is odd does.
        let mut every = attrs;
        ensure(every.all(|attr| check_pkt_len::TABLE.row(attr.number()).is_some()))?;
        ensure(check.0.warning().is_none())?;
        let len = check.pkt_len().filter(|&len| len != 0).ok_or(INVALID)?;
        let greater = check.actions_if_greater().ok_or(INVALID)?;
        let less_equal = check.actions_if_less_equal().ok_or(INVALID)?;
        self.dump.open(action::CHECK_PKT_LEN)?;
        self.dump.attr(check_pkt_len::PKT_LEN, &len.to_ne_bytes())?;
        self.dump.open(check_pkt_len::ACTIONS_IF_LESS_EQUAL)?;
        self.enter(Holder::LessEqual { len, greater }, less_equal)
    }

    /// DEC_TTL: { ACTION: { OUTPUT 1 } }; numbers that are not known yet are left out.
    fn dec_ttl(&mut self, attrs: Attrs<'a>) -> Result<(), Error> {
        let mut found = None;
        let mut rest = attrs;
        for attr in rest.by_ref() {
            match attr.number() {
                dec_ttl::ACTION if found.is_none() => found = Some(attr.attrs()),
                0 | dec_ttl::ACTION => return Err(INVALID),
                _ => {}
            }
        }
        ensure(rest.leftover() == 0)?;
        let actions = found.ok_or(INVALID)?;
        self.dump.open(action::DEC_TTL)?;
        self.dump.open(dec_ttl::ACTION)?;
        self.enter(Holder::DecTtl, actions)
    }

    /// Goes on with a list inside the one being read.
    fn enter(&mut self, holder: Holder<'a>, attrs: Attrs<'a>) -> Result<(), Error> {
        if self.around.len() >= MAX_DEPTH {
            return Err(Errno::EOVERFLOW.into());
        }
        // What is done inside is done to a copy. As on Linux, a list inside knows the Ethernet header only as it came.
        let shape = Shape { mac_proto: self.flow.shape.mac_proto, ..self.list.shape };
        let inside = List { rest: attrs, shape, actions: Vec::new(), start: self.dump.len() };
        let list = mem::replace(&mut self.list, inside);
        Ok(try_push(&mut self.around, Around { list, holder })?)
    }

    /// A list is done: goes on with the one around it, or with the next one inside that.
    fn leave(&mut self, around: Around<'a>) -> Result<(), Error> {
        let actions = mem::replace(&mut self.list, around.list).actions;
        self.dump.close()?;
        let action = match around.holder {
            Holder::Clone => Action::Clone(actions),
            Holder::LessEqual { len, greater } => {
                self.dump.open(check_pkt_len::ACTIONS_IF_GREATER)?;
                return self.enter(Holder::Greater { len, less_equal: actions }, greater);
            }
            Holder::Greater { len, less_equal } => {
                self.dump.close()?;
                Action::CheckPktLen(try_box(CheckPktLen { len, greater: actions, less_equal })?)
            }
            Holder::Sample { probability } => {
                self.dump.close()?;
                Action::Sample { probability, actions }
            }
            Holder::DecTtl => {
                self.dump.close()?;
                Action::DecTtl { actions }
            }
        };
        Ok(try_push(&mut self.list.actions, action)?)
    }
}

/// Every attribute has a row, and just the length that the row calls for.
fn check_len(attr: &Attr<'_>) -> Result<(), Error> {
    let row = action::TABLE.row(attr.number()).ok_or(INVALID)?;
    match row.kind.len() {
        Len::Exact(len) => ensure(attr.payload().len() == usize::from(len)),
        Len::Max(_) | Len::Any => Ok(()),
    }
}
