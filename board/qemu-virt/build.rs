//! Puts the linker script where the linker finds it: `-Tstargate.ld` in the binary's own build script.
use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=stargate.ld");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let script = fs::read("stargate.ld").expect("stargate.ld lies beside this file");
    fs::write(out.join("stargate.ld"), script).expect("OUT_DIR can be written");
    println!("cargo:rustc-link-search={}", out.display());
}
