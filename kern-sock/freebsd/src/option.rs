//! setsockopt(2) and getsockopt(2). SOL_SOCKET's are the kernel's own, but for the two buffers' sizes.
//!
//! Linux has more of them at SOL_SOCKET, for which FreeBSD's kernel asks no protocol: SO_RCVBUFFORCE, SO_PRIORITY and their
//! like. They come at SOL_NETLINK, as 0x10000 and Linux's number; compat-headers' sys/socket.h brings them there.

use crate::delivery::NETLINK_PKTINFO;
use crate::kept::Kept;
use crate::socket::{Pcb, pcb};
use crate::{check, credentials};
use alloc::vec::Vec;
use core::ffi::c_int;
use core::sync::atomic::Ordering;
use pfnl_kernel::sys;
use pfnl_platform::{Errno, Result};
use pfnl_sock::Credentials;

/// Levels and names as the core knows them: Linux's.
const SOL_SOCKET: i32 = 1;
const SO_SNDBUF: i32 = 7;
const SO_RCVBUF: i32 = 8;
const SO_PASSCRED: i32 = 16;
const SO_SNDBUFFORCE: i32 = 32;
const SO_RCVBUFFORCE: i32 = 33;
const SOL_NETLINK: i32 = 270;
/// Added to the number of an option that is SOL_SOCKET's on Linux.
const LINUX_SOCKET: i32 = 0x10000;
const LIST_MEMBERSHIPS: i32 = 9;

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_ctloutput(so: *mut sys::socket, sopt: *mut sys::sockopt) -> c_int {
    // SAFETY: as pr_ctloutput is called.
    let outcome = unsafe {
        match (*sopt).sopt_dir {
            sys::sopt_dir_SOPT_SET => set(so, sopt),
            _ => get(pcb(so), sopt),
        }
    };
    outcome.err().unwrap_or(0)
}

/// # Safety
/// As pr_ctloutput.
unsafe fn set(so: *mut sys::socket, sopt: *mut sys::sockopt) -> Result<(), c_int> {
    let mut value = [0u8; 4];
    // SAFETY: the caller's; a value of up to four bytes goes where four are.
    let (pcb, level, name, len, caller) = unsafe {
        let len = (*sopt).sopt_valsize.min(4);
        check(sys::sooptcopyin(sopt, value.as_mut_ptr().cast(), len, len))?;
        (pcb(so), (*sopt).sopt_level, (*sopt).sopt_name, len as usize, caller(sopt))
    };
    let value = value.get(..len).unwrap_or_default();
    let (level, name) = place(level, name);
    if level == SOL_SOCKET
        && let Some(kept) = pcb.kept.set(name, value, &caller)
    {
        return kept.map_err(Errno::freebsd);
    }
    pcb.socket.set_option(level, name, value, &caller).map_err(Errno::freebsd)?;
    let on = value.iter().any(|&byte| byte != 0);
    // Relaxed: what is delivered about now may or may not know of it.
    match (level, name) {
        (SOL_NETLINK, NETLINK_PKTINFO) => pcb.link.pktinfo.store(on, Ordering::Relaxed),
        (SOL_SOCKET, SO_PASSCRED) => pcb.link.passcred.store(on, Ordering::Relaxed),
        // SAFETY: the caller's.
        (SOL_SOCKET, SO_RCVBUFFORCE) => unsafe { show(so, pcb, SO_RCVBUF)? },
        // SAFETY: the caller's.
        (SOL_SOCKET, SO_SNDBUFFORCE) => unsafe { show(so, pcb, SO_SNDBUF)? },
        _ => {}
    }
    Ok(())
}

/// Where the core has an option.
fn place(level: i32, name: i32) -> (i32, i32) {
    match name ^ LINUX_SOCKET {
        name @ 0..LINUX_SOCKET if level == SOL_NETLINK => (SOL_SOCKET, name),
        _ => (level, name),
    }
}

/// # Safety
/// As pr_ctloutput.
unsafe fn get(pcb: &Pcb, sopt: *mut sys::sockopt) -> Result<(), c_int> {
    let mut value = Vec::new();
    // SAFETY: the caller's.
    unsafe {
        let (level, name) = place((*sopt).sopt_level, (*sopt).sopt_name);
        match pcb.kept.get(name).filter(|_| level == SOL_SOCKET) {
            Some(kept) => {
                let words = kept.map_err(Errno::freebsd)?;
                value.try_reserve(size_of_val(&words)).map_err(|_| Errno::ENOBUFS.freebsd())?;
                value.extend(words.iter().take(Kept::words(name)).flat_map(|word| word.to_ne_bytes()));
            }
            None => pcb.socket.option(level, name, &mut value).map_err(Errno::freebsd)?,
        }
        let list = (level, name) == (SOL_NETLINK, LIST_MEMBERSHIPS);
        let room = (*sopt).sopt_valsize as usize;
        // SOL_SOCKET's are cut to what there is room for.
        if level != SOL_SOCKET && !list && room < value.len() {
            return Err(Errno::EINVAL.freebsd());
        }
        // Memberships come in whole words, and with the size of all of them.
        let fits = if list { room & !3 } else { room };
        let shown = value.get(..fits.min(value.len())).unwrap_or_default();
        check(sys::sooptcopyout(sopt, shown.as_ptr().cast(), shown.len() as _))?;
        (*sopt).sopt_valsize = if list { value.len() } else { shown.len() } as _;
    }
    Ok(())
}

/// SO_SNDBUF, SO_RCVBUF and the low-water marks. Buffers are sized by Linux's rules, and the kernel's own account and
/// getsockopt follow.
#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_setsbopt(so: *mut sys::socket, sopt: *mut sys::sockopt) -> c_int {
    // SAFETY: as pr_setsbopt is called.
    unsafe {
        match (*sopt).sopt_name.cast_unsigned() {
            sys::SO_RCVBUF => resize(so, sopt, SO_RCVBUF).err().unwrap_or(0),
            sys::SO_SNDBUF => resize(so, sopt, SO_SNDBUF).err().unwrap_or(0),
            _ => sys::sbsetopt(so, sopt),
        }
    }
}

/// # Safety
/// As pr_setsbopt.
unsafe fn resize(so: *mut sys::socket, sopt: *mut sys::sockopt, name: i32) -> Result<(), c_int> {
    let mut value = [0u8; 4];
    // SAFETY: the caller's; four bytes.
    let (pcb, caller) = unsafe {
        check(sys::sooptcopyin(sopt, value.as_mut_ptr().cast(), 4, 4))?;
        (pcb(so), caller(sopt))
    };
    pcb.socket.set_option(SOL_SOCKET, name, &value, &caller).map_err(Errno::freebsd)?;
    // SAFETY: the caller's.
    unsafe { show(so, pcb, name) }
}

/// Lets the kernel's own account and getsockopt know of a buffer's size.
///
/// # Safety
/// As pr_setsbopt.
unsafe fn show(so: *mut sys::socket, pcb: &Pcb, name: i32) -> Result<(), c_int> {
    let mut shown = Vec::new();
    pcb.socket.option(SOL_SOCKET, name, &mut shown).map_err(Errno::freebsd)?;
    let size = shown.first_chunk().map_or(0, |size| u32::from_ne_bytes(*size));
    // SAFETY: the caller's.
    unsafe { sys::pfnl_set_buffer(so, name == SO_RCVBUF, size) };
    Ok(())
}

/// Who sets or asks; the kernel itself has no thread and all rights.
///
/// # Safety
/// As pr_ctloutput.
unsafe fn caller(sopt: *mut sys::sockopt) -> Credentials {
    // SAFETY: the caller's; sopt_td is null or the current thread.
    unsafe {
        match (*sopt).sopt_td {
            td if td.is_null() => {
                Credentials { net_admin: true, net_broadcast: true, ..Credentials::default() }
            }
            td => credentials::of(td),
        }
    }
}

const _: sys::pr_ctloutput_t = Some(pfnl_ctloutput);
const _: sys::pr_setsbopt_t = Some(pfnl_setsbopt);
