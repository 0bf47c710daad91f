//! Protocols beside generic netlink, seen from pfnl.ko: NETLINK_NETFILTER over the connections that are tracked here.

use crate::count::Held;
use crate::registry::{Running, free_dump, give, lent, next, result, tell, text};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use pfnl_kernel::sys;
use pfnl_platform::{Errno, Result, try_box};
use pfnl_proto::Error;
use pfnl_proto::ack::Extack;
use pfnl_proto::msg::{Message, Messages};
use pfnl_sock::{Admission, Bus, Call, Credentials, GroupId, Handled, Protocol};

/// A protocol as pfnl.ko is told of it. The box must stay until it has ended.
pub fn describe(state: &Box<Box<dyn Protocol>>) -> sys::pfnl_protocol {
    sys::pfnl_protocol {
        abi: sys::PFNL_FAMILY_ABI,
        number: state.number(),
        groups: state.groups(),
        groups_are_public: state.groups_are_public(),
        state: (&raw const **state).cast_mut().cast(),
        admit: Some(admit),
        request: Some(request),
        dump_next: Some(next),
        dump_free: Some(free_dump),
    }
}

/// # Safety
/// `state` is as [`describe`] says.
unsafe fn protocol<'a>(state: *mut c_void) -> &'a dyn Protocol {
    // SAFETY: the caller's.
    unsafe { &**state.cast::<Box<dyn Protocol>>() }
}

/// # Safety
/// `place` and `len` are a message's, which is there for as long as the result is used.
unsafe fn message<'a>(place: *const c_void, len: usize) -> Option<Message<'a>> {
    // SAFETY: the caller's.
    Messages::new(unsafe { lent(place, len) }).next()
}

unsafe extern "C" fn admit(state: *mut c_void, place: *const c_void, len: usize, privileged: bool) -> c_int {
    // SAFETY: as family.h says.
    let (protocol, first) = unsafe { (protocol(state), message(place, len)) };
    match first.map_or(Admission::Ignore, |first| protocol.admit(&first, privileged)) {
        Admission::Run => 0,
        Admission::Ignore => sys::PFNL_ADMIT_IGNORE,
        Admission::Refuse(errno) => errno.linux(),
    }
}

/// The way to sockets while a request is being handled.
struct CallBus<'a>(&'a sys::pfnl_call);

// SAFETY: pfnl.ko's functions may be called from any thread; the call is there until its handler returns.
unsafe impl Send for CallBus<'_> {}
// SAFETY: as above.
unsafe impl Sync for CallBus<'_> {}

impl Bus for CallBus<'_> {
    fn unicast(&self, portid: u32, bytes: Vec<u8>) -> Result<()> {
        // SAFETY: the call is being handled; the bytes are given away.
        result(unsafe { sys::pfnl_call_unicast(self.0, portid, give(bytes)) })
    }

    // Groups are told by who has the protocol's own bus.
    fn multicast(&self, _: GroupId, _: &[u8], _: u32) {}

    fn has_listeners(&self, _: GroupId) -> bool {
        false
    }
}

unsafe extern "C" fn request(
    state: *mut c_void,
    asked: *const sys::pfnl_call,
    outcome: *mut sys::pfnl_outcome,
) -> *mut c_void {
    // SAFETY: as family.h says.
    let (protocol, asked, outcome) = unsafe { (protocol(state), &*asked, &mut *outcome) };
    let (mut extack, bus) = (Extack::default(), CallBus(asked));
    let sender = Credentials {
        pid: asked.pid,
        uid: asked.uid,
        gid: asked.gid,
        net_admin: asked.net_admin,
        net_broadcast: asked.net_broadcast,
    };
    let mut handle = || {
        // SAFETY: as above.
        let message = unsafe { message(asked.message, asked.len) }.ok_or(Errno::EINVAL)?;
        let held = Held::dump()?;
        let mut call = Call::new(message, asked.portid, sender, &mut extack, &bus);
        Ok::<_, Error>(match protocol.request(&mut call)? {
            Handled::Done => None,
            Handled::Dump(dump) => Some(try_box(Running { dump, held })?),
        })
    };
    let handled = handle();
    outcome.warning = extack.text.map_or(text(""), text);
    (outcome.cookie, outcome.cookie_len) = extack.cookie;
    match handled {
        Ok(None) => null_mut(),
        Ok(Some(running)) => {
            outcome.dump_flags = running.dump.flags();
            Box::into_raw(running).cast()
        }
        Err(error) => {
            tell(outcome, &error, &[]);
            null_mut()
        }
    }
}
