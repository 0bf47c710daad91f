//! `pfnl fuzz --diff`: the same requests to a Linux kernel in QEMU and to pfnl in this process.

use anyhow::{Context, Result};
use pfnl_decode::Decoder;
use pfnl_fuzz::family::{Family, read_families};
use pfnl_fuzz::message::{Message, leaf};
use pfnl_fuzz::ovs::{DATAPATHS, Names};
use pfnl_fuzz::{Choices, generate, nth, shrink};
use pfnl_oracle::compare::{Parts, Verdict};
use pfnl_oracle::families::Families;
use pfnl_oracle::generate::{Case, EXTACK, Scenario};
use pfnl_oracle::inside::Inside;
use pfnl_oracle::run;
use pfnl_oracle::vm::{Guest, Kernel};
use pfnl_oracle_agent::{Options, Step, hex, unhex};
use pfnl_platform::User;
use pfnl_proto::ovs::{OVS_HDRLEN, cmd, ct_limit, ct_limit_cmd, key, packet};
use pfnl_proto::{Attrs, genl};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// The small world that both kernels have: a datapath `o0` with two ports.
const NAMES: Names =
    Names { datapaths: ["o0", "x1"], ports: ["o1", "o2", "x2", "x3", "p4", "p5", "p6", "p7"] };
/// How many requests a case has at most.
const REQUESTS: usize = 12;
/// How many of the differing cases are shrunk and shown.
const SHOWN: usize = 5;

/// Two kernels, and what is asked of both.
struct Both {
    linux: Guest,
    families: Families,
    interfaces: Vec<(String, u32)>,
    ours: Vec<Family>,
}

/// Compares cases of a seed.
///
/// # Errors
/// There is no QEMU or no kernel for it, or it has gone.
pub fn run(seed: u64, cases: Range<u64>, cache: &Path) -> Result<ExitCode> {
    let mut linux =
        Guest::boot(&Kernel::find(cache)?).context("--diff needs the source tree, cargo and QEMU")?;
    let (families, interfaces) = (run::families(&mut linux)?, run::interfaces(&mut linux)?);
    let answer = linux.run(&[
        Step::Open { socket: 9, options: Options::default() },
        Step::Send { socket: 9, tx: hex(&Families::request()), read: ROOM, times: 1 },
    ])?;
    let told: Vec<_> = answer[1].rx.iter().map(|datagram| unhex(datagram)).collect();
    let ours = read_families(&told);
    let ours =
        ours.into_iter().filter(|family| run::is_ours(&family.name) || family.name == "nlctrl").collect();
    let mut both = Both { linux, families, interfaces, ours };
    let (begin, mut counts, mut shown) = (Instant::now(), BTreeMap::<Verdict, u64>::new(), 0);
    for case in cases {
        let mut choices = Choices::seeded(nth(seed, case));
        let requests = both.requests(&mut choices);
        let verdicts = both.compare(&requests)?;
        let worst = verdicts.iter().map(|(verdict, ..)| *verdict).max();
        for (verdict, ..) in &verdicts {
            *counts.entry(*verdict).or_default() += 1;
        }
        if worst.is_some_and(|worst| worst != Verdict::Equal) && shown < SHOWN {
            shown += 1;
            println!("seed {seed}, case {case}:");
            both.show_smaller(choices.made())?;
        }
    }
    let total: u64 = counts.values().sum();
    let equal = counts.get(&Verdict::Equal).copied().unwrap_or(0);
    let percent = equal as f64 * 100.0 / total.max(1) as f64;
    println!("{total} requests, {percent:.3}% answered the same, in {:.0} s", begin.elapsed().as_secs_f64());
    for (verdict, count) in counts.iter().filter(|(verdict, _)| **verdict != Verdict::Equal) {
        println!("  {verdict:?}: {count}");
    }
    Ok(if equal == total { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Larger than any answer.
const ROOM: usize = 262_144;

impl Both {
    /// A case's requests: each is answered before the next is sent.
    fn requests(&self, c: &mut Choices) -> Vec<Vec<u8>> {
        let mut requests = Vec::new();
        while requests.len() < REQUESTS && (requests.is_empty() || c.more(8)) {
            let message = generate::message(c.pick(&self.ours), &NAMES, c);
            // What is cut off or lies of its length is the next datagram's matter, or nobody's.
            let message = Message { seq: requests.len() as u32 + 1, ..message };
            requests.push(message.bytes());
        }
        requests.retain(|request| !request.is_empty());
        requests
    }

    /// Both answers to each request, and how they stand to each other.
    fn compare(&mut self, requests: &[Vec<u8>]) -> Result<Vec<(Verdict, Parts, Parts)>> {
        let case = |tx: &Vec<u8>| Case {
            name: String::new(),
            socket: EXTACK,
            tx: tx.clone(),
            counted: true,
            heard: false,
        };
        let scenario = Scenario { name: "fuzz", world: true, cases: requests.iter().map(case).collect() };
        self.clean_up()?;
        let linux = run::scenario(&mut self.linux, &self.families, &scenario)?;
        let mut pfnl = Inside::<User>::new(&self.families, &self.interfaces)?;
        let pfnl = run::scenario(&mut pfnl, &self.families, &scenario)?;
        let packets = self.families.id("ovs_packet");
        let parts = |answer| without_hashes(Parts::of(answer, &self.families), packets);
        Ok(linux
            .iter()
            .zip(&pfnl)
            .map(|(linux, pfnl)| {
                let (linux, pfnl) = (parts(linux), parts(pfnl));
                (pfnl.verdict(&linux), linux, pfnl)
            })
            .collect())
    }

    /// Takes away from Linux what a case may have left: pfnl is a new one each time.
    fn clean_up(&mut self) -> Result<()> {
        let mut messages = Vec::new();
        for number in DATAPATHS {
            let header = number.to_ne_bytes().to_vec();
            messages.push(Message { header, ..Message::new(self.families.id("ovs_datapath"), cmd::DEL, 2) });
        }
        let zones = (-1..8).flat_map(|zone: i32| [zone, 0, 0]).flat_map(i32::to_ne_bytes).collect::<Vec<_>>();
        let nodes = vec![leaf(ct_limit::ZONE_LIMIT, zones)];
        let limits = self.families.id("ovs_ct_limit");
        messages.push(Message { header: vec![0; 4], nodes, ..Message::new(limits, ct_limit_cmd::DEL, 1) });
        let mut steps = vec![Step::Open { socket: 9, options: Options::default() }];
        let send =
            |message: &Message| Step::Send { socket: 9, tx: hex(&message.bytes()), read: ROOM, times: 1 };
        steps.extend(messages.iter().map(send));
        self.linux.run(&steps).map(drop)
    }

    /// Shrinks a case and shows the first answers that differ.
    fn show_smaller(&mut self, choices: &[u8]) -> Result<()> {
        let small = shrink(choices, 60, |choices| {
            let requests = self.requests(&mut Choices::replay(choices));
            // Where one of them cannot make its world any more, that is another case.
            let verdicts = self.compare(&requests).unwrap_or_default();
            verdicts.iter().any(|(verdict, ..)| *verdict != Verdict::Equal)
        });
        let requests = self.requests(&mut Choices::replay(&small));
        let verdicts = self.compare(&requests)?;
        let mut decoder = Decoder::new();
        self.ours.iter().for_each(|family| decoder.learn(family.id, &family.name));
        for (request, (verdict, linux, pfnl)) in requests.iter().zip(verdicts) {
            print!("> {}", decoder.decode(request));
            if verdict != Verdict::Equal {
                println!("{verdict:?}");
                for (who, answer) in [("Linux", linux), ("pfnl", pfnl)] {
                    for message in &answer.messages {
                        print!("< {who}: {}", decoder.decode(message));
                    }
                }
                return Ok(());
            }
        }
        println!("it did not happen again");
        Ok(())
    }
}

/// Takes the HASH action's results out of upcalls: which hash it is, is each kernel's own affair.
fn without_hashes(mut parts: Parts, packets: u16) -> Parts {
    for message in
        parts.messages.iter_mut().filter(|message| message.get(4..6) == Some(&packets.to_ne_bytes()))
    {
        let start = genl::USER_HEADER + OVS_HDRLEN;
        let Some(attrs) = message.get(start..) else { continue };
        let mut attrs = Attrs::new(attrs, start as u32);
        let key = attrs.find(|attr| attr.number() == packet::KEY);
        let hash = key.and_then(|key| key.attrs().find(|attr| attr.number() == key::DP_HASH));
        let place = hash.map_or(0, |hash| hash.offset() as usize + 4);
        if let Some(bytes) = message.get_mut(place..place + 4).filter(|_| place > 0) {
            bytes.fill(0);
        }
    }
    parts
}
