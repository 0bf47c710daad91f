//! Requests and their answers.

use crate::sock::Socket;
use pfnl_proto::msg::{
    Header, Message, Messages, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
};
use pfnl_proto::nlctrl::{self, cmd, ctrl, get_family, group};
use pfnl_proto::ovs::OvsHeader;
use pfnl_proto::{Attrs, Fixed, Level, Writer, genl};
use std::collections::HashMap;
use std::io;
use std::time::Duration;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends a request and gathers what answers it, up to its acknowledgement or its dump's end.
pub fn exchange(socket: &Socket, seq: u32, request: &[u8]) -> Result<Vec<Vec<u8>>> {
    socket.send(request)?;
    let mut answers = Vec::new();
    loop {
        let datagram = socket.receive(PATIENCE)?.ok_or("no answer")?;
        for message in Messages::new(&datagram) {
            if message.header.seq != seq {
                continue;
            }
            match message.header.kind {
                NLMSG_ERROR | NLMSG_DONE => {
                    let error = message.payload().first_chunk().map_or(0, |error| i32::from_ne_bytes(*error));
                    return if error == 0 {
                        Ok(answers)
                    } else {
                        Err(io::Error::from_raw_os_error(-error).into())
                    };
                }
                _ => answers.push(message.bytes.to_vec()),
            }
        }
    }
}

/// Who asks.
pub struct Client {
    pub socket: Socket,
    families: HashMap<&'static str, u16>,
    seq: u32,
}

/// A message of the Open vSwitch families: command, datapath, attributes.
pub struct Reply {
    pub cmd: u8,
    pub dp_ifindex: i32,
    pub attrs: Vec<u8>,
}

impl Reply {
    /// What a message of a family says.
    pub fn read(message: &Message<'_>) -> Option<Reply> {
        let header = genl::Header::read(message.payload())?;
        let user = message.bytes.get(genl::USER_HEADER..)?;
        let dp_ifindex = OvsHeader::read(user)?.dp_ifindex;
        Some(Reply { cmd: header.cmd, dp_ifindex, attrs: user.get(4..)?.to_vec() })
    }

    pub fn attrs(&self) -> Attrs<'_> {
        Attrs::new(&self.attrs, 0)
    }
}

impl Client {
    pub fn open() -> Result<Client> {
        Ok(Client { socket: Socket::open()?, families: HashMap::new(), seq: 0 })
    }

    /// A request's bytes.
    pub fn build(
        &mut self,
        kind: u16,
        command: u8,
        flags: u16,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Result<Vec<u8>> {
        self.seq += 1;
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        let header = Header { len: 0, kind, flags: flags | NLM_F_REQUEST, seq: self.seq, portid: 0 };
        writer.message(header, |w| {
            w.raw_fixed(&genl::Header { cmd: command, version: 2, reserved: 0 });
            fill(w);
        });
        writer.finish()?;
        Ok(bytes)
    }

    /// A family's id and its first group.
    pub fn family(&mut self, name: &'static str) -> Result<(u16, Option<u32>)> {
        let request = self.build(genl::GENL_ID_CTRL, cmd::GETFAMILY, NLM_F_ACK, |w| {
            get_family::Put(w).family_name(name.as_bytes());
        })?;
        let answers = exchange(&self.socket, self.seq, &request)?;
        let answer = answers.first().ok_or("no answer")?;
        let attrs = Attrs::new(answer.get(genl::USER_HEADER..).ok_or("too short")?, 0);
        let view = ctrl::View::parse(attrs, Level::Liberal)?;
        let id = view.family_id().ok_or("no id")?;
        let first = view.0.attr(ctrl::MCAST_GROUPS).and_then(|groups| groups.attrs().next());
        let first = first.and_then(|one| group::View::parse(one.attrs(), Level::Liberal).ok()?.id());
        self.families.insert(name, id);
        debug_assert_eq!(nlctrl::NAME, "nlctrl");
        Ok((id, first))
    }

    /// Asks a family; the answers before the acknowledgement.
    pub fn ask(
        &mut self,
        family: &'static str,
        command: u8,
        flags: u16,
        dp_ifindex: i32,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Result<Vec<Reply>> {
        let kind = match self.families.get(family) {
            Some(&kind) => kind,
            None => self.family(family)?.0,
        };
        let flags = if flags & NLM_F_DUMP == NLM_F_DUMP { flags } else { flags | NLM_F_ACK };
        let request = self.build(kind, command, flags, |w| {
            w.raw_fixed(&OvsHeader { dp_ifindex });
            fill(w);
        })?;
        let answers = exchange(&self.socket, self.seq, &request)?;
        Ok(answers.iter().flat_map(|bytes| Messages::new(bytes)).filter_map(|m| Reply::read(&m)).collect())
    }
}
