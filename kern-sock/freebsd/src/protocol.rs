//! Protocols beside generic netlink whose handlers live in another module (glue/family.h): NETLINK_NETFILTER, over
//! openvswitch.ko's connections.

use crate::family::{DumpCalls, RemoteDump, bytes, domain, result, take_extras};
use alloc::boxed::Box;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use pfnl_kernel::{Kernel, sys};
use pfnl_platform::{Errno, Shared, try_box};
use pfnl_proto::Error;
use pfnl_proto::msg::Message;
use pfnl_sock::{Admission, Bus, Call, Domain, Handled, Protocol};

/// A protocol of another module.
///
/// # Invariants
/// Its functions may be called with its state until [`pfnl_protocol_end`], and with a dump of theirs while that lives.
struct Remote {
    number: i32,
    groups: u32,
    groups_are_public: bool,
    state: *mut c_void,
    admit: unsafe extern "C" fn(*mut c_void, *const c_void, usize, bool) -> c_int,
    request: unsafe extern "C" fn(*mut c_void, *const sys::pfnl_call, *mut sys::pfnl_outcome) -> *mut c_void,
    dumps: DumpCalls,
}

// SAFETY: a protocol's state is used from any thread; its module vouches for that.
unsafe impl Send for Remote {}
// SAFETY: as above.
unsafe impl Sync for Remote {}

impl Protocol for Remote {
    fn number(&self) -> i32 {
        self.number
    }

    fn groups(&self) -> u32 {
        self.groups
    }

    fn groups_are_public(&self) -> bool {
        self.groups_are_public
    }

    fn admit(&self, first: &Message<'_>, privileged: bool) -> Admission {
        // SAFETY: invariant: a domain asks under its request lock, and no more once it has ended.
        let answer =
            unsafe { (self.admit)(self.state, first.bytes.as_ptr().cast(), first.bytes.len(), privileged) };
        match answer {
            sys::PFNL_ADMIT_IGNORE => Admission::Ignore,
            0 => Admission::Run,
            error => Admission::Refuse(Errno::from_linux(error).unwrap_or(Errno::EINVAL)),
        }
    }

    fn request(&self, call: &mut Call<'_>) -> Result<Handled, Error> {
        let (message, sender, bus) = (call.message.bytes, call.sender, call.bus());
        let asked = sys::pfnl_call {
            message: message.as_ptr().cast(),
            len: message.len(),
            bus: (&raw const bus).cast(),
            portid: call.portid,
            pid: sender.pid,
            uid: sender.uid,
            gid: sender.gid,
            net_admin: sender.net_admin,
            net_broadcast: sender.net_broadcast,
        };
        let mut outcome = sys::pfnl_outcome::default();
        // SAFETY: as in `admit`; what the call points to is there until the handler returns.
        unsafe {
            let dump = (self.request)(self.state, &raw const asked, &raw mut outcome);
            take_extras(call.extack, &outcome);
            result(&outcome)?;
            if dump.is_null() {
                return Ok(Handled::Done);
            }
            Ok(Handled::Dump(RemoteDump::boxed(dump, self.dumps, &outcome)?))
        }
    }
}

/// # Safety
/// `def` is as family.h says.
unsafe fn serve(
    held: *mut c_void,
    def: &sys::pfnl_protocol,
) -> pfnl_platform::Result<Box<Shared<Domain<Kernel>>>> {
    if def.abi != sys::PFNL_FAMILY_ABI {
        return Err(Errno::EPROTO);
    }
    let (Some(admit), Some(request), Some(next), Some(free)) =
        (def.admit, def.request, def.dump_next, def.dump_free)
    else {
        return Err(Errno::EINVAL);
    };
    let protocol = Remote {
        number: def.number,
        groups: def.groups,
        groups_are_public: def.groups_are_public,
        state: def.state,
        admit,
        request,
        dumps: DumpCalls { next, free },
    };
    // SAFETY: the caller's.
    let domain = unsafe { domain(held) };
    let own = domain.serve(try_box(protocol)?)?;
    try_box(own.clone()).inspect_err(|_| domain.end(&own))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_protocol_serve(
    held: *mut c_void,
    def: *const sys::pfnl_protocol,
    error: *mut c_int,
) -> *mut c_void {
    // SAFETY: as family.h says.
    match unsafe { serve(held, &*def) } {
        Ok(own) => Box::into_raw(own).cast(),
        Err(errno) => {
            // SAFETY: as family.h says.
            unsafe { *error = errno.linux() };
            null_mut()
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_protocol_end(held: *mut c_void, own: *mut c_void) {
    // SAFETY: as family.h says: both are held.
    unsafe { domain(held).end(domain(own)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_call_unicast(
    call: *const sys::pfnl_call,
    portid: u32,
    datagram: sys::pfnl_bytes,
) -> c_int {
    // SAFETY: as family.h says: of `Remote::request`, which waits for us.
    let sent = unsafe { (*(*call).bus.cast::<&dyn Bus>()).unicast(portid, bytes(datagram)) };
    sent.err().map_or(0, Errno::linux)
}
