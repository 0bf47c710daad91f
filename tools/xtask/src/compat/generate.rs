//! Headers that come from the attribute tables of netlink-proto: linux/genetlink.h and linux/openvswitch.h.
//!
//! A template in compat-headers/templates holds what is no attribute; `@table PREFIX_@` becomes the enum of a table.

use anyhow::{Context, Result, ensure};
use pfnl_proto::{Table, nlctrl, ovs};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Writes the generated headers, or says which are not what would be written.
pub fn run(folder: &Path, write: bool) -> Result<()> {
    let mut old = Vec::new();
    for (name, says) in [
        ("genetlink", "Generic netlink, and nlctrl, its family of families."),
        ("openvswitch", "The Open vSwitch families, as Linux numbers and lays them out."),
    ] {
        let template = folder.join(format!("templates/{name}.h"));
        let template = fs::read_to_string(&template).with_context(|| template.display().to_string())?;
        let text = header(name, says, &template)?;
        let path = folder.join(format!("include/linux/{name}.h"));
        if write {
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        } else if fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            old.push(path.display().to_string());
        }
    }
    ensure!(
        old.is_empty(),
        "not what the tables say (cargo xtask compat-headers --write): {}",
        old.join(", ")
    );
    Ok(())
}

fn header(name: &str, says: &str, template: &str) -> Result<String> {
    let guard = format!("PFNL_COMPAT_LINUX_{}_H", name.to_uppercase());
    let mut out = format!(
        "/*-\n * SPDX-License-Identifier: BSD-2-Clause\n *\n * {says}\n *\n * Made by `cargo xtask compat-headers \
         --write` from netlink-proto's tables.\n */\n#ifndef {guard}\n#define {guard}\n\n"
    );
    for line in template.lines() {
        match line.strip_prefix('@').and_then(|line| line.strip_suffix('@')) {
            Some(place) => {
                let (table, prefix) = place.split_once(' ').with_context(|| line.to_owned())?;
                out += &enumeration(table_named(table).with_context(|| format!("no table {table}"))?, prefix);
            }
            None => writeln!(out, "{line}")?,
        }
    }
    Ok(out + "\n#endif\n")
}

/// A table as a C enum, with the greatest number as programs size their arrays by it.
fn enumeration(table: &Table, prefix: &str) -> String {
    let mut out = format!("enum {} {{\n", table.name);
    if table.rows.first().is_some_and(|row| row.number > 0) {
        out += &format!("\t{prefix}UNSPEC,\n");
    }
    let mut next = u16::from(table.rows.first().is_some_and(|row| row.number > 0));
    for row in table.rows {
        let name = c_name(prefix, row.name);
        out += &if row.number == next {
            format!("\t{name},\n")
        } else {
            format!("\t{name} = {},\n", row.number)
        };
        next = row.number + 1;
    }
    out + &format!("\t__{prefix}MAX\n}};\n#define {prefix}MAX (__{prefix}MAX - 1)\n\n")
}

/// What a row is called in C.
fn c_name(prefix: &str, name: &str) -> String {
    let name = match name {
        "port_type" | "band_type" | "attr_type" => "type",
        "do_policy" => "do",
        "dump_policy" => "dump",
        other => other,
    };
    format!("{prefix}{}", name.to_uppercase())
}

fn table_named(name: &str) -> Option<&'static Table> {
    Some(match name {
        "ctrl" => &nlctrl::ctrl::TABLE,
        "op" => &nlctrl::op::TABLE,
        "group" => &nlctrl::group::TABLE,
        "op_policy" => &nlctrl::op_policy::TABLE,
        "datapath" => &ovs::datapath::TABLE,
        "vport" => &ovs::vport::TABLE,
        "tunnel_options" => &ovs::tunnel_options::TABLE,
        "vxlan_ext" => &ovs::vxlan_ext::TABLE,
        "upcall_stats" => &ovs::upcall_stats::TABLE,
        "flow" => &ovs::flow::TABLE,
        "packet" => &ovs::packet::TABLE,
        "key" => &ovs::key::TABLE,
        "tunnel_key" => &ovs::tunnel_key::TABLE,
        "nsh_key" => &ovs::nsh_key::TABLE,
        "action" => &ovs::action::TABLE,
        "userspace" => &ovs::userspace::TABLE,
        "sample" => &ovs::sample::TABLE,
        "check_pkt_len" => &ovs::check_pkt_len::TABLE,
        "dec_ttl" => &ovs::dec_ttl::TABLE,
        "psample" => &ovs::psample::TABLE,
        "ct" => &ovs::ct::TABLE,
        "nat" => &ovs::nat::TABLE,
        "meter" => &ovs::meter::TABLE,
        "band" => &ovs::band::TABLE,
        "ct_limit" => &ovs::ct_limit::TABLE,
        _ => return None,
    })
}
