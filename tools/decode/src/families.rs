//! Families whose messages can be decoded by name.

use pfnl_proto::{Fixed, Layout, Table, nlctrl, ovs, psample};

/// What a decoder knows of a family.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name, by which its id is learnt.
    pub name: &'static str,
    /// What its user header is made of.
    pub header: Option<&'static Layout>,
    /// Its attributes.
    pub table: &'static Table,
    /// Its commands' numbers and names.
    pub commands: &'static [(u8, &'static str)],
}

const OVS_HEADER: Option<&Layout> = Some(&ovs::OvsHeader::LAYOUT);
const OVS_COMMANDS: &[(u8, &str)] =
    &[(ovs::cmd::NEW, "NEW"), (ovs::cmd::DEL, "DEL"), (ovs::cmd::GET, "GET"), (ovs::cmd::SET, "SET")];

/// Those of the protocol crate.
pub(crate) const KNOWN: &[Family] = &[
    Family {
        name: nlctrl::NAME,
        header: None,
        table: &nlctrl::ctrl::TABLE,
        commands: &[
            (nlctrl::cmd::NEWFAMILY, "NEWFAMILY"),
            (nlctrl::cmd::DELFAMILY, "DELFAMILY"),
            (nlctrl::cmd::GETFAMILY, "GETFAMILY"),
            (nlctrl::cmd::NEWMCAST_GRP, "NEWMCAST_GRP"),
            (nlctrl::cmd::DELMCAST_GRP, "DELMCAST_GRP"),
            (nlctrl::cmd::GETPOLICY, "GETPOLICY"),
        ],
    },
    Family { name: "ovs_datapath", header: OVS_HEADER, table: &ovs::datapath::TABLE, commands: OVS_COMMANDS },
    Family { name: "ovs_vport", header: OVS_HEADER, table: &ovs::vport::TABLE, commands: OVS_COMMANDS },
    Family { name: "ovs_flow", header: OVS_HEADER, table: &ovs::flow::TABLE, commands: OVS_COMMANDS },
    Family {
        name: "ovs_packet",
        header: OVS_HEADER,
        table: &ovs::packet::TABLE,
        commands: &[
            (ovs::packet_cmd::MISS, "MISS"),
            (ovs::packet_cmd::ACTION, "ACTION"),
            (ovs::packet_cmd::EXECUTE, "EXECUTE"),
        ],
    },
    Family {
        name: "ovs_meter",
        header: OVS_HEADER,
        table: &ovs::meter::TABLE,
        commands: &[
            (ovs::meter_cmd::FEATURES, "FEATURES"),
            (ovs::meter_cmd::SET, "SET"),
            (ovs::meter_cmd::DEL, "DEL"),
            (ovs::meter_cmd::GET, "GET"),
        ],
    },
    Family {
        name: "ovs_ct_limit",
        header: OVS_HEADER,
        table: &ovs::ct_limit::TABLE,
        commands: &[
            (ovs::ct_limit_cmd::SET, "SET"),
            (ovs::ct_limit_cmd::DEL, "DEL"),
            (ovs::ct_limit_cmd::GET, "GET"),
        ],
    },
    Family {
        name: psample::NAME,
        header: None,
        table: &psample::psample::TABLE,
        commands: &[
            (psample::cmd::SAMPLE, "SAMPLE"),
            (psample::cmd::GET_GROUP, "GET_GROUP"),
            (psample::cmd::NEW_GROUP, "NEW_GROUP"),
            (psample::cmd::DEL_GROUP, "DEL_GROUP"),
        ],
    },
];
