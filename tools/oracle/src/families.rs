//! What families a kernel has, as its nlctrl says.

use pfnl_proto::msg::{Header, Messages, NLM_F_DUMP, NLM_F_REQUEST};
use pfnl_proto::nlctrl::{self, ctrl, group};
use pfnl_proto::{Attrs, Level, Writer, genl};
use serde::{Deserialize, Serialize};

/// A family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// The type of its messages.
    pub id: u16,
    /// Its groups' names and numbers.
    pub groups: Vec<(String, u32)>,
}

/// All of them, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Families(pub Vec<Family>);

impl Families {
    /// The request for them.
    pub fn request() -> Vec<u8> {
        let mut bytes = Vec::new();
        let header =
            Header { kind: genl::GENL_ID_CTRL, flags: NLM_F_REQUEST | NLM_F_DUMP, ..Header::default() };
        Writer::new(&mut bytes).message(header, |w| {
            w.raw_fixed(&genl::Header { cmd: nlctrl::cmd::GETFAMILY, version: 1, reserved: 0 });
        });
        bytes
    }

    /// What the answer says.
    pub fn read(datagrams: &[Vec<u8>]) -> Families {
        let mut families: Vec<_> = datagrams
            .iter()
            .flat_map(|datagram| Messages::new(datagram))
            .filter_map(|m| family(m.bytes))
            .collect();
        families.sort_by_key(|family| family.id);
        Families(families)
    }

    /// A family's id; a number that nobody has, if there is no such family.
    pub fn id(&self, name: &str) -> u16 {
        self.0.iter().find(|family| family.name == name).map_or(genl::GENL_MAX_ID, |family| family.id)
    }

    /// A family's groups.
    pub fn groups(&self, name: &str) -> Option<&[(String, u32)]> {
        self.0.iter().find(|family| family.name == name).map(|family| family.groups.as_slice())
    }

    /// The name to an id.
    pub fn name(&self, id: u16) -> Option<&str> {
        self.0.iter().find(|family| family.id == id).map(|family| family.name.as_str())
    }
}

fn family(message: &[u8]) -> Option<Family> {
    let attrs = Attrs::new(message.get(genl::USER_HEADER..)?, genl::USER_HEADER as u32);
    let view = ctrl::View::parse(attrs, Level::Liberal).ok()?;
    let groups = view.mcast_groups().into_iter().flatten().filter_map(|attr| {
        let group = group::View::parse(attr.attrs(), Level::Liberal).ok()?;
        Some((String::from_utf8_lossy(group.name()?).into_owned(), group.id()?))
    });
    Some(Family {
        name: String::from_utf8_lossy(view.family_name()?).into_owned(),
        id: view.family_id()?,
        groups: groups.collect(),
    })
}
