//! Flows put through a netlink socket, in batches as ovs-vswitchd sends them: how many a second, and what they weigh.

use crate::pin;
use crate::report::{Report, median};
use crate::switch::FORWARDER;
use anyhow::{Context, Result, bail, ensure};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};
use pfnl_rawio::Links;
use pfnl_tests::client;
use pfnl_tests::host::Host;
use std::time::{Duration, Instant};

const COUNT: u32 = 100_000;
/// Requests in one send, as many as ovs-vswitchd's.
const BATCH: u32 = 50;
const ROUNDS: usize = 3;

/// Puts flows into a fresh datapath, with one mask and with a hundred, an answer for each and one for each batch.
pub fn run(report: &mut Report) -> Result<()> {
    let host = Host::serve("flows")?;
    // Both sides on one processor: a message to another that idles costs the wake-up of a virtual processor, 60 µs here.
    pin(Some(host.id()), FORWARDER);
    pin(None, FORWARDER);
    let me = std::env::current_exe()?;
    let me = me.to_str().context("a path")?;
    let mut rates = [const { Vec::new() }; 3];
    let mut weights = Vec::new();
    for _ in 0..ROUNDS {
        for ((masks, acks), rates) in
            [("1", "batch"), ("100", "batch"), ("1", "each")].into_iter().zip(&mut rates)
        {
            host.dpctl(&["add-dp", "dp0"])?.succeeds()?;
            let ifindex = Links::open()?.by_name("dp0")?.ifindex.to_string();
            let before = memory(host.id())?;
            let put = [me, "put-flows", &ifindex, &COUNT.to_string(), masks, acks];
            let outcome = client::run(&host.client()?, &put, Duration::from_secs(60))?;
            rates.push(outcome.succeeds()?.trim().parse::<f64>()?);
            weights.push((memory(host.id())?.saturating_sub(before)) as f64 / f64::from(COUNT));
            host.dpctl(&["show", "dp0"])?.prints(&format!("flows: {COUNT}"))?;
            host.dpctl(&["del-dp", "dp0"])?.succeeds()?;
        }
    }
    let [one, hundred, each] = rates.map(|rates| median(&rates));
    let detail = format!("batches of {BATCH}, {COUNT} flows");
    report.at_least("flows put a second, 1 mask", one, 200_000.0, detail.clone());
    report.at_least(
        "flows put a second, 100 masks / 1 mask",
        hundred / one,
        0.7,
        format!("{hundred:.0} a second"),
    );
    report.plain("flows put a second, 1 mask, each acknowledged", each, detail);
    // The first has grown the process; later ones find memory freed before.
    report.at_most(
        "bytes of a flow (process's memory)",
        weights.first().copied().unwrap_or(f64::NAN),
        1024.0,
        String::new(),
    );
    Ok(())
}

/// Bytes a process has in memory.
fn memory(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// `put-flows IFINDEX COUNT MASKS batch|each`: the client's side; prints how many a second.
pub fn client(args: &[&str]) -> Result<()> {
    if let ["craft", ifindex] = args {
        return crate::explosion::craft(ifindex.parse()?);
    }
    let [ifindex, count, masks, acks] = args else { bail!("put-flows IFINDEX COUNT MASKS batch|each") };
    let (ifindex, count, masks): (u32, u32, u32) = (ifindex.parse()?, count.parse()?, masks.parse()?);
    let specs = (0..count).map(|n| plain(n, n % masks));
    let took = put(ifindex, specs, *acks == "each")?;
    println!("{:.0}", f64::from(count) / took.as_secs_f64());
    Ok(())
}

/// A flow on IPv4 and UDP: its key and mask over addresses and ports.
pub struct Spec {
    pub src: (u32, u32),
    pub dst: (u32, u32),
    pub port: (u16, u16),
    pub eth_src: (u8, u8),
    pub output: Option<u32>,
}

/// The flow of a number, with the mask of a number.
fn plain(n: u32, mask: u32) -> Spec {
    Spec {
        src: (n, u32::MAX),
        dst: (0x0a00_0002, u32::MAX),
        port: (0, 0),
        eth_src: (0, u8::try_from(mask & 0x7f).unwrap_or(0)),
        output: Some(1),
    }
}

/// Puts flows; how long it took until the last answer.
pub fn put(ifindex: u32, specs: impl Iterator<Item = Spec>, each: bool) -> Result<Duration> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.set_rx_buf_sz(4 << 20)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let family = family(&socket, b"ovs_flow\0")?;
    let mut specs = specs.peekable();
    let (mut number, start) = (0u32, Instant::now());
    while specs.peek().is_some() {
        let mut batch = Vec::new();
        let first = number;
        while let Some(spec) = (number < first + BATCH).then(|| specs.next()).flatten() {
            number += 1;
            let last = number == first + BATCH || specs.peek().is_none();
            // NLM_F_REQUEST, CREATE, and ACK where wanted.
            let flags = 0x0401 | if each || last { 4 } else { 0 };
            message(&mut batch, family, flags, number, ifindex, &spec);
        }
        socket.send(&batch, 0)?;
        let mut missing = if each { number - first } else { 1 };
        while missing > 0 {
            let (bytes, _) = socket.recv_from_full()?;
            let mut rest = &bytes[..];
            while let Some(length) = rest.first_chunk().map(|word| u32::from_ne_bytes(*word) as usize) {
                let code = rest
                    .get(16..20)
                    .map_or(-1, |word| i32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
                ensure!(rest.get(4..6) == Some(&[2, 0]) && code == 0, "refused: {code} {rest:?}");
                missing -= 1;
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
    Ok(start.elapsed())
}

fn family(socket: &Socket, name: &[u8]) -> Result<u16> {
    let mut request = Vec::new();
    nest(&mut request, |r| {
        r.extend([16, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0]);
        attr(r, 2, name);
    });
    socket.send(&request, 0)?;
    let (bytes, _) = socket.recv_from_full()?;
    let mut rest = bytes.get(20..).unwrap_or_default();
    while let Some(&[a, b, kind, _]) = rest.first_chunk() {
        if kind == 1 {
            return Ok(u16::from_ne_bytes([rest[4], rest[5]]));
        }
        rest = rest.get(usize::from(u16::from_ne_bytes([a, b])).next_multiple_of(4)..).unwrap_or_default();
    }
    bail!("no family {}", String::from_utf8_lossy(name))
}

/// A netlink message; the first four bytes are its length.
fn nest(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend([0; 4]);
    write(bytes);
    let len = (bytes.len() - start) as u32;
    bytes[start..start + 4].copy_from_slice(&len.to_ne_bytes());
}

fn attr(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    group(bytes, kind, |bytes| bytes.extend_from_slice(value));
}

fn group(bytes: &mut Vec<u8>, kind: u16, write: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend([0; 2]);
    bytes.extend(kind.to_ne_bytes());
    write(bytes);
    let len = (bytes.len() - start) as u16;
    bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// OVS_FLOW_CMD_NEW with KEY, MASK, UFID and ACTIONS, about 260 bytes.
fn message(bytes: &mut Vec<u8>, family: u16, flags: u16, number: u32, ifindex: u32, spec: &Spec) {
    nest(bytes, |m| {
        m.extend(family.to_ne_bytes());
        m.extend(flags.to_ne_bytes());
        m.extend(number.to_ne_bytes());
        m.extend([0; 4]);
        m.extend([1, 1, 0, 0]);
        m.extend(ifindex.to_ne_bytes());
        let ufid: Vec<u8> =
            [number, 0x5eed, number.rotate_left(9), 7].iter().flat_map(|n| n.to_ne_bytes()).collect();
        attr(m, 9, &ufid);
        group(m, 1, |m| {
            attr(m, 3, &1u32.to_ne_bytes());
            attr(m, 4, &[2, 0, 0, 0, 0, spec.eth_src.0, 2, 0, 0, 0, 0, 2]);
            attr(m, 6, &[8, 0]);
            attr(m, 7, &[&spec.src.0.to_be_bytes()[..], &spec.dst.0.to_be_bytes(), &[17, 0, 64, 0]].concat());
            attr(m, 10, &[spec.port.0.to_be_bytes(), [0; 2]].concat());
        });
        group(m, 7, |m| {
            attr(m, 3, &u32::MAX.to_ne_bytes());
            attr(m, 4, &[0, 0, 0, 0, 0, spec.eth_src.1, 0, 0, 0, 0, 0, 0]);
            attr(m, 6, &[0xff; 2]);
            attr(
                m,
                7,
                &[&spec.src.1.to_be_bytes()[..], &spec.dst.1.to_be_bytes(), &[0xff, 0, 0, 0xff]].concat(),
            );
            attr(m, 10, &[spec.port.1.to_be_bytes(), [0; 2]].concat());
        });
        group(m, 2, |m| {
            if let Some(port) = spec.output {
                attr(m, 1, &port.to_ne_bytes());
            }
        });
    });
}
