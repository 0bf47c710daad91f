//! nlctrl: answers which families there are, and tells who listens of those that come and go.

use crate::bus::Bus;
use crate::domain::Domain;
use crate::dump::{Dump, DumpBlock, Progress};
use crate::family::{Context, FamilyDef, Op, Request};
use crate::registry::Registered;
use alloc::boxed::Box;
use alloc::vec::Vec;
use pfnl_platform::{Errno, Platform, Result, Shared, try_box};
use pfnl_proto::ack::{describable, describe};
use pfnl_proto::nlctrl::{self, cmd, ctrl, get_family, get_policy, group, op, op_policy};
use pfnl_proto::{Error, Level, Table, Writer, genl};

/// nlctrl's state is the domain it lists; [`Domain::shut_down`] breaks the circle.
struct Ctrl<P: Platform> {
    domain: Shared<Domain<P>>,
}

impl<P: Platform> Ctrl<P> {
    const DEF: &'static FamilyDef<Ctrl<P>> = &FamilyDef {
        name: nlctrl::NAME,
        version: nlctrl::VERSION,
        hdrsize: 0,
        table: None,
        ops: &[
            Op {
                cmd: cmd::GETFAMILY,
                flags: 0,
                table: Some(&get_family::TABLE),
                level: Level::Liberal,
                run: Some(find),
                dump: Some(|ctrl, _| Ok(try_box(Families { domain: ctrl.domain.clone(), next: 0 })?)),
                dump_validated: true,
            },
            Op {
                cmd: cmd::GETPOLICY,
                flags: 0,
                table: Some(&get_policy::TABLE),
                level: Level::Strict,
                run: None,
                dump: Some(policies),
                dump_validated: true,
            },
        ],
        groups: &[nlctrl::GROUP_NOTIFY],
        admin_groups: &[],
    };
}

pub(crate) fn register<P: Platform>(domain: &Shared<Domain<P>>) -> Result<()> {
    let state = Shared::try_new(Ctrl { domain: domain.clone() })?;
    domain.register(Ctrl::<P>::DEF, state).map(drop)
}

/// Tells nlctrl's listeners of a family: NEWFAMILY, then NEWMCAST_GRP for each group; the other way round when it goes.
pub(crate) fn announce<P: Platform>(domain: &Domain<P>, registered: &Registered, appears: bool) {
    // nlctrl is announced to nobody: there was no domain before it.
    let Some(nlctrl) = domain.family(genl::GENL_ID_CTRL) else { return };
    let notify = nlctrl.info.group(0);
    if !domain.has_listeners(notify) {
        return;
    }
    let tell = |cmd, fill: &dyn Fn(&mut Writer<'_>)| {
        let mut bytes = Vec::new();
        // Without memory the listeners miss it; they can ask.
        if nlctrl.info.write(&mut Writer::new(&mut bytes), cmd, 0, 0, 0, |w| fill(w)).is_ok() {
            domain.multicast(notify, &bytes, 0);
        }
    };
    let groups = || {
        let cmd = if appears { cmd::NEWMCAST_GRP } else { cmd::DELMCAST_GRP };
        for index in 0..registered.family.groups() {
            tell(cmd, &|w| write_one_group(w, registered, index));
        }
    };
    if appears {
        tell(cmd::NEWFAMILY, &|w| write_family(w, registered));
        groups();
    } else {
        groups();
        tell(cmd::DELFAMILY, &|w| write_family(w, registered));
    }
}

/// `GETFAMILY { FAMILY_NAME "ovs_flow" }` or `{ FAMILY_ID 38 }`
fn find<P: Platform>(ctrl: &Shared<Ctrl<P>>, context: &mut Context<'_>) -> Result<(), Error> {
    let view = get_family::View::of(&context.request.validated)?;
    let by_id = view.family_id().map(|id| ctrl.domain.family(id));
    let by_name = view.family_name().map(|name| ctrl.domain.family_by_name(name));
    let found = by_name.or(by_id).ok_or(Error::new(Errno::EINVAL))?;
    let registered = found.ok_or(Error::new(Errno::ENOENT))?;
    context.reply(cmd::NEWFAMILY, |w| write_family(w, &registered))
}

/// A dump of all families, in id order.
struct Families<P: Platform> {
    domain: Shared<Domain<P>>,
    next: u16,
}

impl<P: Platform> Dump for Families<P> {
    fn next(&mut self, block: &mut DumpBlock<'_, '_>) -> Result<Progress, Error> {
        while let Some(registered) = self.domain.family_from(self.next) {
            if !block.record(cmd::NEWFAMILY, |w| write_family(w, &registered))? {
                return Ok(Progress::More);
            }
            self.next = registered.info.id.saturating_add(1);
        }
        Ok(Progress::End)
    }
}

fn write_family(w: &mut Writer<'_>, registered: &Registered) {
    let (info, family) = (&registered.info, &*registered.family);
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut put = ctrl::Put(w);
    put.family_name(family.name().as_bytes())
        .family_id(info.id)
        .version(info.version.into())
        .hdrsize(number(family.hdrsize()))
        .maxattr(family.maxattr().into());
    if family.op(0).is_some() {
        put.ops(|w| {
            for (number, info) in (1u16..).zip((0..).map_while(|index| family.op(index))) {
                w.nest(number, |w| {
                    op::Put(w).id(info.cmd.into()).flags(info.flags);
                });
            }
        });
    }
    if family.groups() > 0 {
        put.mcast_groups(|w| {
            for (number, index) in (1u16..).zip(0..family.groups()) {
                w.nest(number, |w| write_group(w, registered, index));
            }
        });
    }
}

fn write_group(w: &mut Writer<'_>, registered: &Registered, index: usize) {
    let name = registered.family.group(index);
    group::Put(w).id(registered.info.group(index).0).name(name.as_bytes());
}

fn write_one_group(w: &mut Writer<'_>, registered: &Registered, index: usize) {
    ctrl::Put(w).family_name(registered.family.name().as_bytes()).family_id(registered.info.id).mcast_groups(
        |w| {
            w.nest(1, |w| write_group(w, registered, index));
        },
    );
}

/// `GETPOLICY { FAMILY_NAME "ovs_flow" }`, `{ FAMILY_ID 38 OP 1 }`
fn policies<P: Platform>(ctrl: &Shared<Ctrl<P>>, request: &Request<'_>) -> Result<Box<dyn Dump>, Error> {
    let view = get_policy::View::of(&request.validated)?;
    let by_id = view.family_id().map(|id| ctrl.domain.family(id));
    let by_name = view.family_name().map(|name| ctrl.domain.family_by_name(name));
    let found = by_id.or(by_name).ok_or(Error::new(Errno::EINVAL))?;
    let registered = found.ok_or(Error::new(Errno::ENOENT))?;
    let only = match view.op() {
        None => None,
        Some(wanted) => {
            let at = view.0.attr(get_policy::OP).map_or(0, |attr| attr.offset());
            let ops = (0usize..).map_while(|index| registered.family.op(index).map(|op| (index, op)));
            let found = ops.into_iter().find(|(_, op)| u32::from(op.cmd) == wanted);
            Some(found.ok_or(Error::new(Errno::ENOENT).at(at))?.0)
        }
    };
    let next_op = only.unwrap_or(0);
    let policies = Policies { registered, only, next_op, next_policy: 0, next_row: 0 };
    if policies.table(0).is_none() {
        return Err(Error::new(Errno::ENODATA));
    }
    Ok(try_box(policies)?)
}

/// A dump of a family's policies: which one each command uses, then the attributes of each.
struct Policies {
    registered: Shared<Registered>,
    only: Option<usize>,
    next_op: usize,
    next_policy: u16,
    next_row: usize,
}

impl Policies {
    /// The tables of the commands asked for, in their order.
    fn tables(&self) -> impl Iterator<Item = &'static Table> {
        let ops = (0usize..).map_while(|index| self.registered.family.op(index).map(|op| (index, op)));
        ops.filter(|(index, _)| self.only.is_none_or(|only| only == *index)).filter_map(|(_, op)| op.table)
    }

    /// The `number`th different one of them.
    fn table(&self, number: u16) -> Option<&'static Table> {
        let is_first = |(at, table): &(usize, &'static Table)| {
            self.tables().position(|other| core::ptr::eq(other, *table)) == Some(*at)
        };
        self.tables().enumerate().filter(is_first).nth(number.into()).map(|(_, table)| table)
    }

    /// Which of the different ones a command's table is.
    fn number(&self, table: Option<&'static Table>) -> u32 {
        let same = |number: &u16| match (self.table(*number), table) {
            (Some(a), Some(b)) => core::ptr::eq(a, b),
            (a, _) => a.is_none(),
        };
        (0u16..).find(same).unwrap_or(0).into()
    }
}

impl Dump for Policies {
    fn next(&mut self, block: &mut DumpBlock<'_, '_>) -> Result<Progress, Error> {
        let id = self.registered.info.id;
        while let Some(info) = self.registered.family.op(self.next_op) {
            let number = self.number(info.table);
            let fits = block.record(cmd::GETPOLICY, |w| {
                ctrl::Put(w).family_id(id).0.nest_marked(ctrl::OP_POLICY, |w| {
                    w.nest_marked(info.cmd.into(), |w| {
                        let mut put = op_policy::Put(w);
                        if info.flags & genl::GENL_CMD_CAP_DO != 0 {
                            put.do_policy(number);
                        }
                        if info.flags & genl::GENL_CMD_CAP_DUMP != 0 && info.dump_validated {
                            put.dump_policy(number);
                        }
                    });
                });
            })?;
            if !fits {
                return Ok(Progress::More);
            }
            self.next_op = if self.only.is_some() { usize::MAX } else { self.next_op.saturating_add(1) };
        }
        while let Some(table) = self.table(self.next_policy) {
            while let Some(row) = table.rows.get(self.next_row) {
                let fits = !describable(row)
                    || block.record(cmd::GETPOLICY, |w| {
                        ctrl::Put(w).family_id(id).0.nest_marked(ctrl::POLICY, |w| {
                            w.nest_marked(self.next_policy, |w| {
                                w.nest_marked(row.number, |w| describe(w, row));
                            });
                        });
                    })?;
                if !fits {
                    return Ok(Progress::More);
                }
                self.next_row = self.next_row.saturating_add(1);
            }
            self.next_policy = self.next_policy.saturating_add(1);
            self.next_row = 0;
        }
        Ok(Progress::Done)
    }
}
