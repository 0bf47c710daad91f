//! Makes the bindings to glue/ovs.h, from the headers of the kernel that is built for (`cargo xtask kmod`).

use std::env;
use std::path::PathBuf;

const FUNCTIONS: &str = "ovs_.*|m_freem|m_copydata|m_adj|m_copypacket|if_ref|if_rele";
const TYPES: &str = "ovs_.*|mbuf|pkthdr";
const CONSTANTS: &str =
    "OVS_.*|CSUM_IP|CSUM_IP_UDP|CSUM_IP_TCP|CSUM_IP6_UDP|CSUM_IP6_TCP|CSUM_TSO|CSUM_IP_TSO|CSUM_IP6_TSO";

fn main() {
    println!("cargo::rerun-if-changed=glue/ovs.h");
    println!("cargo::rerun-if-env-changed=PFNL_CFLAGS");
    let flags = env::var("PFNL_CFLAGS").expect("PFNL_CFLAGS: build this with `cargo xtask kmod`");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("bindings.rs");
    bindgen::Builder::default()
        .header("glue/ovs.h")
        .clang_args(flags.lines())
        .use_core()
        .allowlist_function(FUNCTIONS)
        .allowlist_type(TYPES)
        .allowlist_var(CONSTANTS)
        .opaque_type("ifnet")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .derive_debug(false)
        .derive_default(true)
        .layout_tests(true)
        .generate_comments(false)
        .formatter(bindgen::Formatter::None)
        .generate()
        .expect("the kernel's headers can be read")
        .write_to_file(out)
        .expect("OUT_DIR can be written");
}
