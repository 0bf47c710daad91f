//! Connections, by NETLINK_NETFILTER.

use crate::client::{Result, exchange};
use crate::sock::Socket;
use pfnl_proto::Writer;
use pfnl_proto::msg::{Header, Messages, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use pfnl_proto::netfilter::{NFNL_SUBSYS_CTNETLINK, NfHeader, ct_cmd, group, kind};
use std::time::{Duration, Instant};

const NETLINK_NETFILTER: i32 = 12;

fn ask(socket: &Socket, command: u8, flags: u16) -> Result<Vec<Vec<u8>>> {
    const SEQ: u32 = 1;
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    let kind = kind(NFNL_SUBSYS_CTNETLINK, command);
    writer.message(Header { len: 0, kind, flags: flags | NLM_F_REQUEST, seq: SEQ, portid: 0 }, |w| {
        w.raw_fixed(&NfHeader { family: 0, version: 0, res_id: [0; 2] });
    });
    writer.finish()?;
    exchange(socket, SEQ, &bytes)
}

/// How many there are.
pub fn count() -> Result<()> {
    let answers = ask(&Socket::of(NETLINK_NETFILTER)?, ct_cmd::GET, NLM_F_DUMP)?;
    println!("connections: {}", answers.len());
    Ok(())
}

/// Forgets them all.
pub fn flush() -> Result<()> {
    ask(&Socket::of(NETLINK_NETFILTER)?, ct_cmd::DELETE, NLM_F_ACK).map(drop)
}

/// Says which come and go; in the end, with what error a socket that is left when the module has gone is answered.
pub fn watch(seconds: u64) -> Result<()> {
    let socket = Socket::of(NETLINK_NETFILTER)?;
    for group in [group::CONNTRACK_NEW, group::CONNTRACK_DESTROY] {
        socket.join(group)?;
    }
    println!("ready");
    let end = Instant::now() + Duration::from_secs(seconds);
    while let Some(patience) = end.checked_duration_since(Instant::now()) {
        let Some(datagram) = socket.receive(patience)? else { break };
        for message in Messages::new(&datagram) {
            let is_end = message.header.kind == kind(NFNL_SUBSYS_CTNETLINK, ct_cmd::DELETE);
            println!("{}", if is_end { "gone" } else { "new" });
        }
    }
    match ask(&socket, ct_cmd::GET, NLM_F_DUMP) {
        Ok(answers) => println!("left: {}", answers.len()),
        Err(error) => println!("refused: {error}"),
    }
    Ok(())
}
