//! What OVS's user space sends itself through a USERSPACE action's userdata: `slow_path(cfm)`, `sFlow(…)` and so on.
//!
//! The kernel only passes it on. It is 48 bytes, numbers in host order unless said otherwise:
//!
//! ```text
//!  0      2      4             8                24
//! ┌──────┬──────┬─────────────┬────────────────┬──────────────────────────────┐
//! │ type │  0   │ in_port     │ bridge's UUID  │ by type                      │
//! └──────┴──────┴─────────────┴────────────────┴──────────────────────────────┘
//! ```
//!
//! Source: OVS 3.1's description of `struct user_action_cookie` (lib/odp-util.h). Older versions' are shorter, and
//! printed as bytes.

use crate::Ports;
use crate::flags::SLOW_PATH;
use crate::flow::port;
use crate::scan::{Scan, after, failure, int, paren, up_to, word};
use nom::Parser;
use nom::branch::alt;
use nom::combinator::opt;
use pfnl_proto::{Fixed, fixed};
use std::fmt::Write;

fixed! {
    /// What all types start with.
    pub struct Head {
        /// 1 to 5, in the order of the structures below.
        pub kind: u16,
        /// Zero.
        pub pad: u16,
        /// OpenFlow port it came in by; 0xffff = none.
        pub in_port: u32,
        /// The bridge.
        pub uuid: [u8; 16],
    }
    /// Sampled for a bridge.
    pub struct Sflow {
        /// TCI it would leave with.
        pub tci: [u8; 2],
        /// Zero.
        pub pad: u16,
        /// Where it would leave, as sFlow encodes it.
        pub output: u32,
    }
    /// To be processed in user space.
    pub struct SlowPath {
        /// Zero.
        pub pad: u32,
        /// Why.
        pub reason: u32,
    }
    /// Sampled for a flow.
    pub struct FlowSample {
        /// How often, of 65536.
        pub probability: u16,
        /// Zero.
        pub pad: u16,
        /// The collectors.
        pub collector_set_id: u32,
        /// IPFIX's observation domain.
        pub obs_domain_id: u32,
        /// IPFIX's observation point.
        pub obs_point_id: u32,
        /// Where it would leave.
        pub output_port: u32,
        /// 0 = not said, 1 = ingress, 2 = egress.
        pub direction: u32,
    }
    /// To be sent to the controller.
    pub struct Controller {
        /// Only a continuation, no packet.
        pub dont_send: u8,
        /// It is to go on afterwards.
        pub continuation: u8,
        /// `OFPR_*`.
        pub reason: u16,
        /// Where it goes on.
        pub recirc_id: u32,
        /// The flow's cookie, network order.
        pub rule_cookie: [u8; 8],
        /// Which controller.
        pub controller_id: u16,
        /// At most so many bytes.
        pub max_len: u16,
    }
}

const LEN: usize = 48;
const NO_PORT: u32 = 0xffff;

/// A cookie of a type.
fn cookie<T: Fixed>(kind: u16, rest: &T) -> Vec<u8> {
    let mut bytes = crate::scan::fixed(&Head { kind, in_port: NO_PORT, ..Head::default() });
    bytes.extend(crate::scan::fixed(rest));
    bytes.resize(LEN, 0);
    bytes
}

/// Reads a cookie.
pub(crate) fn scan<'a>(input: &'a str, ports: &Ports) -> Scan<'a, Vec<u8>> {
    let (rest, name) = word(input)?;
    let number_or_name = |input| alt((int::<u32>, |input| port(input, ports))).parse(input);
    match name {
        "sFlow" => paren(sflow).parse(rest),
        "slow_path" => {
            let (rest, (reason, _)) = paren(|input| SLOW_PATH.scan(input)).parse(rest)?;
            // 7 bits.
            Ok((rest, cookie(2, &SlowPath { reason: reason as u32, ..SlowPath::default() })))
        }
        "flow_sample" => paren(|input| flow_sample(input, number_or_name)).parse(rest),
        "ipfix" => {
            let (rest, port) = paren(after("output_port=", number_or_name)).parse(rest)?;
            Ok((rest, cookie(4, &port)))
        }
        "controller" => paren(controller).parse(rest),
        // What may follow a pid without being userdata.
        "actions" | "tunnel_out_port" => crate::scan::error("userdata expected", input),
        _ => failure("no such userdata", input),
    }
}

fn sflow(input: &str) -> Scan<'_, Vec<u8>> {
    let (rest, vid) = after("vid=", up_to(0xfff)).parse(input)?;
    let (rest, pcp) = after(",pcp=", up_to(7)).parse(rest)?;
    let (rest, output) = after(",output=", int).parse(rest)?;
    // 15 bits; with any of them set, the bit that says that there is a tag is too.
    let tci = (vid | pcp << 13) as u16;
    let tci = if tci == 0 { 0 } else { tci | 0x1000 };
    Ok((rest, cookie(1, &Sflow { tci: tci.to_be_bytes(), pad: 0, output })))
}

fn flow_sample<'a>(input: &'a str, port: impl Fn(&'a str) -> Scan<'a, u32>) -> Scan<'a, Vec<u8>> {
    let (rest, probability) = after("probability=", int).parse(input)?;
    let (rest, collector_set_id) = after(",collector_set_id=", int).parse(rest)?;
    let (rest, obs_domain_id) = after(",obs_domain_id=", int).parse(rest)?;
    let (rest, obs_point_id) = after(",obs_point_id=", int).parse(rest)?;
    let (rest, output_port) = after(",output_port=", port).parse(rest)?;
    let (rest, direction) = opt(alt((after(",ingress", ok(1)), after(",egress", ok(2))))).parse(rest)?;
    let direction = direction.unwrap_or(0);
    let sample = FlowSample {
        probability,
        pad: 0,
        collector_set_id,
        obs_domain_id,
        obs_point_id,
        output_port,
        direction,
    };
    Ok((rest, cookie(3, &sample)))
}

fn ok<'a>(value: u32) -> impl Fn(&'a str) -> Scan<'a, u32> {
    move |input| Ok((input, value))
}

fn controller(input: &str) -> Scan<'_, Vec<u8>> {
    let (rest, reason) = after("reason=", int).parse(input)?;
    let (rest, dont_send) = after(",dont_send=", up_to(1)).parse(rest)?;
    let (rest, continuation) = after(",continuation=", up_to(1)).parse(rest)?;
    let (rest, recirc_id) = after(",recirc_id=", int).parse(rest)?;
    let (rest, rule_cookie) = after(",rule_cookie=", int::<u64>).parse(rest)?;
    let (rest, controller_id) = after(",controller_id=", int).parse(rest)?;
    let (rest, max_len) = after(",max_len=", int).parse(rest)?;
    let controller = Controller {
        dont_send: dont_send as u8,
        continuation: continuation as u8,
        reason,
        recirc_id,
        rule_cookie: rule_cookie.to_be_bytes(),
        controller_id,
        max_len,
    };
    Ok((rest, cookie(5, &controller)))
}

/// Prints a cookie; `None`, and nothing, if it is none.
pub(crate) fn print(out: &mut String, userdata: &[u8], ports: &Ports) -> Option<()> {
    let head = Head::read(userdata).filter(|_| userdata.len() == LEN)?;
    let rest = userdata.get(Head::LEN..)?;
    match head.kind {
        1 => {
            let Sflow { tci, output, .. } = Sflow::read(rest)?;
            let tci = u16::from_be_bytes(tci);
            _ = write!(out, "sFlow(vid={},pcp={},output={output})", tci & 0xfff, tci >> 13);
        }
        2 => {
            out.push_str("slow_path(");
            SLOW_PATH.print_all(out, SlowPath::read(rest)?.reason, ',');
            out.push(')');
        }
        3 => {
            let sample = FlowSample::read(rest)?;
            _ = write!(
                out,
                "flow_sample(probability={},collector_set_id={},obs_domain_id={},obs_point_id={},output_port=",
                sample.probability, sample.collector_set_id, sample.obs_domain_id, sample.obs_point_id
            );
            ports.print(out, sample.output_port);
            out.push_str(match sample.direction {
                1 => ",ingress)",
                2 => ",egress)",
                _ => ")",
            });
        }
        4 => {
            out.push_str("ipfix(output_port=");
            ports.print(out, u32::read(rest)?);
            out.push(')');
        }
        5 => {
            let to = Controller::read(rest)?;
            _ = write!(
                out,
                "controller(reason={},dont_send={},continuation={},recirc_id={},rule_cookie=",
                to.reason,
                u8::from(to.dont_send != 0),
                u8::from(to.continuation != 0),
                to.recirc_id
            );
            crate::field::hex(out, u64::from_be_bytes(to.rule_cookie).into());
            _ = write!(out, ",controller_id={},max_len={})", to.controller_id, to.max_len);
        }
        _ => return None,
    }
    Some(())
}
