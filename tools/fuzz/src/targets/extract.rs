//! Key extraction, beside a plain reading of the frame, and from a frame that lies in pieces.

use pfnl_datapath::extract::extract as extract_key;
use pfnl_datapath::key::{FlowKey, MAC_ETHERNET};
use pfnl_datapath::offload::Offload;
use pfnl_datapath::{Packet, VecPacket};
use pfnl_platform::Result as PfnlResult;

/// The input is a frame; its last byte says how much of it lies in one piece at first.
///
/// # Errors
/// What does not hold.
pub fn extract(input: &[u8]) -> Result<(), String> {
    let Some((&piece, frame)) = input.split_last() else { return Ok(()) };
    let whole = || VecPacket::from_bytes(frame).map_err(|errno| errno.to_string());
    let ethernet = || FlowKey { mac_proto: MAC_ETHERNET, in_port: 3, skb_mark: 9, ..FlowKey::ZERO };
    let (mut key, mut again) = (ethernet(), ethernet());
    let layers = extract_key(&mut whole()?, &mut key);
    // What was in the key before must not matter, but for metadata.
    again.ipv6_src = [7; 16];
    again.tp_src = 9.into();
    again.mpls[2] = 5.into();
    let mut pieces = Pieces { packet: whole()?, visible: usize::from(piece).min(frame.len()) };
    let in_pieces = extract_key(&mut pieces, &mut again);
    if layers != in_pieces || layers.is_ok() && key != again {
        return Err(format!("{layers:?} {key:?}, in pieces {in_pieces:?} {again:?}"));
    }
    if pieces.packet.bytes() != frame {
        return Err("the frame was changed".to_owned());
    }
    let Ok(layers) = layers else {
        return if frame.len() >= 14 && !frame.windows(2).any(|two| two == [0x89, 0x4f]) {
            Err("a whole Ethernet header, and no key".to_owned())
        } else {
            Ok(())
        };
    };
    if (key.in_port, key.skb_mark, key.mac_proto) != (3, 9, MAC_ETHERNET) {
        return Err("metadata has changed".to_owned());
    }
    let ends = [Some(layers.l2_len), layers.l3, layers.l4, layers.payload];
    if ends.iter().flatten().any(|end| *end > frame.len()) {
        return Err(format!("{layers:?} in {} bytes", frame.len()));
    }
    plain(frame, &key)
}

/// What is plain to see in a frame.
fn plain(frame: &[u8], key: &FlowKey) -> Result<(), String> {
    let same = |what: &str, holds: bool| if holds { Ok(()) } else { Err(format!("{what}: {key:?}")) };
    same("addresses", key.eth_dst == frame[..6] && key.eth_src == frame[6..12])?;
    let at = |offset: usize| frame.get(offset..offset + 2).map(|two| u16::from_be_bytes([two[0], two[1]]));
    let (mut offset, mut tags) = (12, Vec::new());
    while tags.len() < 2 && matches!(at(offset), Some(0x8100 | 0x88a8)) && at(offset + 4).is_some() {
        tags.push((at(offset), at(offset + 2).map(|tci| tci | 0x1000)));
        offset += 4;
    }
    let seen = [key.vlan, key.cvlan].map(|tag| (Some(tag.tpid.get()), Some(tag.tci.get())));
    same("tags", tags.iter().eq(seen[..tags.len()].iter()))?;
    same("no more tags", seen[tags.len()..].iter().all(|tag| *tag == (Some(0), Some(0))))?;
    let Some(ethertype) = at(offset).filter(|ethertype| *ethertype >= 0x600) else { return Ok(()) };
    same("type", key.eth_type.get() == ethertype)?;
    let ip = &frame[offset + 2..];
    if ethertype != 0x800 || ip.len() < 20 || ip[0] & 15 < 5 || ip.len() < usize::from(ip[0] & 15) * 4 {
        return Ok(());
    }
    if ip[0] >> 4 != 4 {
        return Ok(());
    }
    same("IPv4 addresses", key.ipv4_src == ip[12..16] && key.ipv4_dst == ip[16..20])?;
    same("IPv4", (key.ip_tos, key.ip_ttl, key.ip_proto) == (ip[1], ip[8], ip[9]))?;
    let fragment = u16::from_be_bytes([ip[6], ip[7]]);
    let kind = if fragment & 0x1fff != 0 { 2 } else { u8::from(fragment & 0x2000 != 0) };
    same("fragment", key.ip_frag == kind)?;
    let transport = &ip[usize::from(ip[0] & 15) * 4..];
    let ports = || {
        (u16::from_be_bytes([transport[0], transport[1]]), u16::from_be_bytes([transport[2], transport[3]]))
    };
    let own = (key.tp_src.get(), key.tp_dst.get());
    match ip[9] {
        _ if kind == 2 => same("no ports", own == (0, 0)),
        17 if transport.len() >= 8 => same("UDP", own == ports()),
        6 if transport.len() >= 20
            && transport[12] >> 4 >= 5
            && transport.len() >= usize::from(transport[12] >> 4) * 4 =>
        {
            same("TCP", own == ports())?;
            same("flags", key.tcp_flags.get() == u16::from_be_bytes([transport[12] & 15, transport[13]]))
        }
        1 if transport.len() >= 8 => same("ICMP", own == (transport[0].into(), transport[1].into())),
        _ => Ok(()),
    }
}

/// A packet of which only a part can be looked at until more is pulled, as in a kernel.
struct Pieces {
    packet: VecPacket,
    visible: usize,
}

impl Packet for Pieces {
    fn len(&self) -> usize {
        self.packet.len()
    }

    fn head(&self) -> &[u8] {
        &self.packet.head()[..self.visible]
    }

    fn pull(&mut self, n: usize) -> PfnlResult<()> {
        self.packet.pull(n)?;
        self.visible = self.visible.max(n);
        Ok(())
    }

    fn head_mut(&mut self, n: usize) -> PfnlResult<&mut [u8]> {
        self.visible = self.visible.max(n);
        self.packet.head_mut(n)
    }

    fn push_front(&mut self, n: usize) -> PfnlResult<()> {
        self.visible += n;
        self.packet.push_front(n)
    }

    fn pop_front(&mut self, n: usize) -> PfnlResult<()> {
        self.visible = self.visible.saturating_sub(n);
        self.packet.pop_front(n)
    }

    fn truncate(&mut self, len: usize) {
        self.visible = self.visible.min(len);
        self.packet.truncate(len);
    }

    fn try_clone(&self) -> PfnlResult<Pieces> {
        Ok(Pieces { packet: self.packet.try_clone()?, visible: self.visible })
    }

    fn copy_out(&self, offset: usize, out: &mut [u8]) -> PfnlResult<()> {
        self.packet.copy_out(offset, out)
    }

    fn from_bytes(bytes: &[u8]) -> PfnlResult<Pieces> {
        Ok(Pieces { packet: VecPacket::from_bytes(bytes)?, visible: bytes.len() })
    }

    fn offload(&self) -> &Offload {
        self.packet.offload()
    }

    fn offload_mut(&mut self) -> &mut Offload {
        self.packet.offload_mut()
    }
}
