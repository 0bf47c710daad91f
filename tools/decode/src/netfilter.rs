//! Messages of NETLINK_NETFILTER: a subsystem and a command in the type, a header of four bytes, attributes.

use crate::attributes::{Scope, attributes};
use crate::decoder::raw;
use crate::guess;
use crate::value::{Body, GenericHeader, Value};
use pfnl_proto::netfilter::{
    NF_HEADER, NFNL_SUBSYS_CTNETLINK, NFNL_SUBSYS_CTNETLINK_EXP, NFNL_SUBSYS_CTNETLINK_TIMEOUT, NfHeader,
    ct_attr, ct_cmd, ct_stats, ct_stats_cpu, exp_attr, exp_cmd, exp_stats, timeout_attr, timeout_cmd,
};
use pfnl_proto::{Attrs, Fixed, Table, msg};

/// Subsystems by their numbers (`NFNL_SUBSYS_*`).
const SUBSYSTEMS: &[&str] = &[
    "nfnetlink",
    "ctnetlink",
    "ctnetlink_exp",
    "nfnetlink_queue",
    "nfnetlink_log",
    "nfnetlink_osf",
    "ipset",
    "nfnetlink_acct",
    "cttimeout",
    "cthelper",
    "nf_tables",
    "nft_compat",
    "nfnetlink_hook",
];

/// The name of a message's type, and its body.
pub(crate) fn message(message: &msg::Message<'_>) -> (String, Body) {
    let [subsystem, cmd] = message.header.kind.to_be_bytes();
    let name = SUBSYSTEMS.get(usize::from(subsystem)).copied();
    let name = name.map_or_else(|| format!("subsystem {subsystem}"), str::to_owned);
    let Some(header) = NfHeader::read(message.payload()) else { return (name, raw(message.payload())) };
    let known = match (subsystem, cmd) {
        // GET_CTRZERO is never an answer: this is one about expectations, which Linux sends as this subsystem's.
        (NFNL_SUBSYS_CTNETLINK, exp_cmd::GET_STATS_CPU) if message.header.flags & msg::NLM_F_REQUEST == 0 => {
            Some(("EXP_GET_STATS_CPU", &exp_stats::TABLE))
        }
        _ => known(subsystem, cmd),
    };
    let start = msg::NLMSG_HDRLEN + NF_HEADER;
    let attrs = Attrs::new(message.bytes.get(start..).unwrap_or_default(), start as u32);
    let nfnl = GenericHeader { name: known.map(|(name, _)| name.to_owned()), cmd, version: header.version };
    let attributes = match known {
        Some((_, table)) => attributes(attrs, table, Scope::default()),
        None => guess::attributes(attrs, 0),
    };
    (name, Body::Netfilter { nfnl, header: fields(&header), attributes })
}

fn fields(header: &NfHeader) -> Value {
    let family = match header.family {
        0 => "any",
        2 => "ipv4",
        10 => "ipv6",
        _ => "",
    };
    let family = match family {
        "" => Value::Number(header.family.into()),
        name => Value::Text(name.to_owned()),
    };
    let mut fields = vec![("family", family)];
    // Only worth a word when they are not 0, as they nearly always are.
    if header.version != 0 {
        fields.push(("version", Value::Number(header.version.into())));
    }
    if header.res_id != [0; 2] {
        fields.push(("res_id", Value::Number(u16::from_be_bytes(header.res_id).into())));
    }
    Value::Fields(fields)
}

/// A command's name, and what is in its messages.
fn known(subsystem: u8, cmd: u8) -> Option<(&'static str, &'static Table)> {
    Some(match (subsystem, cmd) {
        (NFNL_SUBSYS_CTNETLINK, ct_cmd::NEW) => ("NEW", &ct_attr::TABLE),
        (NFNL_SUBSYS_CTNETLINK, ct_cmd::GET) => ("GET", &ct_attr::TABLE),
        (NFNL_SUBSYS_CTNETLINK, ct_cmd::DELETE) => ("DELETE", &ct_attr::TABLE),
        (NFNL_SUBSYS_CTNETLINK, ct_cmd::GET_CTRZERO) => ("GET_CTRZERO", &ct_attr::TABLE),
        (NFNL_SUBSYS_CTNETLINK, ct_cmd::GET_STATS_CPU) => ("GET_STATS_CPU", &ct_stats_cpu::TABLE),
        (NFNL_SUBSYS_CTNETLINK, ct_cmd::GET_STATS) => ("GET_STATS", &ct_stats::TABLE),
        (NFNL_SUBSYS_CTNETLINK, ct_cmd::GET_DYING) => ("GET_DYING", &ct_attr::TABLE),
        (NFNL_SUBSYS_CTNETLINK, ct_cmd::GET_UNCONFIRMED) => ("GET_UNCONFIRMED", &ct_attr::TABLE),
        (NFNL_SUBSYS_CTNETLINK_EXP, exp_cmd::NEW) => ("NEW", &exp_attr::TABLE),
        (NFNL_SUBSYS_CTNETLINK_EXP, exp_cmd::GET) => ("GET", &exp_attr::TABLE),
        (NFNL_SUBSYS_CTNETLINK_EXP, exp_cmd::DELETE) => ("DELETE", &exp_attr::TABLE),
        (NFNL_SUBSYS_CTNETLINK_EXP, exp_cmd::GET_STATS_CPU) => ("GET_STATS_CPU", &exp_stats::TABLE),
        (NFNL_SUBSYS_CTNETLINK_TIMEOUT, timeout_cmd::NEW) => ("NEW", &timeout_attr::TABLE),
        (NFNL_SUBSYS_CTNETLINK_TIMEOUT, timeout_cmd::GET) => ("GET", &timeout_attr::TABLE),
        (NFNL_SUBSYS_CTNETLINK_TIMEOUT, timeout_cmd::DELETE) => ("DELETE", &timeout_attr::TABLE),
        (NFNL_SUBSYS_CTNETLINK_TIMEOUT, timeout_cmd::DEFAULT_SET) => ("DEFAULT_SET", &timeout_attr::TABLE),
        (NFNL_SUBSYS_CTNETLINK_TIMEOUT, timeout_cmd::DEFAULT_GET) => ("DEFAULT_GET", &timeout_attr::TABLE),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::Decoder;
    use pfnl_proto::Writer;
    use pfnl_proto::msg::{Header, NLM_F_CREATE, NLM_F_REQUEST};
    use pfnl_proto::netfilter::*;

    #[test]
    fn a_connection_is_read_by_its_tables() {
        let mut bytes = Vec::new();
        let flags = NLM_F_REQUEST | NLM_F_CREATE;
        let header =
            Header { kind: kind(NFNL_SUBSYS_CTNETLINK, ct_cmd::NEW), flags, seq: 5, ..Default::default() };
        Writer::new(&mut bytes).message(header, |w| {
            w.raw_fixed(&NfHeader { family: 2, version: 0, res_id: [0; 2] });
            ct_attr::Put(w)
                .tuple_orig(|w| {
                    tuple::Put(w)
                        .ip(|w| {
                            tuple_ip::Put(w).v4_src(&[10, 0, 0, 1]).v4_dst(&[10, 0, 0, 2]);
                        })
                        .proto(|w| {
                            tuple_proto::Put(w).num(6).src_port(1024).dst_port(80);
                        });
                })
                .status(0x8)
                .timeout(300)
                .protoinfo(|w| {
                    protoinfo::Put(w).tcp(|w| {
                        protoinfo_tcp::Put(w).state(3);
                    });
                });
        });
        let text = Decoder::new().decode_netfilter(&bytes).to_string();
        let expected = r#"ctnetlink NEW REQUEST|CREATE seq 5
    family "ipv4"
    tuple_orig
        ip
            v4_src 10.0.0.1
            v4_dst 10.0.0.2
        proto
            num tcp (6)
            src_port 1024
            dst_port 80
    status CONFIRMED (0x8)
    timeout 300 s
    protoinfo
        tcp
            state ESTABLISHED (3)
"#;
        assert_eq!(text, expected);
        let json = serde_json::to_string(&Decoder::new().decode_netfilter(&bytes)).unwrap();
        assert!(json.contains(r#""type":"ctnetlink""#) && json.contains(r#""nfnl":{"name":"NEW""#), "{json}");
        // Other subsystems, and what is cut short, by guess.
        let mut other = bytes.clone();
        other[5] = 10;
        assert!(Decoder::new().decode_netfilter(&other).to_string().starts_with("nf_tables cmd 0 REQUEST"));
        for length in 0..bytes.len() {
            let mut cut = bytes[..length].to_vec();
            if let Some(stated) = cut.first_chunk_mut::<4>() {
                *stated = (length as u32).to_ne_bytes();
            }
            let _ = Decoder::new().decode_netfilter(&cut).to_string();
        }
    }
}
