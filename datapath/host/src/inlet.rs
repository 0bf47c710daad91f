//! The way into a datapath.

use crate::{Frame, Receiver};
use pfnl_datapath::{Datapath, Upcall};
use pfnl_platform::{Platform, User};
use std::marker::PhantomData;
use std::ops::Deref;

/// Takes a port's frames into a datapath, a batch in one read-side section.
///
/// It owns the datapath, which owns the port: detaching the port breaks the circle.
pub struct Inlet<D, U> {
    datapath: D,
    number: u32,
    upper: PhantomData<fn(U)>,
}

impl<D, U> Inlet<D, U>
where
    D: Deref<Target = Datapath<User, Frame, U>> + Send + Sync + 'static,
    U: Upcall<User, Frame>,
{
    /// The way in by the port of this number; `datapath` is an `Arc` or `Shared`.
    pub fn new(datapath: D, number: u32) -> Inlet<D, U> {
        Inlet { datapath, number, upper: PhantomData }
    }

    fn take(&self, section: &<User as Platform>::Guard, mut frame: Frame) {
        match frame.take_tunnel() {
            None => self.datapath.receive_in(section, self.number, frame),
            Some(key) => self.datapath.receive_tunnelled(section, self.number, &key, frame),
        }
    }
}

impl<D, U> Receiver for Inlet<D, U>
where
    D: Deref<Target = Datapath<User, Frame, U>> + Send + Sync + 'static,
    U: Upcall<User, Frame>,
{
    fn receive(&self, frame: Frame) {
        self.take(&User::enter(), frame);
    }

    fn receive_all(&self, frames: &mut Vec<Frame>) {
        let section = User::enter();
        frames.drain(..).for_each(|frame| self.take(&section, frame));
    }
}
