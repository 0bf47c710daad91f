//! Requests that no client has sent yet: every attribute at every length that is next to a bound, attributes in other orders,
//! repeated, unknown or with other flags, all together; every combination of header flags; several messages in one send; dumps
//! with attributes, and strict checking switched on.

use super::message::{Message, Node, fixed, leaf, nest, text, u32};
use super::meters::{band, ct_limit, meter};
use super::random::{Random, disturb};
use super::{
    AFTER, Around, CAPPED, Case, EXTACK, Make, NOBODY, O0, PLAIN, STRICT, Scenario, actions, keys, packets,
};
use pfnl_proto::msg::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_ECHO, NLM_F_REQUEST};
use pfnl_proto::nlctrl::{cmd as ctrl_cmd, ctrl};
use pfnl_proto::ovs::{
    VPORT_TYPE_INTERNAL, VPORT_TYPE_VXLAN, action, cmd, datapath, flow, key, packet, tunnel_options, vport,
    vxlan_ext,
};
use pfnl_proto::psample as family;
use pfnl_proto::{Kind, Len, NLA_TYPE_MASK, Table};

/// The longest payload that an attribute can have.
const LONGEST: usize = 65_531;

/// A request, and what is around it.
struct Good {
    name: &'static str,
    message: Message,
    around: Around,
}

/// A datapath's request; the datapath `ou` is this file's.
fn of_datapath(cmd: u8, number: Option<i32>) -> Message {
    Message { version: 2, ..Message::new("ovs_datapath", &datapath::TABLE, cmd, number) }
}

fn of_vport(cmd: u8) -> Message {
    Message::new("ovs_vport", &vport::TABLE, cmd, O0)
}

fn of_flow(cmd: u8) -> Message {
    Message::new("ovs_flow", &flow::TABLE, cmd, O0)
}

fn of_meter(cmd: u8) -> Message {
    Message::new("ovs_meter", &meter::TABLE, cmd, O0)
}

fn of_limit(cmd: u8) -> Message {
    Message::new("ovs_ct_limit", &ct_limit::TABLE, cmd, O0)
}

/// What each command is sent as when all is well, with all attributes that it knows.
fn goods() -> Vec<Good> {
    static BANDS: Table = Table::of_rows("bands", &[]);
    let good = |name, message: Message, around| Good { name, message: message.flags(NLM_F_ECHO), around };
    let mut all = Vec::new();

    let ou = || text(datapath::NAME, "ou");
    let new = || {
        of_datapath(cmd::NEW, Some(0)).with([
            ou(),
            u32(datapath::UPCALL_PID, 0),
            u32(datapath::USER_FEATURES, 11),
            u32(datapath::MASKS_CACHE_SIZE, 128),
            leaf(datapath::PER_CPU_PIDS, [1, 0, 0, 0, 2, 0, 0, 0]),
        ])
    };
    let del = || of_datapath(cmd::DEL, Some(0)).with([ou()]);
    let exists = || Around { before: vec![new()], after: vec![del()] };
    all.push(good("ovs_datapath/new", new(), Around::after(del())));
    let set = of_datapath(cmd::SET, Some(0)).with([
        ou(),
        u32(datapath::USER_FEATURES, 3),
        u32(datapath::MASKS_CACHE_SIZE, 64),
        leaf(datapath::PER_CPU_PIDS, [9, 0, 0, 0]),
    ]);
    all.push(good("ovs_datapath/set", set, exists()));
    all.push(good("ovs_datapath/get", of_datapath(cmd::GET, Some(0)).with([ou()]), exists()));
    all.push(good("ovs_datapath/del", del(), exists()));

    let named = || text(vport::NAME, "ow");
    let new = || {
        of_vport(cmd::NEW).with([
            named(),
            u32(vport::TYPE, VPORT_TYPE_INTERNAL),
            u32(vport::UPCALL_PID, 0),
            u32(vport::PORT_NO, 77),
        ])
    };
    let del = || of_vport(cmd::DEL).with([named()]);
    let exists = || Around { before: vec![new()], after: vec![del()] };
    all.push(good("ovs_vport/new", new(), Around::after(del())));
    let options = nest(
        vport::OPTIONS,
        &tunnel_options::TABLE,
        [
            fixed(tunnel_options::DST_PORT, 4791u16),
            nest(tunnel_options::EXTENSION, &vxlan_ext::TABLE, [leaf(vxlan_ext::GBP, [])]),
        ],
    );
    let tunnel = of_vport(cmd::NEW).with([
        named(),
        u32(vport::TYPE, VPORT_TYPE_VXLAN),
        options,
        u32(vport::UPCALL_PID, 0),
    ]);
    all.push(good("ovs_vport/new-vxlan", tunnel, Around::after(del())));
    let set =
        of_vport(cmd::SET).with([named(), u32(vport::UPCALL_PID, 7), u32(vport::TYPE, VPORT_TYPE_INTERNAL)]);
    all.push(good("ovs_vport/set", set, exists()));
    let get = of_vport(cmd::GET).with([u32(vport::PORT_NO, 77), named()]);
    all.push(good("ovs_vport/get", get, exists()));
    all.push(good("ovs_vport/del", del(), exists()));

    let key = |nodes| nest(flow::KEY, &key::TABLE, nodes);
    let mask = |nodes: Vec<Node>| nest(flow::MASK, &key::TABLE, keys::mask(&nodes, 0xff));
    let acts = |nodes| nest(flow::ACTIONS, &action::TABLE, nodes);
    let ufid = || leaf(flow::UFID, (1..17).collect::<Vec<u8>>());
    let flush = || Around::after(of_flow(cmd::DEL));
    let rich =
        || keys::all().into_iter().find(|(name, _)| *name == "qinq").map_or(vec![], |(_, nodes)| nodes);
    let new = || {
        of_flow(cmd::NEW).flags(NLM_F_CREATE).with([
            key(rich()),
            acts(vec![actions::output()]),
            mask(rich()),
            ufid(),
        ])
    };
    let exists = || Around { before: vec![new()], ..flush() };
    let list = || actions::inside(0, actions::steps().into_iter().take(3).map(|(_, node)| node).collect());
    let whole = of_flow(cmd::NEW).flags(NLM_F_CREATE).with([
        ufid(),
        key(rich()),
        mask(rich()),
        acts(vec![list(), actions::output()]),
        leaf(flow::PROBE, []),
        u32(flow::UFID_FLAGS, 0),
    ]);
    all.push(good("ovs_flow/new", whole, flush()));
    let set = of_flow(cmd::SET).with([key(rich()), acts(vec![]), ufid(), leaf(flow::CLEAR, [])]);
    all.push(good("ovs_flow/set", set, exists()));
    let get = of_flow(cmd::GET).with([ufid(), key(rich()), u32(flow::UFID_FLAGS, 2)]);
    all.push(good("ovs_flow/get", get, exists()));
    all.push(good("ovs_flow/del", of_flow(cmd::DEL).with([key(rich()), ufid()]), exists()));

    let bytes = packets::named("vlan");
    let execute = packets::execute(&bytes, vec![keys::in_port()], vec![packets::show()]);
    let execute =
        execute.with([fixed(packet::MRU, 1400u16), fixed(packet::HASH, 7u64), leaf(packet::PROBE, [])]);
    all.push(good("ovs_packet/execute", execute, Around::default()));

    let id = || u32(meter::ID, 5);
    let one = nest(
        1,
        &band::TABLE,
        [u32(band::TYPE, 1), u32(band::RATE, 1000), u32(band::BURST, 10), leaf(band::STATS, [0; 16])],
    );
    let new = || of_meter(2).with([id(), leaf(meter::KBPS, []), nest(meter::BANDS, &BANDS, [one.clone()])]);
    let del = || of_meter(3).with([id()]);
    let exists = || Around { before: vec![new()], after: vec![del()] };
    all.push(good("ovs_meter/features", of_meter(1), Around::default()));
    all.push(good("ovs_meter/set", new().with([leaf(meter::CLEAR, [])]), Around::after(del())));
    all.push(good("ovs_meter/get", of_meter(4).with([id()]), exists()));
    all.push(good("ovs_meter/del", del(), exists()));

    let zone = |zone: i32, limit: u32| [zone.to_ne_bytes(), limit.to_ne_bytes(), [0; 4]].concat();
    let zones = || leaf(ct_limit::ZONE_LIMIT, [zone(-1, 9), zone(6, 8)].concat());
    let exists =
        || Around { before: vec![of_limit(1).with([zones()])], after: vec![of_limit(2).with([zones()])] };
    all.push(good(
        "ovs_ct_limit/set",
        of_limit(1).with([zones()]),
        Around::after(of_limit(2).with([zones()])),
    ));
    all.push(good("ovs_ct_limit/del", of_limit(2).with([zones()]), exists()));
    all.push(good("ovs_ct_limit/get", of_limit(3).with([zones()]), exists()));

    let named = || text(ctrl::FAMILY_NAME, "ovs_packet");
    let get = Message::new("nlctrl", &ctrl::TABLE, ctrl_cmd::GETFAMILY, None).with([named()]);
    all.push(good("nlctrl/getfamily", get, Around::default()));
    let policy = Message::new("nlctrl", &ctrl::TABLE, ctrl_cmd::GETPOLICY, None);
    let policy = policy.flags(NLM_F_DUMP).with([named(), u32(ctrl::OP, 3)]);
    all.push(good("nlctrl/getpolicy", policy, Around::default()));
    let get = Message::new(family::NAME, &family::psample::TABLE, family::cmd::GET_GROUP, None);
    all.push(good(
        "psample/get",
        get.flags(NLM_F_DUMP).with([u32(family::psample::SAMPLE_GROUP, 1)]),
        Around::default(),
    ));
    all
}

type Fill = fn(&mut Make<'_>, &mut Vec<Case>);

pub fn scenarios(make: &mut Make<'_>) -> Vec<Scenario> {
    let fills: [(&'static str, Fill); 6] = [
        ("unseen lengths", lengths),
        ("unseen flags", flags),
        ("unseen orders", orders),
        ("unseen batches", batches),
        ("unseen dumps", dumps),
        ("unseen flows", flows),
    ];
    let scenario = |(name, fill): (&'static str, Fill)| {
        let mut cases = Vec::new();
        fill(make, &mut cases);
        Scenario { name, world: true, cases }
    };
    fills.map(scenario).into()
}

/// What is around a changed request: what it may have made under another name or number goes away too.
fn with_cleaning(around: &Around, changed: &Message) -> Around {
    let mut around = around.clone();
    let named = |number: u16| {
        let is_it = move |node: &&Node| node.number().map(|number| number & NLA_TYPE_MASK) == Some(number);
        changed.nodes.iter().filter(is_it).cloned()
    };
    match (changed.family, changed.cmd) {
        ("ovs_datapath", cmd::NEW) => {
            let clean = |node| of_datapath(cmd::DEL, Some(0)).with([node]);
            around.after.extend(named(datapath::NAME).map(clean));
        }
        ("ovs_vport", cmd::NEW) => {
            around.after.extend(named(vport::NAME).map(|node| of_vport(cmd::DEL).with([node])));
        }
        ("ovs_meter", 2) => around.after.extend(named(meter::ID).map(|node| of_meter(3).with([node]))),
        ("ovs_ct_limit", 1) => {
            around.after.extend(named(ct_limit::ZONE_LIMIT).map(|node| of_limit(2).with([node])));
        }
        _ => {}
    }
    around
}

/// Every attribute of every table on the way, given or not, with payloads around the length that its row calls for.
fn lengths(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    for Good { name, message, around } in goods() {
        let mut all = Vec::new();
        in_every_run(&message.nodes, message.table, "", &mut |path, table, prefix| {
            for row in table.rows {
                let exact = match row.kind.len() {
                    Len::Exact(len) | Len::Max(len) => usize::from(len),
                    Len::Any => 8,
                };
                let mut lens = vec![0, 1, exact.saturating_sub(1), exact, exact + 1, 255];
                // One of the longest per message will do: it is a lot of bytes, and no nest could hold it.
                if path.is_empty() && row.number == table.rows[0].number {
                    lens.push(LONGEST);
                }
                lens.sort_unstable();
                lens.dedup();
                for len in lens {
                    let byte =
                        if matches!(row.kind, Kind::String(_) | Kind::NulString(_)) { b'x' } else { 1 };
                    all.push((
                        path.to_vec(),
                        format!("{prefix}{}-{len}", row.name),
                        row.number,
                        vec![byte; len],
                    ));
                }
            }
        });
        for (path, what, number, payload) in all {
            let mut changed = message.clone();
            let run = at(&mut changed.nodes, &path);
            run.retain(|node| node.number().map(|number| number & NLA_TYPE_MASK) != Some(number));
            run.push(Node::Leaf(number, payload));
            make.one(cases, &format!("{name}/len/{what}"), &changed, &with_cleaning(&around, &changed));
        }
    }
}

/// All runs of attributes in a tree, by the places that lead to them.
fn in_every_run(
    nodes: &[Node],
    table: &'static Table,
    prefix: &str,
    visit: &mut dyn FnMut(&[usize], &'static Table, &str),
) {
    fn walk(
        nodes: &[Node],
        table: &'static Table,
        prefix: &str,
        path: &mut Vec<usize>,
        visit: &mut dyn FnMut(&[usize], &'static Table, &str),
    ) {
        if !table.rows.is_empty() {
            visit(path, table, prefix);
        }
        for (at, node) in nodes.iter().enumerate() {
            if let Node::Nest(number, inner, nodes) = node {
                let name = table.row(number & NLA_TYPE_MASK).map_or("nest", |row| row.name);
                path.push(at);
                walk(nodes, inner, &format!("{prefix}{name}."), path, visit);
                path.pop();
            }
        }
    }
    walk(nodes, table, prefix, &mut Vec::new(), visit);
}

fn at<'n>(nodes: &'n mut Vec<Node>, path: &[usize]) -> &'n mut Vec<Node> {
    path.iter().fold(nodes, |nodes, &place| match &mut nodes[place] {
        Node::Nest(_, _, inner) => inner,
        _ => unreachable!("a path leads through nests"),
    })
}

/// Every combination of the flags that mean something, with every version, on every kind of socket.
fn flags(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    for Good { name, message, around } in goods() {
        let message = &message;
        for high in 0..16u16 {
            for low in [0, NLM_F_ACK, NLM_F_ECHO, NLM_F_ACK | NLM_F_ECHO, 2 | NLM_F_ACK, 0x30 | NLM_F_ACK] {
                let flags = NLM_F_REQUEST | low | high << 8;
                let changed = Message { flags, ..message.clone() };
                make.one(cases, &format!("{name}/flags/{flags:#x}"), &changed, &around);
            }
        }
        for (socket, who) in [(PLAIN, "plain"), (CAPPED, "capped"), (NOBODY, "nobody"), (STRICT, "strict")] {
            for high in [0, 1, 2, 3, 4, 5, 6, 8] {
                let flags = NLM_F_REQUEST | NLM_F_ACK | high << 8;
                let changed = Message { flags, ..message.clone() };
                make.on(cases, &format!("{name}/flags/{who}-{flags:#x}"), &changed, &around, socket);
            }
        }
        for version in [0, 1, 2, 3, 4, 100, 255] {
            for number in
                message.datapath.map_or(vec![None], |_| [0, 1, 1000, 1001, -1, i32::MAX].map(Some).into())
            {
                let changed = Message { version, datapath: number, ..message.clone() };
                make.one(cases, &format!("{name}/version/{version}-{number:?}"), &changed, &around);
            }
        }
    }
}

/// Attributes shuffled, repeated, removed, unknown, with other flags, on all levels, several of it at once.
fn orders(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    let mut random = Random(20_270_101);
    for Good { name, message, around } in goods() {
        if message.nodes.is_empty() {
            continue;
        }
        for at in 0..80 {
            let mut changed = message.clone();
            for _ in 0..1 + random.below(4) {
                match random.below(4) {
                    0 => {
                        let number = [0, changed.table.max() + 1, 100, 0x3fff, 0x8001][random.below(5)];
                        let len = [0, 1, 4, 9][random.below(4)];
                        let place = random.below(changed.nodes.len() + 1);
                        changed.nodes.insert(place, Node::Leaf(number, vec![1; len]));
                    }
                    _ => disturb(&mut random, &mut changed.nodes),
                }
            }
            let socket = [EXTACK, EXTACK, PLAIN, CAPPED, STRICT][random.below(5)];
            let around = with_cleaning(&around, &changed);
            make.on(cases, &format!("{name}/order/{at}"), &changed, &around, socket);
        }
    }
}

/// Several requests in one send, some of which are wrong.
fn batches(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    let mut random = Random(20_270_202);
    let reads = |good: &Good| !good.name.starts_with("nlctrl") && !good.name.starts_with("psample");
    let goods: Vec<_> = goods().into_iter().filter(reads).collect();
    for at in 0..300 {
        let (mut tx, mut after, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..2 + random.below(5) {
            let good = &goods[random.below(goods.len())];
            let mut message = good.message.clone();
            match random.below(6) {
                0 => disturb(&mut random, &mut message.nodes),
                1 => message.flags &= !NLM_F_ACK,
                2 => message.flags &= !NLM_F_ECHO,
                3 if random.one_in(4) => message.len = Some([0, 15, 17, 19, 23, 9000][random.below(6)]),
                _ => {}
            }
            // One dump at a time, and its blocks are read when it is done.
            if message.flags & NLM_F_DUMP == NLM_F_DUMP {
                message.flags &= !NLM_F_DUMP;
            }
            names.push(good.name);
            tx.extend(make.bytes(&message));
            after.extend(with_cleaning(&good.around, &message).after);
        }
        let family = names[0].split('/').next().unwrap_or_default();
        let name = format!("{family}/batch/{at} {}", names.join(" "));
        let socket = [EXTACK, PLAIN, CAPPED, STRICT][random.below(4)];
        cases.push(Case { name: name.clone(), socket, tx, counted: true, heard: false });
        for message in &after {
            cases.push(make.case(format!("{name}{}", AFTER), EXTACK, message, false));
        }
    }
}

/// Dumps: with attributes that filter, with others, without a user header, with strict checking.
fn dumps(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    let ufid = leaf(flow::UFID, [3; 16]);
    let rich = || nest(flow::KEY, &key::TABLE, keys::udp4());
    let install = |at: u8| {
        let key = vec![u32(key::IN_PORT, 1), keys::ethernet(), keys::ethertype(0x9000 + u16::from(at))];
        of_flow(cmd::NEW).flags(NLM_F_CREATE).with([
            nest(flow::KEY, &key::TABLE, key),
            nest(flow::ACTIONS, &action::TABLE, vec![actions::output()]),
            leaf(flow::UFID, [at; 16]),
        ])
    };
    let flows = Around { before: vec![install(1), install(3)], after: vec![of_flow(cmd::DEL)] };
    let plain = Around::default();
    let dump_flags =
        [NLM_F_REQUEST | NLM_F_DUMP, NLM_F_REQUEST | NLM_F_DUMP | NLM_F_ACK, NLM_F_REQUEST | 0xf00];
    let lists: [(&str, Message, &Around, Vec<Node>); 6] = [
        (
            "ovs_datapath",
            of_datapath(cmd::GET, Some(0)),
            &plain,
            vec![text(datapath::NAME, "o0"), u32(datapath::USER_FEATURES, 1)],
        ),
        (
            "ovs_vport",
            of_vport(cmd::GET),
            &plain,
            vec![u32(vport::PORT_NO, 1), text(vport::NAME, "o2"), fixed(vport::IFINDEX, 1001)],
        ),
        (
            "ovs_flow",
            of_flow(cmd::GET),
            &flows,
            vec![u32(flow::UFID_FLAGS, 3), ufid, rich(), leaf(flow::CLEAR, []), leaf(flow::PROBE, [])],
        ),
        ("ovs_meter", of_meter(4), &plain, vec![u32(meter::ID, 5)]),
        ("ovs_ct_limit", of_limit(3), &plain, vec![leaf(ct_limit::ZONE_LIMIT, [0; 12])]),
        (
            "nlctrl",
            Message::new("nlctrl", &ctrl::TABLE, ctrl_cmd::GETFAMILY, None),
            &plain,
            vec![text(ctrl::FAMILY_NAME, "ovs_flow"), u32(ctrl::OP, 1)],
        ),
    ];
    for (name, request, around, attrs) in lists {
        for socket in [EXTACK, PLAIN, NOBODY, STRICT] {
            for flags in dump_flags {
                let request = Message { flags, ..request.clone() };
                let mut put = |what: &str, message: Message| {
                    make.on(
                        cases,
                        &format!("{name}/dump/{what}-{socket}-{flags:#x}"),
                        &message,
                        around,
                        socket,
                    );
                };
                put("plain", request.clone());
                for (at, attr) in attrs.iter().enumerate() {
                    put(&format!("attr-{at}"), request.clone().with([attr.clone()]));
                    if let Node::Leaf(number, payload) = attr {
                        let longer = [payload.as_slice(), &[0; 3]].concat();
                        put(
                            &format!("attr-{at}-longer"),
                            request.clone().with([Node::Leaf(*number, longer)]),
                        );
                        let flagged = Node::Leaf(*number | 0x8000, payload.clone());
                        put(&format!("attr-{at}-nested"), request.clone().with([flagged]));
                        put(&format!("attr-{at}-empty"), request.clone().with([Node::Leaf(*number, vec![])]));
                    }
                }
                put("all", request.clone().with(attrs.clone()));
                put("unknown", request.clone().with([u32(request.table.max() + 1, 1)]));
                put("zero", request.clone().with([u32(0, 1)]));
                put("tail", request.clone().with([Node::Raw(vec![0; 2])]));
                put("reserved", Message { version: 9, ..request.clone() });
                if request.datapath.is_some() {
                    put("no-header", Message { instead: Some(vec![]), ..request.clone() });
                    put("short-header", Message { instead: Some(vec![0; 3]), ..request.clone() });
                    put("nobody", Message { datapath: Some(77), ..request.clone() });
                    put("minus", Message { datapath: Some(-1), ..request.clone() });
                }
                for cmd in [0, 1, 2, 4, 5, 9] {
                    put(&format!("command-{cmd}"), Message { cmd, ..request.clone() });
                }
            }
        }
    }
}

/// Flows at random as the ones before, from another seed, and then disturbed.
fn flows(make: &mut Make<'_>, cases: &mut Vec<Case>) {
    let mut random = Random(20_270_303);
    let (named, mut acts) = (keys::all(), actions::single());
    acts.extend(actions::chains());
    acts.extend(actions::steps().into_iter().map(|(name, node)| (name.to_owned(), vec![node])));
    for at in 0..4000 {
        let (mut key, mut mask, mut list) = super::random::flow(&mut random, &named, &acts);
        if random.one_in(3) {
            let kind = random.below(3);
            list = vec![actions::inside(kind, list), actions::output()];
        }
        for part in [Some(&mut key), mask.as_mut(), Some(&mut list)].into_iter().flatten() {
            if random.one_in(3) {
                disturb(&mut random, part);
            }
        }
        let mut parts = vec![nest(flow::KEY, &key::TABLE, key), nest(flow::ACTIONS, &action::TABLE, list)];
        parts.extend(mask.map(|mask| nest(flow::MASK, &key::TABLE, mask)));
        let message = of_flow(cmd::NEW).flags(NLM_F_ECHO | NLM_F_CREATE).with(parts);
        let flush = Around::after(of_flow(cmd::DEL));
        make.one(cases, &format!("ovs_flow/unseen/{at}"), &message, &flush);
    }
}
