//! Lists the Open vSwitch datapaths, by way of the `genetlink` crate: under `pfnl run`, or on a kernel that has
//! openvswitch.
//!
//! ```text
//! cargo build -p pfnl-proto --features netlink-packet --example list_datapaths
//! pfnl run -- target/debug/examples/list_datapaths
//! ```
//!
//! `list_datapaths --new NAME` creates one first.

use futures::StreamExt;
use genetlink::GenetlinkHandle;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_generic::GenlMessage;
use pfnl_proto::ovs::cmd;
use pfnl_proto::ovs::message::{DatapathMessage, VportMessage};
use std::error::Error;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let (connection, mut handle, _) = genetlink::new_connection()?;
    tokio::spawn(connection);
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {}
        ["--new", name] => new_datapath(&mut handle, name).await?,
        _ => return Err("usage: list_datapaths [--new NAME]".into()),
    }
    list(&mut handle).await
}

fn request<T>(flags: u16, payload: T) -> NetlinkMessage<GenlMessage<T>>
where
    T: netlink_packet_generic::GenlFamily + std::fmt::Debug,
{
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    NetlinkMessage::new(header, GenlMessage::from_payload(payload).into())
}

async fn new_datapath(handle: &mut GenetlinkHandle, name: &str) -> Result<()> {
    let new = DatapathMessage::build(cmd::NEW, 0, |put| _ = put.name(name.as_bytes()).upcall_pid(0))?;
    let mut replies = handle.request(request(NLM_F_ACK, new)).await?;
    while let Some(reply) = replies.next().await {
        if let NetlinkPayload::Error(error) = reply?.payload
            && error.code.is_some()
        {
            return Err(format!("{name}: {error}").into());
        }
    }
    Ok(())
}

async fn list(handle: &mut GenetlinkHandle) -> Result<()> {
    let all = DatapathMessage::build(cmd::GET, 0, |_| ())?;
    let mut datapaths = handle.request(request(NLM_F_DUMP, all)).await?;
    let mut found = Vec::new();
    while let Some(reply) = datapaths.next().await {
        match reply?.payload {
            NetlinkPayload::InnerMessage(message) => found.push(message.payload),
            NetlinkPayload::Error(error) => return Err(error.to_string().into()),
            _ => {}
        }
    }
    println!("datapaths: {}", found.len());
    for datapath in found {
        let view = datapath.view()?;
        let stats = view.stats().unwrap_or_default();
        let name = String::from_utf8_lossy(view.name().unwrap_or_default()).into_owned();
        println!(
            "{name}: hit:{} missed:{} lost:{} flows:{}",
            stats.hit, stats.missed, stats.lost, stats.flows
        );
        let ports = VportMessage::build(cmd::GET, datapath.dp_ifindex(), |_| ())?;
        let mut ports = handle.request(request(NLM_F_DUMP, ports)).await?;
        while let Some(reply) = ports.next().await {
            if let NetlinkPayload::InnerMessage(message) = reply?.payload {
                let view = message.payload.view()?;
                let name = String::from_utf8_lossy(view.name().unwrap_or_default()).into_owned();
                println!("  port {}: {name}", view.port_no().unwrap_or_default());
            }
        }
    }
    Ok(())
}
