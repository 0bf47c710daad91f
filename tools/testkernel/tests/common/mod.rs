//! For tests that run programs under the preload library.

use std::path::Path;

/// Builds the preload library beside this program, as `cargo build` does for users.
pub fn build_preload() {
    let program = std::env::current_exe().unwrap();
    let profile = program.ancestors().find(|folder| !folder.ends_with("deps") && folder.is_dir()).unwrap();
    let mut build = std::process::Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "pfnl-preload", "--target-dir"]);
    build.arg(profile.parent().unwrap());
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "the preload library does not build");
    assert!(Path::new(profile).join("libpfnl_preload.so").exists());
}
