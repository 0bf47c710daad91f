//! Makes the bindings from the headers of the kernel that is built for, by way of ../glue/pfnl.h.
//! `cargo xtask kmod` says how they are read: PFNL_CFLAGS is what the glue is compiled with, one word a line.

use std::env;
use std::path::PathBuf;

/// What the Rust side calls and touches beside the glue's own functions.
const FUNCTIONS: &str = "pfnl_.*|__mtx_lock_flags|__mtx_unlock_flags|_mtx_init|_mtx_destroy|sx_init_flags|sx_destroy\
    |_sx_xlock|_sx_xunlock|arc4random_buf|uiomove|sooptcopyin|sooptcopyout|soreceive_generic|sbsetopt\
    |priv_check_cred|m_freem|m_copydata|m_length";
const TYPES: &str =
    "pfnl_.*|pr_.*_t|sockaddr_nl|sockaddr_storage|sockopt|mtx|sx|epoch_tracker|epoch_context|uio";
const CONSTANTS: &str = "PFNL_.*|PRIV_NET_BRIDGE|PRIV_NET_RAW|SO_RCVBUF|SO_SNDBUF|SOCK_RAW|SOL_SOCKET|SS_NBIO|MSG_DONTWAIT|MSG_PEEK|MSG_NBIO|MSG_OOB|AF_UNSPEC|AF_VENDOR00";

fn main() {
    println!("cargo::rerun-if-changed=../glue/pfnl.h");
    println!("cargo::rerun-if-changed=../glue/family.h");
    println!("cargo::rerun-if-env-changed=PFNL_CFLAGS");
    let flags = env::var("PFNL_CFLAGS").expect("PFNL_CFLAGS: build this with `cargo xtask kmod`");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("bindings.rs");
    bindgen::Builder::default()
        .header("../glue/pfnl.h")
        .clang_args(flags.lines())
        .use_core()
        .allowlist_function(FUNCTIONS)
        .allowlist_type(TYPES)
        .allowlist_var(CONSTANTS)
        .blocklist_item("pfnl_sockets|pfnl_datagrams|pfnl_nomem")
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
