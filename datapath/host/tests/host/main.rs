//! Ports against the running kernel. Tests that may not make network namespaces say so and pass.
#![cfg(target_os = "linux")]

mod flows;
mod lifecycle;
mod net;
mod traffic;
