//! What a socket must see of what it asked, whoever the kernel is:
//!
//! - each request that asks for an acknowledgement gets exactly one; a dump ends exactly once;
//! - nobody gets an answer to what another asked;
//! - unless something was lost, and then the socket was told;
//! - what is sent is [well formed](crate::check).

use crate::check::well_formed;
use crate::family::{Family, known};
use pfnl_proto::ack::Ack;
use pfnl_proto::msg::{Messages, NLM_F_ACK, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_MIN_TYPE};
use std::collections::BTreeMap;

const ENOBUFS: i32 = 105;

/// A socket's requests, and what came back.
#[derive(Clone, Debug, Default)]
pub struct Model {
    asked: BTreeMap<u32, Asked>,
    /// Errnos of acknowledgements and ends, positive, and how often they came.
    pub outcomes: BTreeMap<i32, u64>,
    /// Something may have been lost, by right.
    pub lossy: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// Acknowledgements and ends that must come, that may come, and that came.
    must: usize,
    may: usize,
    got: usize,
}

impl Model {
    /// A datagram has been sent to the kernel.
    pub fn sent(&mut self, datagram: &[u8]) {
        for message in Messages::new(datagram) {
            let (flags, kind) = (message.header.flags, message.header.kind);
            let asked = self.asked.entry(message.header.seq).or_default();
            let request = flags & NLM_F_REQUEST != 0 && kind >= NLMSG_MIN_TYPE;
            if flags & NLM_F_ACK != 0 {
                // A dump is acknowledged by its end; one that cannot begin, by an error.
                asked.must += 1;
            } else if request {
                // A dump, or an error. What is a dump is for the command to say: to some these flags mean something else.
                asked.may += 1;
            }
        }
    }

    /// A datagram has come from the kernel, for this socket alone.
    ///
    /// # Errors
    /// What does not hold.
    pub fn got(&mut self, datagram: &[u8], portid: u32, families: &[Family]) -> Result<(), String> {
        well_formed(datagram, families)?;
        for message in Messages::new(datagram) {
            let header = message.header;
            let family = families.iter().find(|family| family.id == header.kind);
            if header.seq == 0 && family.is_some_and(|family| family.name == "ovs_packet") {
                continue; // an upcall
            }
            let Some(asked) = self.asked.get_mut(&header.seq) else {
                return Err(format!("an answer to a number that was not sent: {}", header.seq));
            };
            let ends = matches!(header.kind, NLMSG_ERROR | NLMSG_DONE);
            let is_known = ends || family.is_some_and(|family| known(&family.name).is_some());
            if header.portid != portid && is_known {
                return Err(format!("an answer to portid {} at {portid}", header.portid));
            }
            if !ends {
                continue;
            }
            let errno = message.payload().first_chunk().map_or(0, |bytes| -i32::from_ne_bytes(*bytes));
            *self.outcomes.entry(errno).or_default() += 1;
            // A dump whose first block finds no room is refused, and goes on all the same once there is some: so does
            // Linux.
            if header.kind == NLMSG_ERROR && Ack::read(&message).is_some_and(|ack| ack.error == -ENOBUFS) {
                asked.may += 1;
            }
            asked.got += 1;
            if asked.got > asked.must + asked.may {
                return Err(format!("answered {} times: {}", asked.got, header.seq));
            }
        }
        Ok(())
    }

    /// What has not been acknowledged though it had to be, if nothing was lost.
    pub fn missing(&self) -> Option<String> {
        let missing = |(seq, asked): (&u32, &Asked)| {
            (asked.got < asked.must)
                .then(|| format!("message {seq} ({seq:#x}) was not acknowledged: {asked:?}"))
        };
        if self.lossy { None } else { self.asked.iter().find_map(missing) }
    }
}
