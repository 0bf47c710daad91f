//! All tables of the crate, with what tests do with each of them. That none is forgotten is a test itself.

use pfnl_proto::{Attrs, Error, Level, Table, Writer};

/// A table.
pub struct Known {
    pub table: &'static Table,
    /// The prefix of its constants in C.
    #[allow(dead_code, reason = "not every test compares with C")]
    pub prefix: &'static str,
    /// Reads a run of attributes and writes it again, by the table's own getters and writer's methods.
    #[allow(dead_code, reason = "not every test writes")]
    pub again: fn(Attrs<'_>, Level, &mut Writer<'_>) -> Result<(), Error>,
}

macro_rules! tables {
    ($($module:ident::$table:ident $prefix:literal)*) => {
        pub const TABLES: &[Known] = &[$(Known {
            table: &pfnl_proto::$module::$table::TABLE,
            prefix: $prefix,
            again: |attrs, level, w| {
                let view = pfnl_proto::$module::$table::View::parse(attrs, level)?;
                pfnl_proto::$module::$table::Put(w).again(&view);
                Ok(())
            },
        },)*];
    };
}

tables! {
    ack::extack "NLMSGERR_ATTR_"
    nlctrl::ctrl "CTRL_ATTR_"
    nlctrl::get_family "CTRL_ATTR_"
    nlctrl::get_policy "CTRL_ATTR_"
    nlctrl::op "CTRL_ATTR_OP_"
    nlctrl::group "CTRL_ATTR_MCAST_GRP_"
    nlctrl::op_policy "CTRL_ATTR_POLICY_"
    nlctrl::policy_type "NL_POLICY_TYPE_ATTR_"
    ovs::datapath "OVS_DP_ATTR_"
    ovs::vport "OVS_VPORT_ATTR_"
    ovs::tunnel_options "OVS_TUNNEL_ATTR_"
    ovs::vxlan_ext "OVS_VXLAN_EXT_"
    ovs::vxlan_opt "OVS_VXLAN_EXT_"
    ovs::upcall_stats "OVS_VPORT_UPCALL_ATTR_"
    ovs::flow "OVS_FLOW_ATTR_"
    ovs::packet "OVS_PACKET_ATTR_"
    ovs::key "OVS_KEY_ATTR_"
    ovs::tunnel_key "OVS_TUNNEL_KEY_ATTR_"
    ovs::nsh_key "OVS_NSH_KEY_ATTR_"
    ovs::action "OVS_ACTION_ATTR_"
    ovs::userspace "OVS_USERSPACE_ATTR_"
    ovs::sample "OVS_SAMPLE_ATTR_"
    ovs::check_pkt_len "OVS_CHECK_PKT_LEN_ATTR_"
    ovs::dec_ttl "OVS_DEC_TTL_ATTR_"
    ovs::psample "OVS_PSAMPLE_ATTR_"
    ovs::ct "OVS_CT_ATTR_"
    ovs::nat "OVS_NAT_ATTR_"
    ovs::meter "OVS_METER_ATTR_"
    ovs::band "OVS_BAND_ATTR_"
    ovs::ct_limit "OVS_CT_LIMIT_ATTR_"
    psample::psample "PSAMPLE_ATTR_"
    netfilter::ct_attr "CTA_"
    netfilter::tuple "CTA_TUPLE_"
    netfilter::tuple_ip "CTA_IP_"
    netfilter::tuple_proto "CTA_PROTO_"
    netfilter::protoinfo "CTA_PROTOINFO_"
    netfilter::protoinfo_tcp "CTA_PROTOINFO_TCP_"
    netfilter::protoinfo_sctp "CTA_PROTOINFO_SCTP_"
    netfilter::help "CTA_HELP_"
    netfilter::ct_nat "CTA_NAT_"
    netfilter::ct_nat_proto "CTA_PROTONAT_"
    netfilter::seq_adj "CTA_SEQADJ_"
    netfilter::ct_filter "CTA_FILTER_"
    netfilter::ct_stats_cpu "CTA_STATS_"
    netfilter::ct_stats "CTA_STATS_GLOBAL_"
    netfilter::exp_attr "CTA_EXPECT_"
    netfilter::exp_nat "CTA_EXPECT_NAT_"
    netfilter::exp_stats "CTA_STATS_EXP_"
    netfilter::timeout_attr "CTA_TIMEOUT_"
    netfilter::timeout_data "CTA_TIMEOUT_TCP_"
}

/// The sources of the crate.
pub fn sources() -> Vec<String> {
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                sources.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    sources
}

/// How many tables the sources declare.
pub fn declared() -> usize {
    let in_code = |line: &str| line.trim_start().starts_with("pub mod ") && line.contains(": \"");
    sources().iter().flat_map(|text| text.lines()).filter(|line| in_code(line)).count()
}

#[test]
fn no_table_is_forgotten() {
    assert_eq!(TABLES.len(), declared());
}
