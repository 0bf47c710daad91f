//! Families whose handlers live in another module (glue/family.h): what they are is copied, their handlers are called
//! as C functions. Seen from the core it is a family like any other.

use crate::vnet;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use pfnl_kernel::{Kernel, sys};
use pfnl_platform::{Errno, Result, Shared, try_box, try_push, try_to_vec};
use pfnl_proto::ack::Extack;
use pfnl_proto::{Error, Kind, Level, Policy, Row, Table};
use pfnl_sock::{
    Bus, Context, Domain, Dump, DumpBlock, Family, FamilyInfo, GroupId, OpInfo, Progress, Request,
};

/// A family of another module.
///
/// # Invariants
/// `def`'s functions may be called with its state while the family is registered, and with a dump of theirs while
/// that lives. `tables` stay where they are.
struct Remote {
    name: String,
    groups: Vec<String>,
    ops: Vec<sys::pfnl_op>,
    tables: Vec<Owned>,
    admin_groups: u64,
    own_table: usize,
    hdrsize: usize,
    version: u8,
    calls: Calls,
}

#[derive(Clone, Copy)]
struct Calls {
    state: *mut c_void,
    run: unsafe extern "C" fn(*mut c_void, u32, *const sys::pfnl_request, *mut sys::pfnl_outcome),
    dump: unsafe extern "C" fn(
        *mut c_void,
        u32,
        *const sys::pfnl_request,
        *mut sys::pfnl_outcome,
    ) -> *mut c_void,
    dumps: DumpCalls,
}

/// What dumps of another module are gone on with, and freed.
#[derive(Clone, Copy)]
pub struct DumpCalls {
    pub next: unsafe extern "C" fn(*mut c_void, *mut sys::pfnl_block, *mut sys::pfnl_outcome) -> c_int,
    pub free: unsafe extern "C" fn(*mut c_void),
}

// SAFETY: a family's state is used from any thread; its module vouches for that.
unsafe impl Send for Calls {}
// SAFETY: as above.
unsafe impl Sync for Calls {}

/// A table with its rows.
///
/// # Invariants
/// Both came from a box, and are freed with this.
struct Owned {
    table: *mut Table,
    rows: *mut [Row],
}

// SAFETY: plain data that nobody changes.
unsafe impl Send for Owned {}
// SAFETY: as above.
unsafe impl Sync for Owned {}

impl Owned {
    fn copy(rows: &[sys::pfnl_row]) -> Result<Owned> {
        let mut own = Vec::new();
        own.try_reserve_exact(rows.len())?;
        for row in rows {
            let policy = policy(row).ok_or(Errno::EINVAL)?;
            // Kinds are for who decodes, which is the family.
            own.push(Row { number: row.number, name: "", kind: Kind::Bytes(0), layout: None, policy });
        }
        if own.windows(2).any(|pair| matches!(pair, [a, b] if a.number >= b.number)) {
            return Err(Errno::EINVAL);
        }
        let rows = Box::into_raw(own.into_boxed_slice());
        // SAFETY: the rows live until `drop`, which is after the last use of the table: `Family::op` says how long
        // that may be looked at.
        let table = try_box(Table::of_rows("", unsafe { &*rows }));
        match table {
            Ok(table) => Ok(Owned { table: Box::into_raw(table), rows }),
            Err(errno) => {
                // SAFETY: from a box, a moment ago.
                drop(unsafe { Box::from_raw(rows) });
                Err(errno)
            }
        }
    }

    fn table(&self) -> &'static Table {
        // SAFETY: invariant. Who asks holds on to the family as long as it looks: a request and its acknowledgement
        // while the request lock keeps it registered, nlctrl's dump of policies by a handle.
        unsafe { &*self.table }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: invariant.
        unsafe {
            drop(Box::from_raw(self.table));
            drop(Box::from_raw(self.rows));
        }
    }
}

fn policy(row: &sys::pfnl_row) -> Option<Policy> {
    let short = |value: u64| u16::try_from(value).ok();
    Some(match u32::from(row.policy) {
        sys::PFNL_POLICY_NONE => Policy::None,
        sys::PFNL_POLICY_MIN => Policy::Min(short(row.least)?),
        sys::PFNL_POLICY_REJECT => Policy::Reject,
        sys::PFNL_POLICY_FLAG => Policy::Flag,
        sys::PFNL_POLICY_UINT => Policy::Uint(row.width, row.least, row.most),
        sys::PFNL_POLICY_SINT => Policy::Sint(row.width, row.least.cast_signed(), row.most.cast_signed()),
        sys::PFNL_POLICY_STRING => Policy::String(short(row.most)?),
        sys::PFNL_POLICY_NUL_STRING => Policy::NulString(short(row.most)?),
        sys::PFNL_POLICY_BINARY => Policy::Binary(short(row.least)?, short(row.most)?),
        sys::PFNL_POLICY_NESTED => Policy::Nested,
        _ => return None,
    })
}

/// What C lends.
///
/// # Safety
/// `place` points to `len` values that stay as they are for as long as the result is used; anything if `len` is 0.
pub unsafe fn slice<'a, T>(place: *const T, len: usize) -> &'a [T] {
    // SAFETY: the caller's.
    if len == 0 { &[] } else { unsafe { core::slice::from_raw_parts(place, len) } }
}

/// # Safety
/// As [`slice`].
unsafe fn string(text: sys::pfnl_str) -> Result<String> {
    // SAFETY: the caller's.
    let bytes = unsafe { slice(text.text.cast::<u8>(), text.len) };
    String::from_utf8(try_to_vec(bytes)?).map_err(|_| Errno::EINVAL)
}

/// A text of the other module, which stays as long as it does.
///
/// # Safety
/// As [`slice`].
unsafe fn text(text: sys::pfnl_str) -> Option<&'static str> {
    // SAFETY: the caller's.
    let bytes = unsafe { slice(text.text.cast::<u8>(), text.len) };
    core::str::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

impl Remote {
    /// # Safety
    /// `def` and all it points to are as family.h says.
    unsafe fn copy(def: &sys::pfnl_family) -> Result<Remote> {
        // SAFETY: the caller's.
        unsafe {
            let mut groups = Vec::new();
            for group in slice(def.groups, def.group_count) {
                try_push(&mut groups, string(*group)?)?;
            }
            let mut tables = Vec::new();
            for table in slice(def.tables, def.table_count) {
                try_push(&mut tables, Owned::copy(slice(table.rows, table.count))?)?;
            }
            let (Some(run), Some(dump), Some(next), Some(free)) =
                (def.run, def.dump, def.dump_next, def.dump_free)
            else {
                return Err(Errno::EINVAL);
            };
            Ok(Remote {
                name: string(def.name)?,
                groups,
                ops: try_to_vec(slice(def.ops, def.op_count))?,
                tables,
                admin_groups: def.admin_groups,
                own_table: def.own_table as usize,
                hdrsize: def.hdrsize as usize,
                version: def.version,
                calls: Calls { state: def.state, run, dump, dumps: DumpCalls { next, free } },
            })
        }
    }

    /// What became of a request, in the core's terms.
    ///
    /// # Safety
    /// `outcome` is what a function of this family left.
    unsafe fn outcome(&self, outcome: &sys::pfnl_outcome) -> Result<(), Error> {
        // SAFETY: the caller's.
        unsafe { result(outcome) }.map_err(|error| {
            let row = || self.tables.get(outcome.table as usize).and_then(|own| own.table().row(outcome.row));
            Error { row: (outcome.has & sys::PFNL_HAS_ROW != 0).then(row).flatten(), ..error }
        })
    }

    fn info(&self, info: FamilyInfo) -> sys::pfnl_info {
        sys::pfnl_info { first_group: info.group(0).0, id: info.id, version: info.version }
    }

    fn request(&self, request: &Request<'_>, info: sys::pfnl_info) -> sys::pfnl_request {
        let (attrs, sender) = (request.attrs.bytes(), request.sender);
        sys::pfnl_request {
            info,
            kind: request.header.kind,
            flags: request.header.flags,
            len: request.header.len,
            seq: request.header.seq,
            header_portid: request.header.portid,
            cmd: request.genl.cmd,
            version: request.genl.version,
            reserved: request.genl.reserved,
            user_header: request.user_header.as_ptr().cast(),
            user_header_len: request.user_header.len(),
            attrs: attrs.as_ptr().cast(),
            attrs_len: attrs.len(),
            attrs_at: request.attrs.base(),
            portid: request.portid,
            pid: sender.pid,
            uid: sender.uid,
            gid: sender.gid,
            net_admin: sender.net_admin,
            net_broadcast: sender.net_broadcast,
        }
    }
}

impl Family for Remote {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u8 {
        self.version
    }

    fn hdrsize(&self) -> usize {
        self.hdrsize
    }

    fn maxattr(&self) -> u16 {
        self.tables.get(self.own_table).map_or(0, |own| own.table().max())
    }

    fn groups(&self) -> usize {
        self.groups.len()
    }

    fn group(&self, index: usize) -> &str {
        self.groups.get(index).map_or("", |name| name)
    }

    fn is_admin_group(&self, index: usize) -> bool {
        let bit = u32::try_from(index).ok().and_then(|index| 1u64.checked_shl(index));
        bit.is_some_and(|bit| self.admin_groups & bit != 0)
    }

    fn op(&self, index: usize) -> Option<OpInfo> {
        let op = self.ops.get(index)?;
        Some(OpInfo {
            cmd: op.cmd,
            flags: op.flags,
            level: if op.strict { Level::Strict } else { Level::Liberal },
            table: self.tables.get(op.table as usize).map(Owned::table),
            dump_validated: op.dump_validated,
        })
    }

    fn run(&self, op: usize, context: &mut Context<'_>) -> Result<(), Error> {
        let request = self.request(&context.request, self.info(context.family));
        let mut outcome = sys::pfnl_outcome::default();
        // SAFETY: invariant: a domain runs only what is registered, under its request lock.
        unsafe {
            (self.calls.run)(self.calls.state, op as u32, &raw const request, &raw mut outcome);
            take_extras(context.extack, &outcome);
            self.outcome(&outcome)
        }
    }

    fn dump(&self, op: usize, request: &Request<'_>) -> Result<Box<dyn Dump>, Error> {
        // What a dump's start needs of the info is in its blocks.
        let info = sys::pfnl_info { first_group: 0, id: request.header.kind, version: self.version };
        let request = self.request(request, info);
        let mut outcome = sys::pfnl_outcome::default();
        // SAFETY: as in `run`.
        unsafe {
            let dump = (self.calls.dump)(self.calls.state, op as u32, &raw const request, &raw mut outcome);
            self.outcome(&outcome)?;
            if dump.is_null() {
                return Err(Errno::ENOMEM.into());
            }
            RemoteDump::boxed(dump, self.calls.dumps, &outcome)
        }
    }
}

/// What became of a request, but for the row that was broken.
///
/// # Safety
/// `outcome` is what a function of another module left.
pub unsafe fn result(outcome: &sys::pfnl_outcome) -> Result<(), Error> {
    if outcome.error == 0 {
        return Ok(());
    }
    let has = |what: u32| outcome.has & what != 0;
    Err(Error {
        errno: Errno::from_linux(outcome.error).unwrap_or(Errno::EINVAL),
        // SAFETY: the caller's.
        text: unsafe { text(outcome.text) },
        offset: has(sys::PFNL_HAS_OFFSET).then_some(outcome.offset),
        row: None,
        missing: has(sys::PFNL_HAS_MISSING).then_some(outcome.missing),
        missing_in: has(sys::PFNL_HAS_MISSING_IN).then_some(outcome.missing_in),
    })
}

/// # Safety
/// `outcome` is what a function of the family left.
pub unsafe fn take_extras(extack: &mut Extack, outcome: &sys::pfnl_outcome) {
    // SAFETY: the caller's.
    if let Some(warning) = unsafe { text(outcome.warning) } {
        extack.text = Some(warning);
    }
    if outcome.cookie_len > 0 {
        extack.cookie = (outcome.cookie, outcome.cookie_len.min(20));
    }
}

/// A dump in progress in the other module.
///
/// # Invariants
/// `dump` is the module's until `free` is called with it, once.
pub struct RemoteDump {
    dump: *mut c_void,
    calls: DumpCalls,
    flags: u16,
}

impl RemoteDump {
    /// A dump that has begun; without memory it is freed.
    ///
    /// # Safety
    /// `dump` is to be used and freed by `calls`, and ours now.
    pub unsafe fn boxed(
        dump: *mut c_void,
        calls: DumpCalls,
        outcome: &sys::pfnl_outcome,
    ) -> Result<Box<dyn Dump>, Error> {
        Ok(try_box(RemoteDump { dump, calls, flags: outcome.dump_flags })?)
    }
}

// SAFETY: as Calls.
unsafe impl Send for RemoteDump {}

impl Dump for RemoteDump {
    fn flags(&self) -> u16 {
        self.flags
    }

    fn next(&mut self, block: &mut DumpBlock<'_, '_>) -> Result<Progress, Error> {
        let ((seq, portid), family) = (block.names(), block.family());
        let info = sys::pfnl_info { first_group: family.group(0).0, id: family.id, version: family.version };
        let records = sys::pfnl_bytes { place: null_mut(), len: 0, capacity: 0 };
        let mut there = sys::pfnl_block { info, seq, portid, room: block.room(), records };
        let mut outcome = sys::pfnl_outcome::default();
        // SAFETY: invariant.
        let (progress, records) = unsafe {
            let progress = (self.calls.next)(self.dump, &raw mut there, &raw mut outcome);
            (progress, bytes(there.records))
        };
        block.records(&records)?;
        if outcome.error != 0 {
            // Its text may be shown long after; errors of dumps have none.
            return Err(Errno::from_linux(outcome.error).unwrap_or(Errno::EINVAL).into());
        }
        Ok(match progress.cast_unsigned() {
            sys::PFNL_DUMP_MORE => Progress::More,
            sys::PFNL_DUMP_END => Progress::End,
            _ => Progress::Done,
        })
    }
}

impl Drop for RemoteDump {
    fn drop(&mut self) {
        // SAFETY: invariant.
        unsafe { (self.calls.free)(self.dump) }
    }
}

/// # Safety
/// `bytes` came from pfnl_malloc and is ours, or its capacity is 0.
pub unsafe fn bytes(bytes: sys::pfnl_bytes) -> Vec<u8> {
    if bytes.capacity == 0 {
        return Vec::new();
    }
    // SAFETY: the caller's; pfnl_malloc is this crate's allocator, and alignment is 1.
    unsafe { Vec::from_raw_parts(bytes.place, bytes.len, bytes.capacity) }
}

/// # Safety
/// From [`pfnl_domain_hold`], not released yet.
pub unsafe fn domain<'a>(domain: *mut c_void) -> &'a Shared<Domain<Kernel>> {
    // SAFETY: the caller's.
    unsafe { &*domain.cast() }
}

#[unsafe(no_mangle)]
extern "C" fn pfnl_domain_hold() -> *mut c_void {
    vnet::domain().and_then(try_box).map_or(null_mut(), |held| Box::into_raw(held).cast())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_domain_release(held: *mut c_void) {
    // SAFETY: from `pfnl_domain_hold`, for the last time.
    drop(unsafe { Box::from_raw(held.cast::<Shared<Domain<Kernel>>>()) });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_family_register(
    held: *mut c_void,
    def: *const sys::pfnl_family,
    out: *mut sys::pfnl_info,
) -> c_int {
    // SAFETY: as family.h says. The version comes first, and alone if it is another.
    unsafe {
        if (*def).abi != sys::PFNL_FAMILY_ABI {
            return Errno::EPROTO.linux();
        }
        let registered =
            Remote::copy(&*def).and_then(try_box).and_then(|family| domain(held).register_family(family));
        match registered {
            Ok(info) => {
                *out = sys::pfnl_info { first_group: info.group(0).0, id: info.id, version: info.version };
                0
            }
            Err(errno) => errno.linux(),
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_family_register_at(
    held: *mut c_void,
    def: *const sys::pfnl_family,
    place: *const sys::pfnl_info,
) -> c_int {
    // SAFETY: as family.h says.
    unsafe {
        if (*def).abi != sys::PFNL_FAMILY_ABI {
            return Errno::EPROTO.linux();
        }
        let place = FamilyInfo::new((*place).id, (*place).version, GroupId((*place).first_group));
        Remote::copy(&*def)
            .and_then(try_box)
            .and_then(|family| domain(held).register_at(family, Some(place)))
            .err()
            .map_or(0, Errno::linux)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_family_place(held: *mut c_void, groups: usize, place: *mut sys::pfnl_info) -> bool {
    // SAFETY: as family.h says.
    unsafe {
        let from = FamilyInfo::new((*place).id, (*place).version, GroupId((*place).first_group));
        match domain(held).place(from, groups) {
            Some(found) => {
                (*place).id = found.id;
                (*place).first_group = found.group(0).0;
                true
            }
            None => false,
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn pfnl_errno_to_linux(number: c_int) -> c_int {
    Errno::from_freebsd(number).unwrap_or(Errno::EINVAL).linux()
}

#[unsafe(no_mangle)]
extern "C" fn pfnl_errno_to_freebsd(number: c_int) -> c_int {
    Errno::from_linux(number).unwrap_or(Errno::EINVAL).freebsd()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_family_unregister(held: *mut c_void, info: *const sys::pfnl_info) {
    // SAFETY: as family.h says.
    unsafe {
        let info = FamilyInfo::new((*info).id, (*info).version, GroupId((*info).first_group));
        // It is there: whoever registered it knows its info alone.
        let _ = domain(held).unregister(info);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_unicast(held: *mut c_void, portid: u32, datagram: sys::pfnl_bytes) -> c_int {
    // SAFETY: as family.h says.
    let sent = unsafe { domain(held).unicast(portid, bytes(datagram)) };
    sent.err().map_or(0, Errno::linux)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_multicast(
    held: *mut c_void,
    group: u32,
    bytes: *const c_void,
    len: usize,
    exclude: u32,
) {
    // SAFETY: as family.h says.
    unsafe { domain(held).multicast(GroupId(group), slice(bytes.cast::<u8>(), len), exclude) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pfnl_has_listeners(held: *mut c_void, group: u32) -> bool {
    // SAFETY: as family.h says.
    unsafe { domain(held).has_listeners(GroupId(group)) }
}
