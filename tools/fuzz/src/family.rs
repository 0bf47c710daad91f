//! What a family takes: known from its tables, or asked of its kernel.
//!
//! nlctrl tells of each family what commands it has (GETFAMILY) and, since Linux 5.10, what each command's attributes
//! must be like (GETPOLICY). That is enough to make messages for families that nobody here has heard of.

use pfnl_proto::msg::{Header, Messages, NLM_F_DUMP, NLM_F_REQUEST};
use pfnl_proto::nlctrl::{self, ctrl, group, op, op_policy, policy_type};
use pfnl_proto::{Attr, Attrs, Kind, Level, Policy, Row, Table, Writer, genl};
use std::collections::{BTreeMap, HashMap};

/// A command of a family.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    /// Its number.
    pub cmd: u8,
    /// What its attributes are; `None` if that is not known, or there are none.
    pub table: Option<&'static Table>,
    /// Whether it can be asked for once.
    pub run: bool,
    /// Whether it can be asked for as a dump.
    pub dump: bool,
}

/// A family of generic netlink.
#[derive(Clone, Debug)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// The type of its messages.
    pub id: u16,
    /// Its version.
    pub version: u8,
    /// Length of its user header.
    pub hdrsize: usize,
    /// Its commands.
    pub ops: Vec<Op>,
    /// Its groups, by name and number.
    pub groups: Vec<(String, u32)>,
}

/// The request for all families of a kernel.
pub fn request_families() -> Vec<u8> {
    request(nlctrl::cmd::GETFAMILY, |_| {})
}

/// The request for a family's policies.
pub fn request_policies(id: u16) -> Vec<u8> {
    request(nlctrl::cmd::GETPOLICY, |w| _ = ctrl::Put(w).family_id(id))
}

fn request(cmd: u8, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header =
        Header { kind: genl::GENL_ID_CTRL, flags: NLM_F_REQUEST | NLM_F_DUMP, seq: 1, ..Header::default() };
    Writer::new(&mut bytes).message(header, |w| {
        w.raw_fixed(&genl::Header { cmd, version: nlctrl::VERSION, reserved: 0 });
        fill(w);
    });
    bytes
}

/// What the answer to [`request_families`] says, by id.
pub fn read_families(datagrams: &[Vec<u8>]) -> Vec<Family> {
    let messages = datagrams.iter().flat_map(|datagram| Messages::new(datagram));
    let mut families: Vec<_> = messages.filter_map(|message| family(message.bytes)).collect();
    families.sort_by_key(|family| family.id);
    families
}

fn family(message: &[u8]) -> Option<Family> {
    let attrs = Attrs::new(message.get(genl::USER_HEADER..)?, genl::USER_HEADER as u32);
    let view = ctrl::View::parse(attrs, Level::Liberal).ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = text(view.family_name()?);
    let groups = view.mcast_groups().into_iter().flatten().filter_map(|attr| {
        let group = group::View::parse(attr.attrs(), Level::Liberal).ok()?;
        Some((text(group.name()?), group.id()?))
    });
    let ops = view.ops().into_iter().flatten().filter_map(|attr| {
        let op = op::View::parse(attr.attrs(), Level::Liberal).ok()?;
        let flags = op.flags().unwrap_or(0);
        Some(Op {
            cmd: u8::try_from(op.id()?).ok()?,
            table: known(&name).map(|(table, _)| table),
            run: flags & genl::GENL_CMD_CAP_DO != 0,
            dump: flags & genl::GENL_CMD_CAP_DUMP != 0,
        })
    });
    Some(Family {
        ops: ops.collect(),
        groups: groups.collect(),
        id: view.family_id()?,
        version: u8::try_from(view.version().unwrap_or(1)).unwrap_or(1),
        hdrsize: usize::try_from(view.hdrsize().unwrap_or(0)).ok().filter(|len| *len < 256)?,
        name,
    })
}

/// The table of a family that is known here, and how long its user header is.
pub fn known(family: &str) -> Option<(&'static Table, usize)> {
    use pfnl_proto::ovs;
    Some(match family {
        nlctrl::NAME => (&ctrl::TABLE, 0),
        "ovs_datapath" => (&ovs::datapath::TABLE, ovs::OVS_HDRLEN),
        "ovs_vport" => (&ovs::vport::TABLE, ovs::OVS_HDRLEN),
        "ovs_flow" => (&ovs::flow::TABLE, ovs::OVS_HDRLEN),
        "ovs_packet" => (&ovs::packet::TABLE, ovs::OVS_HDRLEN),
        "ovs_meter" => (&ovs::meter::TABLE, ovs::OVS_HDRLEN),
        "ovs_ct_limit" => (&ovs::ct_limit::TABLE, ovs::OVS_HDRLEN),
        pfnl_proto::psample::NAME => (&pfnl_proto::psample::psample::TABLE, 0),
        _ => return None,
    })
}

impl Family {
    /// Takes over what the answer to [`request_policies`] says of commands without a table. Tables live as long as
    /// the program: a fuzzer asks once.
    pub fn learn(&mut self, datagrams: &[Vec<u8>]) {
        let mut policies = Policies::default();
        let mut of_op: HashMap<u8, u32> = HashMap::new();
        let start = genl::USER_HEADER;
        for message in datagrams.iter().flat_map(|datagram| Messages::new(datagram)) {
            let Some(bytes) =
                message.bytes.get(start..).filter(|_| message.header.kind == genl::GENL_ID_CTRL)
            else {
                continue;
            };
            let Ok(view) = ctrl::View::parse(Attrs::new(bytes, 0), Level::Liberal) else { continue };
            for attr in view.op_policy().into_iter().flatten() {
                let Ok(op) = op_policy::View::parse(attr.attrs(), Level::Liberal) else { continue };
                if let Some(policy) = op.do_policy().or(op.dump_policy()) {
                    of_op.insert(attr.number() as u8, policy);
                }
            }
            for policy in view.policy().map(|bytes| Attrs::new(bytes, 0)).into_iter().flatten() {
                for attr in policy.attrs() {
                    policies.add(policy.number().into(), &attr);
                }
            }
        }
        for op in self.ops.iter_mut().filter(|op| op.table.is_none()) {
            op.table = of_op.get(&op.cmd).map(|policy| policies.table(*policy, 4));
        }
    }
}

/// A row as a policy tells of it, and the policy of what is in it.
type Told = (Kind, Policy, Option<u32>);

#[derive(Default)]
struct Policies {
    told: HashMap<u32, BTreeMap<u16, Told>>,
    made: HashMap<(u32, usize), &'static Table>,
}

impl Policies {
    fn add(&mut self, policy: u32, attr: &Attr<'_>) {
        let Ok(view) = policy_type::View::parse(attr.attrs(), Level::Liberal) else { return };
        let size = |len: Option<u32>| len.and_then(|len| u16::try_from(len).ok()).unwrap_or(0);
        let (least, most) = (size(view.min_length()), size(view.max_length()));
        let unsigned = |width: u8| {
            let all = u64::MAX >> (64 - 8 * u32::from(width));
            let max = view.max_value_u().unwrap_or(all).min(view.mask().unwrap_or(all));
            (Kind::Uint(width), Policy::Uint(width, view.min_value_u().unwrap_or(0), max))
        };
        let signed = |width: u8| {
            let (min, max) =
                (view.min_value_s().map(u64::cast_signed), view.max_value_s().map(u64::cast_signed));
            (Kind::Sint(width), Policy::Sint(width, min.unwrap_or(i64::MIN), max.unwrap_or(i64::MAX)))
        };
        // NL_ATTR_TYPE_*.
        let (kind, rule) = match view.attr_type().unwrap_or(0) {
            1 => (Kind::Flag, Policy::Flag),
            2 => unsigned(1),
            3 => unsigned(2),
            4 | 17 => unsigned(4),
            5 => unsigned(8),
            6 => signed(1),
            7 => signed(2),
            8 | 16 => signed(4),
            9 => signed(8),
            11 => (Kind::String(most), Policy::String(most)),
            12 => (Kind::NulString(most), Policy::NulString(most)),
            13 => (Kind::Nest(&EMPTY), Policy::Nested),
            14 => (Kind::Array(&EMPTY), Policy::Nested),
            15 => (Kind::Struct(8), Policy::Binary(8, 8)),
            10 if least == most && least > 0 => (Kind::Struct(least), Policy::Binary(least, most)),
            _ => (Kind::Bytes(most), Policy::Binary(least, most)),
        };
        let told = (kind, rule, view.policy_idx());
        self.told.entry(policy).or_default().insert(attr.number(), told);
    }

    /// Nests may be in themselves: below some depth their attributes are not known.
    fn table(&mut self, policy: u32, depth: usize) -> &'static Table {
        if let Some(table) = self.made.get(&(policy, depth)) {
            return table;
        }
        let told = self.told.get(&policy).cloned().unwrap_or_default();
        let rows = told.into_iter().map(|(number, (kind, policy, inner))| {
            let kind = match (kind, inner) {
                (Kind::Nest(_), Some(inner)) if depth > 0 => Kind::Nest(self.table(inner, depth - 1)),
                (Kind::Array(_), Some(inner)) if depth > 0 => Kind::Array(self.table(inner, depth - 1)),
                (kind, _) => kind,
            };
            Row { number, name: "attribute", kind, layout: None, policy }
        });
        let rows: &'static [Row] = Box::leak(rows.collect::<Vec<_>>().into_boxed_slice());
        let table: &'static Table = Box::leak(Box::new(Table::of_rows("policy", rows)));
        self.made.insert((policy, depth), table);
        table
    }
}

static EMPTY: Table = Table::of_rows("unknown", &[]);
