//! Builds the shim of the environment `exact`: one source without dependencies, compiled to a shared object
//! that the library carries inside (`env::exact::process`), so that an installed `fuzz` is one file.

use std::env;
use std::path::Path;
use std::process::Command;

const SOURCES: &str = "src/env/exact/shim";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SOURCES}");
    println!("cargo::rustc-check-cfg=cfg(exact)");
    let target = env::var("TARGET").unwrap_or_default();
    // The shim speaks to the kernel and to glibc of this one kind of machine.
    if target != "x86_64-unknown-linux-gnu" || env::var_os("CARGO_FEATURE_CLI").is_none() {
        return;
    }
    let out = env::var("OUT_DIR").expect("cargo sets it");
    let object = Path::new(&out).join("seedfault_exact.so");
    let status = Command::new(env::var_os("RUSTC").expect("cargo sets it"))
        .args(["--edition", "2024", "--crate-type", "cdylib", "--crate-name", "seedfault_exact"])
        .args(["--target", &target, "-O", "-C", "panic=abort", "-C", "strip=symbols", "-o"])
        .arg(&object)
        .arg(Path::new(SOURCES).join("lib.rs"))
        .status()
        .expect("the compiler starts");
    assert!(status.success(), "the shim does not compile");
    println!("cargo::rustc-cfg=exact");
}
