//! The same work done by several codecs: what a flow request and a dump of families say, as plain values.
//!
//! *The work on a flow*: check every attribute, nested ones too, as openvswitch does (known, of the right length, not
//! twice, nothing left over), and read every value. *On a dump*: check and read every attribute of every family.
//! [`tests`] hold every codec to the same results, on good messages and on spoilt ones, so that none is fast because it
//! does less. Where a codec can do without work (pfnl's views could leave values unread), it does it all the same.

pub mod mnl;
pub mod neli;
pub mod ours;
pub mod packet;
pub mod walker;

#[cfg(test)]
mod tests;

/// An `OVS_FLOW_CMD_NEW` as ovs-dpctl sends it: UFID, key, mask, and three actions (SET_MASKED, PUSH_VLAN, OUTPUT).
pub const FLOW: &str = include_str!("../data/flow.hex");
/// Twenty families, as Linux 6.12 tells genl-ctrl-list of them: a message on each line.
pub const FAMILIES: &str = include_str!("../data/families.hex");

/// What a flow request says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The datapath.
    pub dp_ifindex: i32,
    /// The flow's name.
    pub ufid: [u8; 16],
    /// What it matches,
    pub key: Fields,
    /// and which bits of that.
    pub mask: Fields,
    /// What is done.
    pub actions: Actions,
}

/// A key or a mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// recirc_id
    pub recirc_id: u32,
    /// ct_state
    pub ct_state: u32,
    /// in_port
    pub in_port: u32,
    /// Source and destination.
    pub ethernet: [[u8; 6]; 2],
    /// Ethernet type.
    pub ethertype: u16,
    /// `struct ovs_key_ipv4`.
    pub ipv4: Ipv4,
    /// Source and destination.
    pub tcp: [u16; 2],
    /// TCP's flags.
    pub tcp_flags: u16,
}

/// `struct ovs_key_ipv4`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ipv4 {
    /// Source.
    pub src: [u8; 4],
    /// Destination.
    pub dst: [u8; 4],
    /// Protocol, TOS, TTL and fragment.
    pub rest: [u8; 4],
}

/// The three actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions {
    /// SET_MASKED of an IPv4 header: value and mask.
    pub set: [Ipv4; 2],
    /// PUSH_VLAN: TPID and TCI.
    pub vlan: [u16; 2],
    /// OUTPUT.
    pub output: u32,
}

/// Sums over a dump of families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families {
    /// How many.
    pub count: u64,
    /// Of their ids.
    pub ids: u64,
    /// Of versions, lengths of headers and greatest attributes.
    pub numbers: u64,
    /// Of the letters of all names.
    pub letters: u64,
    /// Of commands' numbers and flags.
    pub ops: u64,
    /// Of groups' numbers.
    pub groups: u64,
}

impl Families {
    /// Adds a name's letters.
    #[inline]
    pub fn letters(&mut self, name: &[u8]) {
        self.letters += name.iter().map(|&letter| u64::from(letter)).sum::<u64>();
    }
}

impl Ipv4 {
    /// As it lies in a message.
    #[inline]
    pub fn new(bytes: [u8; 12]) -> Ipv4 {
        let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
        Ipv4 { src: [a, b, c, d], dst: [e, f, g, h], rest }
    }

    /// As it lies in a message.
    #[inline]
    pub fn bytes(self) -> [u8; 12] {
        let ([a, b, c, d], [e, f, g, h], [i, j, k, l]) = (self.src, self.dst, self.rest);
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }
}

/// The bytes of hexadecimal digits; lines follow each other.
///
/// # Panics
/// They are no such digits.
pub fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
    hex.lines()
        .flat_map(|line| line.as_bytes().as_chunks::<2>().0)
        .map(|&[a, b]| digit(a) << 4 | digit(b))
        .collect()
}
