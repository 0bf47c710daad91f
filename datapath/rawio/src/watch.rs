//! What happens to network interfaces, as it happens (rtnetlink's RTNLGRP_LINK).

use crate::link::{Link, Links, messages, parse};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::collections::HashMap;
use std::io::{ErrorKind, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Something that happened to an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LinkEvent {
    /// There is a new one.
    Added(Link),
    /// It was deleted, or moved to another namespace; this is what was last known of it.
    Removed(Link),
    /// It has a new name.
    Renamed {
        /// Its name until now.
        from: String,
        /// What it is now.
        link: Link,
    },
    /// Its MTU, flags, carrier, MAC address or owner changed.
    Changed(Link),
}

/// A subscription to interface changes in one network namespace.
///
/// Keeps what it last told of each interface, so that after lost messages (the socket's queue overflowed) it can
/// list all interfaces anew and tell the difference: no removal goes untold.
pub struct LinkWatch {
    events: Socket,
    asking: Links,
    known: HashMap<u32, Link>,
    /// Messages were lost, and listing anew has not succeeded yet.
    stale: bool,
}

impl std::fmt::Debug for LinkWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkWatch").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl LinkWatch {
    /// Subscribes in the calling thread's network namespace. What exists already is known, not told.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn open() -> Result<LinkWatch> {
        let mut events = Socket::new(NETLINK_ROUTE)?;
        // Without the option the group is bits of the address; both do, this needs no bit arithmetic.
        events.bind(&SocketAddr::new(0, 0))?;
        events.add_membership(libc::RTNLGRP_LINK)?;
        events.set_non_blocking(true)?;
        let mut watch = LinkWatch { events, asking: Links::open()?, known: HashMap::new(), stale: false };
        watch.list_anew(&mut Vec::new())?;
        Ok(watch)
    }

    /// Appends what happened since the last call. Does not wait: poll the descriptor.
    ///
    /// # Errors
    /// Those of the socket; the next call catches up.
    pub fn read(&mut self, events: &mut Vec<LinkEvent>) -> Result<()> {
        loop {
            match self.events.recv_from_full() {
                Ok((bytes, _)) => messages(&bytes).for_each(|message| {
                    if let Some((link, _)) = parse(message.payload()) {
                        match message.message_type() {
                            libc::RTM_NEWLINK => self.see(link, events),
                            libc::RTM_DELLINK => self.forget(link.ifindex, events),
                            _ => {}
                        }
                    }
                }),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.stale = true,
                Err(error) => return Err(error),
            }
        }
        if self.stale { self.list_anew(events) } else { Ok(()) }
    }

    fn see(&mut self, link: Link, events: &mut Vec<LinkEvent>) {
        let event = match self.known.get(&link.ifindex) {
            None => LinkEvent::Added(link.clone()),
            Some(old) if *old == link => return,
            Some(old) if old.name != link.name => {
                LinkEvent::Renamed { from: old.name.clone(), link: link.clone() }
            }
            Some(_) => LinkEvent::Changed(link.clone()),
        };
        events.push(event);
        self.known.insert(link.ifindex, link);
    }

    fn forget(&mut self, ifindex: u32, events: &mut Vec<LinkEvent>) {
        events.extend(self.known.remove(&ifindex).map(LinkEvent::Removed));
    }

    fn list_anew(&mut self, events: &mut Vec<LinkEvent>) -> Result<()> {
        self.stale = true;
        let links = self.asking.all()?;
        let mut gone: Vec<u32> = self.known.keys().copied().collect();
        gone.retain(|ifindex| links.iter().all(|link| link.ifindex != *ifindex));
        gone.into_iter().for_each(|ifindex| self.forget(ifindex, events));
        links.into_iter().for_each(|link| self.see(link, events));
        self.stale = false;
        Ok(())
    }
}

impl AsFd for LinkWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket owns its descriptor and lives as long as the borrow of self.
        unsafe { BorrowedFd::borrow_raw(self.events.as_raw_fd()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(ifindex: u32, name: &str) -> Link {
        Link { ifindex, name: name.into(), ..Link::default() }
    }

    #[test]
    fn differences_are_told_once() {
        let mut watch = LinkWatch::open().unwrap();
        watch.known.insert(0x7fff_0001, link(0x7fff_0001, "ghost"));
        watch.known.retain(|_, link| link.name != "lo");
        let mut events = Vec::new();
        watch.list_anew(&mut events).unwrap();
        assert!(events.contains(&LinkEvent::Removed(link(0x7fff_0001, "ghost"))), "{events:?}");
        assert!(events.iter().any(|event| matches!(event, LinkEvent::Added(link) if link.name == "lo")));

        events.clear();
        watch.see(link(9, "a"), &mut events);
        watch.see(link(9, "a"), &mut events);
        watch.see(link(9, "b"), &mut events);
        watch.see(Link { mtu: 1400, ..link(9, "b") }, &mut events);
        watch.forget(9, &mut events);
        watch.forget(9, &mut events);
        let renamed = LinkEvent::Renamed { from: "a".into(), link: link(9, "b") };
        let changed = Link { mtu: 1400, ..link(9, "b") };
        let expected = [
            LinkEvent::Added(link(9, "a")),
            renamed,
            LinkEvent::Changed(changed.clone()),
            LinkEvent::Removed(changed),
        ];
        assert_eq!(events, expected);
    }
}
