//! `struct nlmsghdr` and datagrams of several messages.

use crate::{Fixed, align};

crate::fixed! {
    /// What every message starts with.
    pub struct Header {
        /// Length of the message, this header included, padding not.
        pub len: u32,
        /// [`NLMSG_ERROR`] and the like below [`NLMSG_MIN_TYPE`]; in generic netlink the family's id.
        pub kind: u16,
        /// `NLM_F_*`.
        pub flags: u16,
        /// The requester's number, echoed in what answers it.
        pub seq: u32,
        /// The requester's portid in an answer; of no meaning in a request.
        pub portid: u32,
    }
}

/// `sizeof(struct nlmsghdr)`.
pub const NLMSG_HDRLEN: usize = 16;

/// Does nothing.
pub const NLMSG_NOOP: u16 = 1;
/// An error, or with errno 0 an acknowledgement.
pub const NLMSG_ERROR: u16 = 2;
/// The end of a dump.
pub const NLMSG_DONE: u16 = 3;
/// Messages were lost.
pub const NLMSG_OVERRUN: u16 = 4;
/// Types below are netlink's own.
pub const NLMSG_MIN_TYPE: u16 = 0x10;

/// A request.
pub const NLM_F_REQUEST: u16 = 0x01;
/// One of several messages, ended by [`NLMSG_DONE`].
pub const NLM_F_MULTI: u16 = 0x02;
/// Please acknowledge.
pub const NLM_F_ACK: u16 = 0x04;
/// Please send back what the request brought about.
pub const NLM_F_ECHO: u16 = 0x08;
/// The dump is inconsistent: something changed while it was read.
pub const NLM_F_DUMP_INTR: u16 = 0x10;
/// The dump was filtered as asked.
pub const NLM_F_DUMP_FILTERED: u16 = 0x20;

/// Of a GET request: the whole table.
pub const NLM_F_ROOT: u16 = 0x100;
/// Of a GET request: all that match.
pub const NLM_F_MATCH: u16 = 0x200;
/// Of a GET request: a dump; both bits are needed.
pub const NLM_F_DUMP: u16 = NLM_F_ROOT | NLM_F_MATCH;

/// Of a NEW request: replace what exists.
pub const NLM_F_REPLACE: u16 = 0x100;
/// Of a NEW request: fail if it exists.
pub const NLM_F_EXCL: u16 = 0x200;
/// Of a NEW request: create it if it does not exist.
pub const NLM_F_CREATE: u16 = 0x400;
/// Of a NEW request: put it at the end.
pub const NLM_F_APPEND: u16 = 0x800;

/// Of an error: the request is cut to its header.
pub const NLM_F_CAPPED: u16 = 0x100;
/// Of an error: attributes follow the request.
pub const NLM_F_ACK_TLVS: u16 = 0x200;

/// One message, in place.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its header.
    pub header: Header,
    /// All of it, header included, padding not.
    pub bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// What follows the header.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(NLMSG_HDRLEN..).unwrap_or_default()
    }
}

/// The messages of a datagram. A length that cannot be right ends it silently, as on Linux.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    /// The messages in `datagram`.
    pub fn new(datagram: &'a [u8]) -> Messages<'a> {
        Messages(datagram)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;
    fn next(&mut self) -> Option<Message<'a>> {
        let header = Header::read(self.0)?;
        let len = usize::try_from(header.len).ok().filter(|&len| len >= NLMSG_HDRLEN)?;
        let bytes = self.0.get(..len)?;
        self.0 = self.0.get(align(len)..).unwrap_or_default();
        Some(Message { header, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_length_ends_the_datagram() {
        let mut datagram = Vec::new();
        for len in [17u32, 16, 40] {
            let at = datagram.len();
            datagram.resize(at + 20, 0);
            Header { len, kind: 1, ..Header::default() }.write(&mut datagram[at..]);
        }
        let lens: Vec<_> = Messages::new(&datagram).map(|message| message.bytes.len()).collect();
        // 17 is padded to 20; after the 16 the next header would start 4 bytes early, where a 0 length stands.
        assert_eq!(lens, [17, 16]);
    }
}
