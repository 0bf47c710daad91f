//! Actions to text.

use super::ct;
use crate::keys::Key;
use crate::print::{Printer, print_bytes, print_label, print_leftover, print_tci};
use crate::{MAX_DEPTH, Ports, cookie, nsh};
use pfnl_proto::ovs::{HashAction, PushEth, PushMpls, PushVlan, TruncAction, key};
use pfnl_proto::ovs::{action, check_pkt_len, dec_ttl, psample, sample, userspace};
use pfnl_proto::{Attr, Attrs, Fixed, Level};
use std::fmt::Write;

/// Prints a list of actions; what cannot be understood is shown as it is.
pub fn print_actions(actions: &[u8], ports: &Ports) -> String {
    let mut out = String::new();
    print_list(&mut out, Attrs::new(actions, 0), ports, 1);
    out
}

fn print_list(out: &mut String, mut actions: Attrs<'_>, ports: &Ports, depth: usize) {
    let all = actions.bytes().len();
    if all == 0 {
        return out.push_str("drop");
    }
    if depth >= MAX_DEPTH {
        return out.push_str("<nested too deeply>");
    }
    let mut list = crate::flags::List::new(out, ',');
    for attr in actions.by_ref() {
        let out = list.next();
        let start = out.len();
        if print(out, &attr, ports, depth).is_none() {
            out.truncate(start);
            print_generic(out, &attr);
        }
    }
    print_leftover(out, actions.bytes(), all);
}

/// `action26(00 01)`.
fn print_generic(out: &mut String, attr: &Attr<'_>) {
    _ = write!(out, "action{}", attr.number());
    if !attr.payload().is_empty() {
        out.push('(');
        print_bytes(out, attr.payload());
        out.push(')');
    }
}

/// A payload of exactly the structure's length.
fn exactly<T: Fixed>(attr: &Attr<'_>) -> Option<T> {
    T::read(attr.payload()).filter(|_| attr.payload().len() == T::LEN)
}

/// Prints an action; `None` where it is not one that has a form of its own.
fn print(out: &mut String, attr: &Attr<'_>, ports: &Ports, depth: usize) -> Option<()> {
    let list = |out: &mut String, actions: Option<Attrs<'_>>| {
        print_list(out, actions.unwrap_or(Attrs::new(&[], 0)), ports, depth + 1);
    };
    match attr.number() {
        action::OUTPUT => ports.print(out, exactly(attr)?),
        action::USERSPACE => print_userspace(out, attr.attrs(), ports),
        action::SET | action::SET_MASKED => print_set(out, attr, ports, depth)?,
        action::PUSH_VLAN => {
            let push: PushVlan = exactly(attr)?;
            out.push_str("push_vlan(");
            if push.tpid != [0x81, 0] {
                _ = write!(out, "tpid=0x{:04x},", u16::from_be_bytes(push.tpid));
            }
            print_tci(out, u16::from_be_bytes(push.tci).into(), 0xffff, false);
            out.push(')');
        }
        action::SAMPLE => match sample::View::parse(attr.attrs(), Level::Liberal) {
            Ok(view) => {
                let percent = 100.0 * f64::from(view.probability()?) / f64::from(u32::MAX);
                _ = write!(out, "sample(sample={percent:.1}%,actions(");
                list(out, view.actions());
                out.push_str("))");
            }
            Err(_) => out.push_str("sample(error)"),
        },
        action::RECIRC => {
            out.push_str("recirc(");
            crate::field::hex(out, exactly::<u32>(attr)?.into());
            out.push(')');
        }
        action::HASH => {
            let hash: HashAction = exactly(attr)?;
            _ = match hash.algorithm {
                0 => write!(out, "hash(l4({}))", hash.basis),
                1 => write!(out, "hash(sym_l4({}))", hash.basis),
                unknown => write!(out, "hash(Unknown hash algorithm({unknown}))"),
            };
        }
        action::PUSH_MPLS | action::ADD_MPLS => {
            let push: PushMpls = exactly(attr)?;
            out.push_str(if attr.number() == action::PUSH_MPLS { "push_mpls(" } else { "add_mpls(" });
            print_label(out, u32::from_be_bytes(push.lse));
            _ = write!(out, ",eth_type={:#x})", u16::from_be_bytes(push.ethertype));
        }
        action::POP_MPLS => _ = write!(out, "pop_mpls(eth_type={:#x})", u16::from_be_bytes(exactly(attr)?)),
        action::CT => ct::print(out, attr.attrs()),
        action::TRUNC => _ = write!(out, "trunc({})", exactly::<TruncAction>(attr)?.max_len),
        action::PUSH_ETH => {
            let push: PushEth = exactly(attr)?;
            let [a, b, c, d, e, f] = push.src;
            _ = write!(out, "push_eth(src={a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x},");
            let [a, b, c, d, e, f] = push.dst;
            _ = write!(out, "dst={a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x})");
        }
        action::POP_VLAN => flag(out, attr, "pop_vlan")?,
        action::POP_ETH => flag(out, attr, "pop_eth")?,
        action::CT_CLEAR => flag(out, attr, "ct_clear")?,
        action::POP_NSH => flag(out, attr, "pop_nsh()")?,
        action::PUSH_NSH => {
            let header = attr.attrs().next().filter(|inner| inner.number() == key::NSH)?;
            out.push_str("push_nsh(");
            nsh::print_push(out, header.payload());
            out.push(')');
        }
        action::METER => _ = write!(out, "meter({})", exactly::<u32>(attr)?),
        action::CLONE => {
            out.push_str("clone(");
            list(out, Some(attr.attrs()));
            out.push(')');
        }
        action::CHECK_PKT_LEN => match check_pkt_len::View::parse(attr.attrs(), Level::Liberal) {
            Ok(view) => {
                _ = write!(out, "check_pkt_len(size={},gt(", view.pkt_len()?);
                list(out, view.actions_if_greater());
                out.push_str("),le(");
                list(out, view.actions_if_less_equal());
                out.push_str("))");
            }
            Err(_) => out.push_str("check_pkt_len(error)"),
        },
        action::DEC_TTL => {
            let view = dec_ttl::View::parse(attr.attrs(), Level::Liberal).ok()?;
            out.push_str("dec_ttl(le_1(");
            list(out, view.action());
            out.push_str("))");
        }
        action::DROP => exactly::<u32>(attr).map(|_| out.push_str("drop"))?,
        action::PSAMPLE => {
            let view = psample::View::parse(attr.attrs(), Level::Liberal).ok()?;
            _ = write!(out, "psample(group={}", view.group()?);
            if let Some(cookie) = view.cookie() {
                out.push_str(",cookie=0x");
                cookie.iter().for_each(|byte| _ = write!(out, "{byte:02x}"));
            }
            out.push(')');
        }
        _ => return None,
    }
    Some(())
}

fn flag(out: &mut String, attr: &Attr<'_>, name: &str) -> Option<()> {
    attr.payload().is_empty().then(|| out.push_str(name))
}

/// SET prints all of the key, SET_MASKED what counts: the payload is value, then mask.
fn print_set(out: &mut String, attr: &Attr<'_>, ports: &Ports, depth: usize) -> Option<()> {
    let inner = attr.attrs().next()?;
    out.push_str("set(");
    let masked = attr.number() == action::SET_MASKED;
    match inner.number() {
        key::NSH if masked => {
            out.push_str("nsh(");
            nsh::print_joined(out, inner.payload());
            out.push(')');
        }
        number if masked && !Key::by_number(number).is_some_and(Key::is_nest) => {
            let (value, mask) = inner.payload().split_at_checked(inner.payload().len() / 2)?;
            // As an attribute of its own, of half the length.
            let mut half = Vec::new();
            pfnl_proto::Writer::new(&mut half).bytes(number, value);
            let half = Attrs::new(&half, 0).next()?;
            Printer { ports, verbose: false }.key(out, &half, Some(mask), depth);
        }
        _ => Printer { ports, verbose: !masked }.key(out, &inner, None, depth),
    }
    out.push(')');
    Some(())
}

fn print_userspace(out: &mut String, attrs: Attrs<'_>, ports: &Ports) {
    let view = userspace::View::parse(attrs, Level::Liberal).ok();
    let Some((view, pid)) = view.and_then(|view| Some((view, view.pid()?))) else {
        return out.push_str("userspace(error)");
    };
    _ = write!(out, "userspace(pid={pid}");
    if let Some(userdata) = view.userdata() {
        out.push(',');
        if cookie::print(out, userdata, ports).is_none() {
            out.push_str("userdata(");
            userdata.iter().for_each(|byte| _ = write!(out, "{byte:02x}"));
            out.push(')');
        }
    }
    if view.actions() {
        out.push_str(",actions");
    }
    if let Some(port) = view.egress_tun_port() {
        out.push_str(",tunnel_out_port=");
        ports.print(out, port);
    }
    out.push(')');
}
