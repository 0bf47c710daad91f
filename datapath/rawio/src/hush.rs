//! Keeps an interface's received frames from the host's own stack (include/uapi/linux/netfilter/nf_tables.h,
//! nfnetlink.h; nft(8) calls it a netdev ingress chain).
//!
//! AF_PACKET is a tap: without this the host would also answer, route and bridge what a datapath received. The
//! chain drops everything right after the taps. Its table belongs to our socket (`NFT_TABLE_F_OWNER`, Linux 5.12):
//! nobody else can change it, and however this process ends, the kernel takes it away and the interface speaks again.

use crate::link::messages;
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NLMSG_ERROR};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use std::io::{Error, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const NFPROTO_NETDEV: u8 = 5;

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
const NFT_TABLE_F_OWNER: u32 = 2;

const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;

const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_HOOK_DEV: u16 = 3;
const NF_NETDEV_INGRESS: u32 = 0;
const NESTED: u16 = 1 << 15;

/// Before every other chain: nobody else is to see the frames either.
const FIRST: i32 = i32::MIN;

/// Who hushes interfaces, in the network namespace of the thread that made it.
#[derive(Clone)]
pub struct Hush(Arc<Mutex<Kernel>>);

/// An interface that the host's stack hears nothing from, until this is dropped.
pub struct Hushed {
    hush: Hush,
    chain: String,
}

struct Kernel {
    socket: Socket,
    table: String,
    sequence: u32,
}

impl std::fmt::Debug for Hushed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hushed").field(&self.chain).finish()
    }
}

impl Hush {
    /// Opens a socket. No privilege is needed yet.
    ///
    /// # Errors
    /// Those of socket(2); `EPROTONOSUPPORT` on a kernel without netfilter.
    pub fn open() -> Result<Hush> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        let own = socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        let table = format!("pfnl-{}", own.port_number());
        Ok(Hush(Arc::new(Mutex::new(Kernel { socket, table, sequence: 0 }))))
    }

    /// Hushes an interface.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_ADMIN, `EOPNOTSUPP` on a kernel without nf_tables or before 5.12, `ENOENT` where there is no such
    /// interface.
    pub fn hush(&self, ifindex: u32, name: &str) -> Result<Hushed> {
        let chain = format!("if{ifindex}");
        let mut kernel = self.kernel();
        let (table, chained) = (kernel.table.clone(), chain.as_str());
        kernel.run(&[
            (libc::NFT_MSG_NEWTABLE, NLM_F_CREATE, &|body| {
                put_text(body, NFTA_TABLE_NAME, &table);
                put_word(body, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
            }),
            (libc::NFT_MSG_NEWCHAIN, NLM_F_CREATE, &|body| {
                put_text(body, NFTA_CHAIN_TABLE, &table);
                put_text(body, NFTA_CHAIN_NAME, chained);
                put_text(body, NFTA_CHAIN_TYPE, "filter");
                put(body, NFTA_CHAIN_HOOK | NESTED, |hook| {
                    put_word(hook, NFTA_HOOK_HOOKNUM, NF_NETDEV_INGRESS);
                    put_word(hook, NFTA_HOOK_PRIORITY, FIRST.cast_unsigned());
                    put_text(hook, NFTA_HOOK_DEV, name);
                });
                put_word(body, NFTA_CHAIN_POLICY, libc::NF_DROP as u32);
            }),
        ])?;
        drop(kernel);
        Ok(Hushed { hush: self.clone(), chain })
    }

    fn kernel(&self) -> MutexGuard<'_, Kernel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hushed {
    fn drop(&mut self) {
        let mut kernel = self.hush.kernel();
        let table = kernel.table.clone();
        // Fails where the interface is gone, and the chain with it.
        let _ = kernel.run(&[(libc::NFT_MSG_DELCHAIN, 0, &|body| {
            put_text(body, NFTA_CHAIN_TABLE, &table);
            put_text(body, NFTA_CHAIN_NAME, &self.chain);
        })]);
    }
}

/// A message of a batch: its NFT_MSG_* number, its NLM_F_* flags, and what writes its attributes.
type Step<'a> = (libc::c_int, u16, &'a dyn Fn(&mut Vec<u8>));

impl Kernel {
    /// All steps or none.
    fn run(&mut self, steps: &[Step<'_>]) -> Result<()> {
        let mut batch = Vec::new();
        self.message(&mut batch, libc::NFNL_MSG_BATCH_BEGIN as u16, 0, &|_| {});
        let first = self.sequence;
        for (number, flags, write) in steps {
            let kind = (libc::NFNL_SUBSYS_NFTABLES as u16) << 8 | *number as u16;
            self.message(&mut batch, kind, flags | NLM_F_ACK, write);
        }
        self.message(&mut batch, libc::NFNL_MSG_BATCH_END as u16, 0, &|_| {});
        self.socket.send(&batch, 0)?;
        // A batch is carried out within send: an answer that is not there now never comes, and reading does not wait.
        let mut missing = steps.len();
        while missing > 0 {
            let (bytes, _) = self.socket.recv_from_full()?;
            for answer in messages(&bytes) {
                if answer.message_type() != NLMSG_ERROR || answer.sequence_number() < first {
                    continue; // of a batch given up after an error
                }
                match answer.payload().first_chunk().copied().map_or(0, i32::from_ne_bytes) {
                    0 => missing = missing.saturating_sub(1),
                    code => return Err(Error::from_raw_os_error(-code)),
                }
            }
        }
        Ok(())
    }

    /// Adds a message: nlmsghdr, nfgenmsg, attributes.
    fn message(&mut self, batch: &mut Vec<u8>, kind: u16, flags: u16, write: &dyn Fn(&mut Vec<u8>)) {
        self.sequence = self.sequence.wrapping_add(1);
        let start = batch.len();
        batch.extend_from_slice(&[0; 4]);
        batch.extend_from_slice(&kind.to_ne_bytes());
        batch.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        batch.extend_from_slice(&self.sequence.to_ne_bytes());
        batch.extend_from_slice(&[0; 4]);
        // nfgenmsg: for a batch's ends the resource is the subsystem, for nf_tables' messages nothing.
        let ends = kind >> 8 == 0;
        let resource = if ends { libc::NFNL_SUBSYS_NFTABLES as u16 } else { 0 };
        batch.extend_from_slice(&[if ends { 0 } else { NFPROTO_NETDEV }, 0]);
        batch.extend_from_slice(&resource.to_be_bytes());
        write(batch);
        let len = (batch.len() - start) as u32;
        batch[start..start + 4].copy_from_slice(&len.to_ne_bytes());
    }
}

/// An attribute, padded to four bytes.
fn put(body: &mut Vec<u8>, kind: u16, write: impl FnOnce(&mut Vec<u8>)) {
    let start = body.len();
    body.extend_from_slice(&[0; 2]);
    body.extend_from_slice(&kind.to_ne_bytes());
    write(body);
    let len = (body.len() - start) as u16;
    body[start..start + 2].copy_from_slice(&len.to_ne_bytes());
    body.resize(body.len().next_multiple_of(4), 0);
}

fn put_text(body: &mut Vec<u8>, kind: u16, text: &str) {
    put(body, kind, |value| value.extend_from_slice(&[text.as_bytes(), b"\0"].concat()));
}

fn put_word(body: &mut Vec<u8>, kind: u16, word: u32) {
    put(body, kind, |value| value.extend_from_slice(&word.to_be_bytes()));
}
