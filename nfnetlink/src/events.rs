//! What groups are told of connections.

use crate::{head, show, tuple};
use alloc::boxed::Box;
use alloc::vec::Vec;
use pfnl_datapath::conntrack::Conn;
use pfnl_datapath::conntrack::event::{Observer, bits};
use pfnl_platform::{Platform, Shared};
use pfnl_proto::Writer;
use pfnl_proto::msg::{Header, NLM_F_CREATE, NLM_F_EXCL};
use pfnl_proto::netfilter::{NFNL_SUBSYS_CTNETLINK, ct_cmd, group, kind};
use pfnl_sock::{Bus, GroupId};

/// Tells the protocol's groups.
pub(crate) struct Events {
    pub bus: Box<dyn Bus>,
}

/// The command, its flags and the group that these events are told by.
fn news(events: u32) -> (u8, u16, u32) {
    if events & bits::DESTROY != 0 {
        (ct_cmd::DELETE, 0, group::CONNTRACK_DESTROY)
    } else if events & (bits::NEW | bits::RELATED) != 0 {
        (ct_cmd::NEW, NLM_F_CREATE | NLM_F_EXCL, group::CONNTRACK_NEW)
    } else {
        (ct_cmd::NEW, 0, group::CONNTRACK_UPDATE)
    }
}

impl<P: Platform> Observer<P> for Events {
    fn listens(&self, events: u32) -> bool {
        let (_, _, group) = news(events);
        self.bus.has_listeners(GroupId(group))
    }

    fn tell(&self, conn: &Shared<Conn<P>>, events: u32, portid: u32) {
        let (command, flags, group) = news(events);
        let conn = conn.snapshot();
        let header = Header { len: 0, kind: kind(NFNL_SUBSYS_CTNETLINK, command), flags, seq: 0, portid };
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.message(header, |w| {
            head(w, tuple::family(&conn.original), 0);
            show::event(w, &conn, events);
        });
        // Without memory nobody is told, as of any event that finds no room.
        if writer.finish().is_ok() {
            self.bus.multicast(GroupId(group), &bytes, 0);
        }
    }
}
