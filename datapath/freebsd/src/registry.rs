//! pfnl.ko's domain, seen from here: families are registered with it and sockets reached through C functions
//! (kern-sock/freebsd/glue/family.h).

use crate::count::Held;
use crate::protocol;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::{c_int, c_void};
use core::mem::ManuallyDrop;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};
use pfnl_kernel::{Mtx, in_epoch, sys};
use pfnl_platform::{Errno, Mutex, Result, Shared, try_box, try_push};
use pfnl_proto::ack::Extack;
use pfnl_proto::{Attrs, Error, Kind, Level, Policy, Row, Table, Validated, Writer, genl, msg};
use pfnl_sock::{
    Bus, Context, Credentials, Dump, DumpBlock, FamilyDef, FamilyInfo, GroupId, Progress, Protocol, Registry,
    Request,
};

/// A domain, held.
///
/// # Invariants
/// The pointer is of `pfnl_domain_hold` or `pfnl_protocol_serve`, which anything may be asked of from any thread. Before
/// the latter it is null, and nobody has this yet.
struct Domain(AtomicPtr<c_void>);

impl Drop for Domain {
    fn drop(&mut self) {
        let place = *self.0.get_mut();
        if !place.is_null() {
            // SAFETY: invariant.
            unsafe { sys::pfnl_domain_release(place) }
        }
    }
}

/// The way to a domain's sockets.
#[derive(Clone)]
struct Sockets(Shared<Domain>);

impl Sockets {
    fn domain(&self) -> *mut c_void {
        // Relaxed: set before others get to see it.
        self.0.0.load(Ordering::Relaxed)
    }
}

impl Bus for Sockets {
    fn unicast(&self, portid: u32, bytes: Vec<u8>) -> Result<()> {
        // SAFETY: the domain is held; the bytes are given away.
        result(unsafe { sys::pfnl_unicast(self.domain(), portid, give(bytes)) })
    }

    fn multicast(&self, group: GroupId, bytes: &[u8], exclude: u32) {
        let place = bytes.as_ptr().cast();
        // SAFETY: the domain is held; the bytes are lent.
        unsafe { sys::pfnl_multicast(self.domain(), group.0, place, bytes.len(), exclude) }
    }

    fn has_listeners(&self, group: GroupId) -> bool {
        // SAFETY: the domain is held.
        unsafe { sys::pfnl_has_listeners(self.domain(), group.0) }
    }
}

pub fn result(error: c_int) -> Result<()> {
    if error == 0 { Ok(()) } else { Err(Errno::from_linux(error).unwrap_or(Errno::EINVAL)) }
}

/// Bytes of our allocator, which is pfnl.ko's, for their new owner.
pub fn give(bytes: Vec<u8>) -> sys::pfnl_bytes {
    let mut bytes = ManuallyDrop::new(bytes);
    sys::pfnl_bytes { place: bytes.as_mut_ptr(), len: bytes.len(), capacity: bytes.capacity() }
}

/// The current vnet's domain, and what is registered there.
pub struct Pfnl {
    sockets: Sockets,
    registered: Mtx<Vec<Registered>>,
    served: Mtx<Vec<Served>>,
}

struct Served {
    sockets: Sockets,
    state: Box<Box<dyn Protocol>>,
}

struct Registered {
    info: sys::pfnl_info,
    /// A `State<F>`, and what frees it.
    state: NonNull<c_void>,
    free: unsafe fn(NonNull<c_void>),
}

// SAFETY: the state is one that threads share.
unsafe impl Send for Registered {}

/// A family's side here.
struct State<F: 'static> {
    def: &'static FamilyDef<F>,
    state: Shared<F>,
    sockets: Sockets,
    tables: Vec<&'static Table>,
}

impl Pfnl {
    /// The current vnet's.
    ///
    /// # Errors
    /// `ENOMEM`; also when the vnet has no domain.
    pub fn hold() -> Result<Pfnl> {
        // SAFETY: curvnet is set.
        let domain = unsafe { sys::pfnl_domain_hold() };
        if domain.is_null() {
            return Err(Errno::ENOMEM);
        }
        let sockets = Sockets(Shared::try_new(Domain(AtomicPtr::new(domain)))?);
        Ok(Pfnl {
            sockets,
            registered: Mtx::try_new(c"openvswitch families", Vec::new())?,
            served: Mtx::try_new(c"openvswitch protocols", Vec::new())?,
        })
    }

    /// Takes the families away; in a vnet that is dying they go with their domain, and nobody is left to call them.
    pub fn end(&self, dying: bool) {
        let served = core::mem::take(&mut *self.served.lock());
        for Served { sockets, state } in served {
            if !dying {
                // SAFETY: served by this domain; afterwards nobody calls the protocol any more.
                unsafe { sys::pfnl_protocol_end(self.sockets.domain(), sockets.domain()) };
            }
            drop(state);
        }
        let registered = core::mem::take(&mut *self.registered.lock());
        for Registered { info, state, free } in registered {
            // SAFETY: registered with this domain. Afterwards nobody calls the family any more, and its state is ours.
            unsafe {
                if !dying {
                    sys::pfnl_family_unregister(self.sockets.domain(), &raw const info);
                }
                free(state);
            }
        }
    }
}

impl Drop for Pfnl {
    fn drop(&mut self) {
        // What a failure has left; else there is nothing. Nobody can know of families that were there for a moment only
        // but by a request that is under way: that is waited for.
        self.end(false);
    }
}

impl Registry for Pfnl {
    fn register<F: Send + Sync>(&self, def: &'static FamilyDef<F>, state: Shared<F>) -> Result<FamilyInfo> {
        let mut tables = Vec::new();
        let own = def.table.into_iter().chain(def.ops.iter().filter_map(|op| op.table));
        own.into_iter().try_for_each(|table| collect(&mut tables, table, 0))?;
        let place = |table: Option<&'static Table>| {
            let at = table.and_then(|table| tables.iter().position(|other| core::ptr::eq(*other, table)));
            at.map_or(sys::PFNL_NO_TABLE, |at| at as u32)
        };
        let mut rows = Vec::new();
        for table in &tables {
            let mut own = Vec::new();
            own.try_reserve_exact(table.rows.len())?;
            own.extend(table.rows.iter().map(row));
            try_push(&mut rows, own)?;
        }
        let mut c_tables = Vec::new();
        for rows in &rows {
            try_push(&mut c_tables, sys::pfnl_table { rows: rows.as_ptr(), count: rows.len() })?;
        }
        let mut ops = Vec::new();
        for op in (0..).map_while(|index| def.op(index)) {
            let (strict, table) = (op.level == Level::Strict, place(op.table));
            let op = sys::pfnl_op {
                flags: op.flags,
                table,
                cmd: op.cmd,
                strict,
                dump_validated: op.dump_validated,
            };
            try_push(&mut ops, op)?;
        }
        let mut groups = Vec::new();
        let mut admin_groups = 0;
        for (index, group) in def.groups.iter().enumerate() {
            try_push(&mut groups, text(group))?;
            if def.admin_groups.contains(group) {
                admin_groups |= 1u64.checked_shl(index as u32).ok_or(Errno::EINVAL)?;
            }
        }
        let own_table = place(def.table);
        self.registered.lock().try_reserve(1)?;
        let state = try_box(State { def, state, sockets: self.sockets.clone(), tables })?;
        let state = NonNull::from(Box::leak(state)).cast::<c_void>();
        let family = sys::pfnl_family {
            abi: sys::PFNL_FAMILY_ABI,
            hdrsize: def.hdrsize as u32,
            name: text(def.name),
            tables: c_tables.as_ptr(),
            table_count: c_tables.len(),
            ops: ops.as_ptr(),
            op_count: ops.len(),
            groups: groups.as_ptr(),
            group_count: groups.len(),
            admin_groups,
            own_table,
            version: def.version,
            state: state.as_ptr(),
            run: Some(run::<F>),
            dump: Some(dump::<F>),
            dump_next: Some(next),
            dump_free: Some(free_dump),
        };
        let mut info = sys::pfnl_info::default();
        // SAFETY: the domain is held, and the family is as family.h wants it.
        let error =
            unsafe { sys::pfnl_family_register(self.sockets.domain(), &raw const family, &raw mut info) };
        let registered = Registered { info, state, free: free::<F> };
        if let Err(errno) = result(error) {
            // SAFETY: nobody has got to know of it.
            unsafe { free::<F>(state) };
            return Err(errno);
        }
        // There is room: reserved above, and nobody else registers.
        self.registered.lock().push(registered);
        Ok(FamilyInfo::new(info.id, info.version, GroupId(info.first_group)))
    }

    fn bus(&self) -> Result<Box<dyn Bus>> {
        Ok(try_box(self.sockets.clone())?)
    }

    fn serve(&self, protocol: Box<dyn Protocol>) -> Result<Box<dyn Bus>> {
        self.served.lock().try_reserve(1)?;
        let sockets = Sockets(Shared::try_new(Domain(AtomicPtr::new(null_mut())))?);
        let bus = try_box(sockets.clone())?;
        let state = try_box(protocol)?;
        let def = protocol::describe(&state);
        let mut error = 0;
        // SAFETY: the domain is held, and the protocol is as family.h wants it: its state stays where it is.
        let own = unsafe { sys::pfnl_protocol_serve(self.sockets.domain(), &raw const def, &raw mut error) };
        if own.is_null() {
            return Err(Errno::from_linux(error).unwrap_or(Errno::ENOMEM));
        }
        sockets.0.0.store(own, Ordering::Relaxed);
        // There is room: reserved above, and nobody else serves.
        self.served.lock().push(Served { sockets, state });
        Ok(bus)
    }
}

/// # Safety
/// `state` is a leaked box of a `State<F>`, and nobody else's any more.
unsafe fn free<F: 'static>(state: NonNull<c_void>) {
    // SAFETY: the caller's.
    drop(unsafe { Box::from_raw(state.cast::<State<F>>().as_ptr()) });
}

/// Nests are no deeper than this.
const DEPTH: u32 = 8;

/// A table and those of its nests, each once.
fn collect(tables: &mut Vec<&'static Table>, table: &'static Table, depth: u32) -> Result<()> {
    if depth > DEPTH || tables.iter().any(|other| core::ptr::eq(*other, table)) {
        return Ok(());
    }
    try_push(tables, table)?;
    for row in table.rows {
        if let Kind::Nest(table) | Kind::List(table) | Kind::Array(table) = row.kind {
            collect(tables, table, depth + 1)?;
        }
    }
    Ok(())
}

fn row(row: &Row) -> sys::pfnl_row {
    let (policy, width, least, most) = match row.policy {
        Policy::None => (sys::PFNL_POLICY_NONE, 0, 0, 0),
        Policy::Min(least) => (sys::PFNL_POLICY_MIN, 0, least.into(), 0),
        Policy::Reject => (sys::PFNL_POLICY_REJECT, 0, 0, 0),
        Policy::Flag => (sys::PFNL_POLICY_FLAG, 0, 0, 0),
        Policy::Uint(width, least, most) => (sys::PFNL_POLICY_UINT, width, least, most),
        Policy::Sint(width, least, most) => {
            (sys::PFNL_POLICY_SINT, width, least.cast_unsigned(), most.cast_unsigned())
        }
        Policy::String(most) => (sys::PFNL_POLICY_STRING, 0, 0, most.into()),
        Policy::NulString(most) => (sys::PFNL_POLICY_NUL_STRING, 0, 0, most.into()),
        Policy::Binary(least, most) => (sys::PFNL_POLICY_BINARY, 0, least.into(), most.into()),
        Policy::Nested => (sys::PFNL_POLICY_NESTED, 0, 0, 0),
    };
    sys::pfnl_row { least, most, number: row.number, policy: policy as u8, width }
}

pub fn text(text: &'static str) -> sys::pfnl_str {
    sys::pfnl_str { text: text.as_ptr().cast(), len: text.len() }
}

/// # Safety
/// `place` points to `len` bytes that stay as they are for as long as the result is used; anything if `len` is 0.
pub unsafe fn lent<'a>(place: *const c_void, len: usize) -> &'a [u8] {
    // SAFETY: the caller's.
    if len == 0 { &[] } else { unsafe { core::slice::from_raw_parts(place.cast(), len) } }
}

/// # Safety
/// As family.h says of a request.
unsafe fn request<'a>(request: &'a sys::pfnl_request) -> Request<'a> {
    // SAFETY: the caller's.
    let (user_header, attrs) = unsafe {
        (lent(request.user_header, request.user_header_len), lent(request.attrs, request.attrs_len))
    };
    let attrs = Attrs::new(attrs, request.attrs_at);
    Request {
        header: msg::Header {
            len: request.len,
            kind: request.kind,
            flags: request.flags,
            seq: request.seq,
            portid: request.header_portid,
        },
        genl: genl::Header { cmd: request.cmd, version: request.version, reserved: request.reserved },
        user_header,
        attrs,
        // pfnl.ko has validated them, and kept to itself where they are.
        validated: Validated::later(attrs),
        portid: request.portid,
        sender: Credentials {
            pid: request.pid,
            uid: request.uid,
            gid: request.gid,
            net_admin: request.net_admin,
            net_broadcast: request.net_broadcast,
        },
    }
}

fn info(info: &sys::pfnl_info) -> FamilyInfo {
    FamilyInfo::new(info.id, info.version, GroupId(info.first_group))
}

/// What became of a request, in C's terms.
pub fn tell(outcome: &mut sys::pfnl_outcome, error: &Error, tables: &[&'static Table]) {
    outcome.error = error.errno.linux();
    outcome.text = error.text.map_or(text(""), text);
    let mut has = |value: Option<u32>, what: u32, place: &mut u32| {
        if let Some(value) = value {
            *place = value;
            outcome.has |= what;
        }
    };
    has(error.offset, sys::PFNL_HAS_OFFSET, &mut outcome.offset);
    has(error.missing_in, sys::PFNL_HAS_MISSING_IN, &mut outcome.missing_in);
    if let Some(missing) = error.missing {
        outcome.missing = missing;
        outcome.has |= sys::PFNL_HAS_MISSING;
    }
    let holds = |table: &&Table, row: &Row| table.rows.iter().any(|other| core::ptr::eq(other, row));
    if let Some(row) = error.row
        && let Some(table) = tables.iter().position(|table| holds(table, row))
    {
        (outcome.table, outcome.row) = (table as u32, row.number);
        outcome.has |= sys::PFNL_HAS_ROW;
    }
}

/// Families whose handlers may sleep: they open and close interfaces, and send no packets.
const SLEEPERS: [&str; 2] = ["ovs_datapath", "ovs_vport"];

unsafe extern "C" fn run<F: Send + Sync + 'static>(
    state: *mut c_void,
    op: u32,
    asked: *const sys::pfnl_request,
    outcome: *mut sys::pfnl_outcome,
) {
    // SAFETY: as family.h says: the state is the family's, the rest is there until we return.
    let (state, asked, outcome) = unsafe { (&*state.cast::<State<F>>(), &*asked, &mut *outcome) };
    let mut extack = Extack::default();
    // SAFETY: as above.
    let request = unsafe { request(asked) };
    let mut context = Context::new(request, info(&asked.info), &mut extack, &state.sockets);
    let handled = match state.def.ops.get(op as usize).and_then(|op| op.run) {
        Some(run) if SLEEPERS.contains(&state.def.name) => run(&state.state, &mut context),
        // What sends packets does it as the network stack does.
        Some(run) => in_epoch(|| run(&state.state, &mut context)),
        None => Err(Errno::EOPNOTSUPP.into()),
    };
    outcome.warning = extack.text.map_or(text(""), text);
    (outcome.cookie, outcome.cookie_len) = extack.cookie;
    if let Err(error) = handled {
        tell(outcome, &error, &state.tables);
    }
}

/// A dump in progress.
pub struct Running {
    pub dump: Box<dyn Dump>,
    pub held: Held,
}

unsafe extern "C" fn dump<F: Send + Sync + 'static>(
    state: *mut c_void,
    op: u32,
    asked: *const sys::pfnl_request,
    outcome: *mut sys::pfnl_outcome,
) -> *mut c_void {
    // SAFETY: as in `run`.
    let (state, asked, outcome) = unsafe { (&*state.cast::<State<F>>(), request(&*asked), &mut *outcome) };
    let begin = || {
        let held = Held::dump()?;
        let start = state.def.ops.get(op as usize).and_then(|op| op.dump).ok_or(Errno::EOPNOTSUPP)?;
        Ok::<_, Error>(try_box(Running { dump: start(&state.state, &asked)?, held })?)
    };
    match begin() {
        Ok(running) => {
            outcome.dump_flags = running.dump.flags();
            Box::into_raw(running).cast()
        }
        Err(error) => {
            tell(outcome, &error, &state.tables);
            null_mut()
        }
    }
}

pub unsafe extern "C" fn next(
    running: *mut c_void,
    block: *mut sys::pfnl_block,
    outcome: *mut sys::pfnl_outcome,
) -> c_int {
    // SAFETY: of `dump`, and not freed yet; one call at a time.
    let (running, block, outcome) = unsafe { (&mut *running.cast::<Running>(), &mut *block, &mut *outcome) };
    let mut records = Vec::new();
    let mut writer = Writer::with_limit(&mut records, block.room);
    let mut there = DumpBlock::new(&mut writer, info(&block.info), block.seq, block.portid)
        .with_flags(running.dump.flags());
    let progress = running.dump.next(&mut there);
    drop(writer);
    block.records = give(records);
    let progress = progress.unwrap_or_else(|error| {
        tell(outcome, &error, &[]);
        Progress::Done
    });
    let progress = match progress {
        Progress::More => sys::PFNL_DUMP_MORE,
        Progress::Done => sys::PFNL_DUMP_DONE,
        Progress::End => sys::PFNL_DUMP_END,
    };
    progress.cast_signed()
}

pub unsafe extern "C" fn free_dump(running: *mut c_void) {
    // SAFETY: of `dump`, for the last time.
    drop(unsafe { Box::from_raw(running.cast::<Running>()) });
}
