//! Text to actions.

use super::ct;
use crate::cookie;
use crate::error::{Error, Trouble};
use crate::flow::{CFI, argument, item, port};
use crate::scan::{
    Scan, after, attributes, delimiters, ethernet, failure, fixed, hex_bytes, int, number, paren, up_to, word,
};
use crate::{MAX_DEPTH, Ports, nsh};
use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::combinator::{cut, opt};
use nom::number::complete::double;
use nom::sequence::{delimited, preceded, terminated};
use nom::{Err, Parser};
use pfnl_proto::Writer;
use pfnl_proto::ovs::{HashAction, PushEth, PushMpls, PushVlan, TruncAction, key};
use pfnl_proto::ovs::{action, check_pkt_len, dec_ttl, psample, sample, userspace};

/// What text is read with.
#[derive(Clone, Copy)]
struct Reader<'p> {
    ports: &'p Ports,
}

/// Reads a list of actions: `OVS_ACTION_ATTR_*` attributes.
///
/// # Errors
/// Where the text is no action, a number does not fit, or the list is too long for an attribute.
pub fn parse_actions(text: &str, ports: &Ports) -> Result<Vec<u8>, Error> {
    let reader = Reader { ports };
    let mut item = delimiters(text);
    let mut out = Vec::new();
    while !item.is_empty() {
        match reader.append(item, 1, &mut out) {
            Ok((rest, ())) => item = delimiters(rest),
            Err(Err::Error(trouble) | Err::Failure(trouble)) => return Err(Error::new(text, item, &trouble)),
            Err(Err::Incomplete(_)) => {
                return Err(Error::new(text, item, &Trouble { what: "syntax error", at: "" }));
            }
        }
    }
    Ok(out)
}

/// Whether a text may go on so after an action.
fn ends(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with([',', ' ', '\t', '\r', '\n', ')'])
}

/// An action's number and payload.
type Action = (u16, Vec<u8>);

impl Reader<'_> {
    /// Reads an action and appends it.
    fn append<'a>(&self, input: &'a str, depth: usize, out: &mut Vec<u8>) -> Scan<'a, ()> {
        if depth >= MAX_DEPTH {
            return failure("nested too deeply", input);
        }
        if let Some(rest) = input.strip_prefix("drop").filter(|rest| ends(rest)) {
            return Ok((rest, ()));
        }
        let (rest, (number, payload)) = self.action(input, depth)?;
        if !ends(rest) {
            return failure("comma expected", rest);
        }
        let mut writer = Writer::with_limit(out, usize::from(u16::MAX));
        match writer.bytes(number, &payload).result() {
            Ok(()) => Ok((rest, ())),
            Err(_) => failure("too long for a netlink attribute", input),
        }
    }

    /// Actions up to a parenthesis.
    fn list<'a>(&self, input: &'a str, depth: usize) -> Scan<'a, Vec<u8>> {
        let (mut out, mut rest) = (Vec::new(), delimiters(input));
        while !rest.starts_with(')') {
            let (after, ()) = self.append(rest, depth + 1, &mut out)?;
            rest = delimiters(after);
        }
        Ok((rest, out))
    }

    fn action<'a>(&self, input: &'a str, depth: usize) -> Scan<'a, Action> {
        if input.starts_with(|c: char| c.is_ascii_digit()) {
            return int::<u32>.map(|port| (action::OUTPUT, fixed(&port))).parse(input);
        }
        if let Ok((rest, port)) = port(input, self.ports) {
            return Ok((rest, (action::OUTPUT, fixed(&port))));
        }
        let (rest, name) = word(input)?;
        let list = |input| self.list(input, depth);
        match name {
            "userspace" => paren(|input| self.userspace(input)).parse(rest),
            "set" => paren(|input| self.set(input, depth)).parse(rest),
            "sample" => paren(|input| sample(input, list)).parse(rest),
            "clone" => paren(list).map(|actions| (action::CLONE, actions)).parse(rest),
            "check_pkt_len" => paren(|input| check_pkt_len(input, list)).parse(rest),
            "dec_ttl" => {
                let (rest, actions) = paren(after("le_1", paren(list))).parse(rest)?;
                let (rest, payload) = attributes(rest, |w| _ = w.bytes(dec_ttl::ACTION, &actions))?;
                Ok((rest, (action::DEC_TTL, payload)))
            }
            "ct" => ct::scan(rest).map(|(rest, payload)| (rest, (action::CT, payload))),
            "push_nsh" => {
                // The header is a key in the action.
                let (rest, header) = paren(nsh::scan_push).parse(rest)?;
                let (rest, payload) = attributes(rest, |w| _ = w.bytes(key::NSH, &header))?;
                Ok((rest, (action::PUSH_NSH, payload)))
            }
            "psample" => paren(psample).parse(rest),
            "push_vlan" => paren(push_vlan).parse(rest),
            "push_mpls" => paren(mpls(action::PUSH_MPLS)).parse(rest),
            "add_mpls" => paren(mpls(action::ADD_MPLS)).parse(rest),
            "push_eth" => paren(push_eth).parse(rest),
            "hash" => paren(hash).parse(rest),
            "trunc" => {
                let trunc = |max_len| (action::TRUNC, fixed(&TruncAction { max_len }));
                paren(int).map(trunc).parse(rest)
            }
            "recirc" => paren(int::<u32>).map(|id| (action::RECIRC, fixed(&id))).parse(rest),
            "meter" => paren(int::<u32>).map(|id| (action::METER, fixed(&id))).parse(rest),
            "pop_mpls" => {
                let eth_type = |input| argument::<u16>("eth_type=", input);
                paren(eth_type)
                    .map(|ethertype| (action::POP_MPLS, ethertype.to_be_bytes().to_vec()))
                    .parse(rest)
            }
            "pop_vlan" => Ok((rest, (action::POP_VLAN, Vec::new()))),
            "pop_eth" => Ok((rest, (action::POP_ETH, Vec::new()))),
            "ct_clear" => Ok((rest, (action::CT_CLEAR, Vec::new()))),
            "pop_nsh" => tag("()").map(|_| (action::POP_NSH, Vec::new())).parse(rest),
            "tnl_push" | "tnl_pop" | "lb_output" => {
                failure("an action of OVS's user-space datapath, not of the kernel's", input)
            }
            _ => generic(input, name, rest),
        }
    }

    /// `pid=6633,slow_path(cfm),actions,tunnel_out_port=10`.
    fn userspace<'a>(&self, input: &'a str) -> Scan<'a, Action> {
        let (rest, pid) = argument::<u32>("pid=", input)?;
        let raw = after("userdata", paren(hex_bytes));
        let (rest, mut userdata) =
            opt(preceded(tag(","), alt((raw, |input| cookie::scan(input, self.ports))))).parse(rest)?;
        let (rest, actions) = opt(tag(",actions")).parse(rest)?;
        let egress = alt((int::<u32>, |input| port(input, self.ports)));
        let (rest, egress) = opt(after(",tunnel_out_port=", egress)).parse(rest)?;
        let (rest, payload) = attributes(rest, |w| {
            let mut put = userspace::Put(w);
            put.pid(pid);
            // OVS sends 8 bytes at least, for kernels before 3.10 insisted on them.
            userdata.iter_mut().for_each(|userdata| {
                userdata.resize(userdata.len().max(8), 0);
                put.userdata(userdata);
            });
            egress.iter().for_each(|port| _ = put.egress_tun_port(*port));
            actions.iter().for_each(|_| _ = put.actions());
        })?;
        Ok((rest, (action::USERSPACE, payload)))
    }

    /// A key. With a mask by which not all counts it is SET_MASKED: value, then mask.
    fn set<'a>(&self, input: &'a str, depth: usize) -> Scan<'a, Action> {
        let (rest, item) = item(input, self.ports, depth + 1)?;
        let exact = item.mask.iter().all(|&byte| byte == 0xff);
        let (number, payload) = match item.number {
            key::NSH => (action::SET_MASKED, nsh::join(&item.value, &item.mask)),
            key::TUNNEL | key::ENCAP => (action::SET, item.value),
            _ if exact => (action::SET, item.value),
            _ => (action::SET_MASKED, [item.value, item.mask].concat()),
        };
        let (rest, payload) = attributes(rest, |w| _ = w.bytes(item.number, &payload))?;
        Ok((rest, (number, payload)))
    }
}

/// `sample=9.7%,actions(1,2)`.
fn sample<'a>(input: &'a str, list: impl Fn(&'a str) -> Scan<'a, Vec<u8>>) -> Scan<'a, Action> {
    let (rest, percent) = after("sample=", terminated(double, tag("%"))).parse(input)?;
    if !(0.0..=100.0).contains(&percent) {
        return failure("0% to 100% expected", input);
    }
    // The cast saturates.
    let probability = (f64::from(u32::MAX) * (percent / 100.0)).round() as u32;
    let (rest, actions) = after(",actions", paren(list)).parse(rest)?;
    let (rest, payload) = attributes(rest, |w| {
        sample::Put(w).probability(probability).actions(|w| _ = w.raw(&actions));
    })?;
    Ok((rest, (action::SAMPLE, payload)))
}

/// `size=200,gt(4),le(5)`.
fn check_pkt_len<'a>(input: &'a str, list: impl Fn(&'a str) -> Scan<'a, Vec<u8>>) -> Scan<'a, Action> {
    let (rest, size) = argument::<u16>("size=", input)?;
    let (rest, greater) = after(",gt", paren(&list)).parse(rest)?;
    let (rest, less) = after(",le", paren(&list)).parse(rest)?;
    let (rest, payload) = attributes(rest, |w| {
        check_pkt_len::Put(w)
            .pkt_len(size)
            .actions_if_greater(|w| _ = w.raw(&greater))
            .actions_if_less_equal(|w| _ = w.raw(&less));
    })?;
    Ok((rest, (action::CHECK_PKT_LEN, payload)))
}

/// `group=12,cookie=0x0102`.
fn psample(input: &str) -> Scan<'_, Action> {
    let (rest, group) = argument::<u32>("group=", input)?;
    let (rest, cookie) = opt(after(",cookie=0x", hex_bytes)).parse(rest)?;
    let (rest, payload) = attributes(rest, |w| {
        let mut put = psample::Put(w);
        put.group(group);
        cookie.iter().for_each(|cookie| _ = put.cookie(cookie));
    })?;
    Ok((rest, (action::PSAMPLE, payload)))
}

/// `tpid=0x88a8,vid=5,pcp=0,cfi=1`.
fn push_vlan(input: &str) -> Scan<'_, Action> {
    let (rest, tpid) = opt(after("tpid=", terminated(int::<u16>, tag(",")))).parse(input)?;
    let (rest, vid) = after("vid=", up_to(0xfff)).parse(rest)?;
    let (rest, pcp) = after(",pcp=", up_to(7)).parse(rest)?;
    let (rest, cfi) = opt(after(",cfi=", up_to(1))).parse(rest)?;
    let tag_there = if cfi == Some(0) { 0 } else { CFI };
    // 12 and 3 bits.
    let tci = (vid as u16) | (pcp as u16) << 13 | tag_there as u16;
    let push = PushVlan { tpid: tpid.unwrap_or(0x8100).to_be_bytes(), tci: tci.to_be_bytes() };
    Ok((rest, (action::PUSH_VLAN, fixed(&push))))
}

/// `label=200,tc=7,ttl=64,bos=1,eth_type=0x8847`.
fn mpls(number: u16) -> impl Fn(&str) -> Scan<'_, Action> {
    move |input| {
        let (rest, label) = after("label=", up_to(0xfffff)).parse(input)?;
        let (rest, tc) = after(",tc=", up_to(7)).parse(rest)?;
        let (rest, ttl) = after(",ttl=", up_to(255)).parse(rest)?;
        let (rest, bos) = after(",bos=", up_to(1)).parse(rest)?;
        let (rest, ethertype) = after(",eth_type=", int::<u16>).parse(rest)?;
        // 20, 3, 1 and 8 bits.
        let lse = (label << 12 | tc << 9 | bos << 8 | ttl) as u32;
        let push = PushMpls { lse: lse.to_be_bytes(), ethertype: ethertype.to_be_bytes(), pad: 0 };
        Ok((rest, (number, fixed(&push))))
    }
}

/// `src=00:…,dst=00:…`, and a type that OVS once had there.
fn push_eth(input: &str) -> Scan<'_, Action> {
    let address = |value: u128| {
        let [.., a, b, c, d, e, f] = value.to_be_bytes();
        [a, b, c, d, e, f]
    };
    let (rest, src) = after("src=", ethernet).map(address).parse(input)?;
    let (rest, dst) = after(",dst=", ethernet).map(address).parse(rest)?;
    let (rest, _) = opt(after(",type=", number)).parse(rest)?;
    Ok((rest, (action::PUSH_ETH, fixed(&PushEth { src, dst }))))
}

/// `l4(0)` or `sym_l4(0)`.
fn hash(input: &str) -> Scan<'_, Action> {
    let (rest, name) = alt((tag("l4"), tag("sym_l4"))).parse(input)?;
    let (rest, basis) = paren(int::<u32>).parse(rest)?;
    Ok((rest, (action::HASH, fixed(&HashAction { algorithm: u32::from(name == "sym_l4"), basis }))))
}

/// `action26(00 01)`: an action that OVS has no name for.
fn generic<'a>(at: &'a str, name: &str, input: &'a str) -> Scan<'a, Action> {
    let Some(number) = name.strip_prefix("action").and_then(|digits| digits.parse::<u16>().ok()) else {
        return failure("no such action", at);
    };
    let (rest, payload) = opt(delimited(tag("("), hex_bytes, cut(tag(")")))).parse(input)?;
    Ok((rest, (number, payload.unwrap_or_default())))
}
