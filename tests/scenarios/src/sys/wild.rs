//! Calls with pointers that lead nowhere: kernels say EFAULT.

use super::{Outcome, checked};
use libc::{c_int, c_void, socklen_t};
use std::mem::zeroed;

/// Where a pointer may lead.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    Null,
    /// Where no memory is.
    Nowhere,
}

fn at<T>(place: Place) -> *mut T {
    match place {
        Place::Null => std::ptr::null_mut(),
        Place::Nowhere => std::ptr::without_provenance_mut(0x1000),
    }
}

/// Each call by name, with one of its pointers leading there; the others are in order.
pub fn calls(fd: c_int, place: Place) -> Vec<(&'static str, Outcome)> {
    let mut bytes = [0_u8; 64];
    let mut length: socklen_t = 12;
    let data: *mut c_void = bytes.as_mut_ptr().cast();
    // SAFETY: what is in order lives through the calls. What is not leads to no memory, so nothing can be read or written
    // there: a kernel says so, and whoever stands in its place must.
    unsafe {
        let mut all: Vec<(&'static str, isize)> = Vec::new();
        let mut call = |name, call: &mut dyn FnMut() -> isize| {
            let result = call();
            let result = if result < 0 { -(super::errno() as isize) } else { result };
            all.push((name, result));
        };
        call("bind", &mut || libc::bind(fd, at(place), 12) as isize);
        call("connect", &mut || libc::connect(fd, at(place), 12) as isize);
        call("getsockname", &mut || libc::getsockname(fd, at(place), &raw mut length) as isize);
        call("getsockname, length", &mut || libc::getsockname(fd, data.cast(), at(place)) as isize);
        call("getpeername", &mut || libc::getpeername(fd, at(place), &raw mut length) as isize);
        for (level, name) in [(270, 3), (270, 9), (1, 3), (1, 8), (1, 16), (1, 17)] {
            call("setsockopt", &mut || libc::setsockopt(fd, level, name, at(place), 4) as isize);
            let mut length: socklen_t = 4;
            call("getsockopt", &mut || {
                libc::getsockopt(fd, level, name, at(place), &raw mut length) as isize
            });
            call("getsockopt, length", &mut || libc::getsockopt(fd, level, name, data, at(place)) as isize);
        }
        call("send", &mut || libc::send(fd, at(place), 16, libc::MSG_DONTWAIT));
        call("write", &mut || libc::write(fd, at(place), 16));
        call("sendto", &mut || libc::sendto(fd, data, 16, 0, at(place), 12));
        call("sendmsg", &mut || libc::sendmsg(fd, at(place), 0));
        let mut message: libc::msghdr = zeroed();
        message.msg_iovlen = 1;
        message.msg_iov = at(place);
        call("sendmsg, vectors", &mut || libc::sendmsg(fd, &raw const message, 0));
        call("recvmsg, vectors", &mut || libc::recvmsg(fd, &raw mut message, libc::MSG_DONTWAIT));
        let mut vector = libc::iovec { iov_base: data, iov_len: 16 };
        message.msg_iov = &raw mut vector;
        message.msg_name = at(place);
        message.msg_namelen = 12;
        call("sendmsg, name", &mut || libc::sendmsg(fd, &raw const message, 0));
        message.msg_name = std::ptr::null_mut();
        message.msg_control = at(place);
        message.msg_controllen = 24;
        call("sendmsg, control", &mut || libc::sendmsg(fd, &raw const message, 0));
        call("recv", &mut || libc::recv(fd, at(place), 16, libc::MSG_DONTWAIT));
        call("recvmsg", &mut || libc::recvmsg(fd, at(place), libc::MSG_DONTWAIT));
        all.into_iter().map(|(name, result)| (name, checked_errno(result))).collect()
    }
}

/// As [`calls`], of those that take a message before they find out.
pub fn receiving(fd: c_int, place: Place, which: usize) -> Outcome {
    let mut bytes = [0_u8; 64];
    let mut length: socklen_t = 12;
    let data: *mut c_void = bytes.as_mut_ptr().cast();
    // SAFETY: as above.
    unsafe {
        let mut message: libc::msghdr = zeroed();
        let mut vector = libc::iovec { iov_base: data, iov_len: 64 };
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        checked(match which {
            0 => libc::recv(fd, at(place), 64, libc::MSG_DONTWAIT),
            1 => libc::recvfrom(fd, data, 64, libc::MSG_DONTWAIT, at(place), &raw mut length),
            2 => libc::recvfrom(fd, data, 64, libc::MSG_DONTWAIT, data.cast(), at(place)),
            3 => {
                message.msg_name = at(place);
                message.msg_namelen = 12;
                libc::recvmsg(fd, &raw mut message, libc::MSG_DONTWAIT)
            }
            4 => {
                message.msg_control = at(place);
                message.msg_controllen = 64;
                libc::recvmsg(fd, &raw mut message, libc::MSG_DONTWAIT)
            }
            _ => libc::read(fd, at(place), 64),
        })
    }
}

fn checked_errno(result: isize) -> Outcome {
    usize::try_from(result).map_err(|_| -result as c_int)
}
