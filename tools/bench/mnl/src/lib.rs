//! The few functions of libmnl (`libmnl/libmnl.h`) that the benchmarks call, made safe at no cost: a callback is one C
//! function, as it would be in C.
//!
//! Boundary crate: it holds the `unsafe` that pfnl-bench would otherwise need.

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ptr;

/// `enum mnl_attr_data_type`, as far as used.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "libmnl's own names")]
pub enum DataType {
    U16 = 2,
    U32 = 3,
    Nested = 8,
    NulString = 10,
    Binary = 11,
}

/// `MNL_CB_ERROR` and `MNL_CB_OK`.
const ERROR: c_int = -1;
const OK: c_int = 1;

#[repr(C)]
struct RawAttr([u16; 2]);
#[repr(C)]
struct RawHeader([u32; 4]);
type Callback = unsafe extern "C" fn(*const RawAttr, *mut c_void) -> c_int;

#[link(name = "mnl")]
unsafe extern "C" {
    fn mnl_nlmsg_ok(header: *const RawHeader, len: c_int) -> bool;
    fn mnl_nlmsg_put_header(buffer: *mut c_void) -> *mut RawHeader;
    fn mnl_nlmsg_put_extra_header(header: *mut RawHeader, size: usize) -> *mut c_void;
    fn mnl_attr_parse(header: *const RawHeader, offset: u32, callback: Callback, data: *mut c_void) -> c_int;
    fn mnl_attr_parse_nested(attr: *const RawAttr, callback: Callback, data: *mut c_void) -> c_int;
    fn mnl_attr_get_type(attr: *const RawAttr) -> u16;
    fn mnl_attr_get_payload_len(attr: *const RawAttr) -> u16;
    fn mnl_attr_get_payload(attr: *const RawAttr) -> *const c_void;
    fn mnl_attr_validate(attr: *const RawAttr, kind: DataType) -> c_int;
    fn mnl_attr_validate2(attr: *const RawAttr, kind: DataType, len: usize) -> c_int;
    fn mnl_attr_get_u16(attr: *const RawAttr) -> u16;
    fn mnl_attr_get_u32(attr: *const RawAttr) -> u32;
    fn mnl_attr_put_check(
        header: *mut RawHeader,
        room: usize,
        kind: u16,
        len: usize,
        data: *const c_void,
    ) -> bool;
    fn mnl_attr_put_u32_check(header: *mut RawHeader, room: usize, kind: u16, data: u32) -> bool;
    fn mnl_attr_put_u16_check(header: *mut RawHeader, room: usize, kind: u16, data: u16) -> bool;
    fn mnl_attr_nest_start_check(header: *mut RawHeader, room: usize, kind: u16) -> *mut RawAttr;
    fn mnl_attr_nest_end(header: *mut RawHeader, start: *mut RawAttr);
}

/// A message that `mnl_nlmsg_ok` has found to lie in its buffer.
#[derive(Clone, Copy)]
pub struct Message<'a>(*const RawHeader, PhantomData<&'a [u8]>);

impl<'a> Message<'a> {
    /// The message that starts at `bytes`, which are aligned to 4 as any buffer of the allocator's is.
    pub fn new(bytes: &'a [u8]) -> Option<Message<'a>> {
        let header = bytes.as_ptr().cast::<RawHeader>();
        let len = c_int::try_from(bytes.len()).ok()?;
        // SAFETY: the function looks at the header only if `len` has room for one, and the place is aligned.
        let ok = header.is_aligned() && unsafe { mnl_nlmsg_ok(header, len) };
        ok.then_some(Message(header, PhantomData))
    }

    /// Calls `each` with the attributes behind `offset` bytes of headers until it says no: `mnl_attr_parse`.
    pub fn parse(self, offset: u32, mut each: impl FnMut(Attr<'a>) -> bool) -> bool {
        let (callback, data) = trampoline(&mut each);
        // SAFETY: the message lies in its buffer, by our invariant; `each` lives through the call.
        unsafe { mnl_attr_parse(self.0, offset, callback, data) == OK }
    }
}

/// An attribute that libmnl has found to lie in its message.
#[derive(Clone, Copy)]
pub struct Attr<'a>(*const RawAttr, PhantomData<&'a [u8]>);

impl<'a> Attr<'a> {
    /// `mnl_attr_get_type`.
    pub fn kind(self) -> u16 {
        // SAFETY: an attribute of libmnl's.
        unsafe { mnl_attr_get_type(self.0) }
    }

    /// `mnl_attr_validate`.
    pub fn is(self, kind: DataType) -> bool {
        // SAFETY: an attribute of libmnl's.
        unsafe { mnl_attr_validate(self.0, kind) >= 0 }
    }

    /// `mnl_attr_validate2`: at least so long, for what has no length of its own.
    pub fn is_at_least(self, kind: DataType, len: usize) -> bool {
        // SAFETY: an attribute of libmnl's.
        unsafe { mnl_attr_validate2(self.0, kind, len) >= 0 }
    }

    /// `mnl_attr_get_payload`, as long as `mnl_attr_get_payload_len` says.
    pub fn payload(self) -> &'a [u8] {
        // SAFETY: an attribute of libmnl's lies in its message for as long as that says.
        unsafe {
            let len = usize::from(mnl_attr_get_payload_len(self.0));
            std::slice::from_raw_parts(mnl_attr_get_payload(self.0).cast(), len)
        }
    }

    /// `mnl_attr_get_u16`; only what was validated may be read.
    pub fn u16(self) -> u16 {
        // SAFETY: an attribute of libmnl's; its payload is looked at first.
        unsafe { if mnl_attr_get_payload_len(self.0) < 2 { 0 } else { mnl_attr_get_u16(self.0) } }
    }

    /// As [`Attr::u16`], 32 bits.
    pub fn u32(self) -> u32 {
        // SAFETY: as above.
        unsafe { if mnl_attr_get_payload_len(self.0) < 4 { 0 } else { mnl_attr_get_u32(self.0) } }
    }

    /// `mnl_attr_parse_nested`.
    pub fn parse(self, mut each: impl FnMut(Attr<'a>) -> bool) -> bool {
        let (callback, data) = trampoline(&mut each);
        // SAFETY: an attribute of libmnl's; `each` lives through the call.
        unsafe { mnl_attr_parse_nested(self.0, callback, data) == OK }
    }
}

/// A closure as libmnl wants it: a function for all closures of its type, and the one that is meant.
fn trampoline<'a, F: FnMut(Attr<'a>) -> bool>(each: &mut F) -> (Callback, *mut c_void) {
    unsafe extern "C" fn call<'a, F: FnMut(Attr<'a>) -> bool>(
        attr: *const RawAttr,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: `data` is what came with this very function below, and is borrowed by the call that is under way.
        let each = unsafe { &mut *data.cast::<F>() };
        if each(Attr(attr, PhantomData)) { OK } else { ERROR }
    }
    (call::<F>, ptr::from_mut(each).cast())
}

/// A message being written into a buffer, with the functions that look at how much room there is.
pub struct Builder<'a> {
    header: *mut RawHeader,
    room: usize,
    fits: bool,
    buffer: PhantomData<&'a mut [u32]>,
}

impl<'a> Builder<'a> {
    /// Begins with an empty header; `None` without room for that and `extra` bytes.
    pub fn new(buffer: &'a mut [u32], kind: u16, flags: u16, extra: &[u8]) -> Option<Builder<'a>> {
        let room = size_of_val(buffer);
        if room < 16 + extra.len().next_multiple_of(4) {
            return None;
        }
        // SAFETY: there is room for the header and what follows it, as just seen; both are within the buffer.
        let header = unsafe {
            let header = mnl_nlmsg_put_header(buffer.as_mut_ptr().cast());
            (&raw mut (*header).0[1]).cast::<u16>().write(kind);
            (&raw mut (*header).0[1]).cast::<u16>().add(1).write(flags);
            let place = mnl_nlmsg_put_extra_header(header, extra.len());
            ptr::copy_nonoverlapping(extra.as_ptr(), place.cast(), extra.len());
            header
        };
        Some(Builder { header, room, fits: true, buffer: PhantomData })
    }

    /// `mnl_attr_put_check`.
    pub fn put(&mut self, kind: u16, payload: &[u8]) -> &mut Self {
        // SAFETY: it writes within the room stated, which is the buffer's.
        self.fits &= unsafe {
            mnl_attr_put_check(self.header, self.room, kind, payload.len(), payload.as_ptr().cast())
        };
        self
    }

    /// `mnl_attr_put_u32_check`.
    pub fn put_u32(&mut self, kind: u16, value: u32) -> &mut Self {
        // SAFETY: as above.
        self.fits &= unsafe { mnl_attr_put_u32_check(self.header, self.room, kind, value) };
        self
    }

    /// `mnl_attr_put_u16_check`.
    pub fn put_u16(&mut self, kind: u16, value: u16) -> &mut Self {
        // SAFETY: as above.
        self.fits &= unsafe { mnl_attr_put_u16_check(self.header, self.room, kind, value) };
        self
    }

    /// `mnl_attr_nest_start_check` and `mnl_attr_nest_end`. libmnl marks nests, which openvswitch does not mind.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        // SAFETY: as above.
        let start = unsafe { mnl_attr_nest_start_check(self.header, self.room, kind) };
        if start.is_null() {
            self.fits = false;
            return self;
        }
        fill(self);
        // SAFETY: the nest that was just begun, in the same message.
        unsafe { mnl_attr_nest_end(self.header, start) };
        self
    }

    /// How long the message is; `None` if something did not fit.
    pub fn finish(self) -> Option<usize> {
        // SAFETY: the header is in the buffer.
        self.fits.then(|| unsafe { (*self.header).0[0] } as usize)
    }
}
