//! Which crate may use which: the one place where it is written down for machines.
//!
//! ARCHITECTURE.md tells it to people. A crate depends on lower layers only; inside a layer on what is named here.

/// Crates of the firmware by layer, and what each may use of its own layer.
pub const FIRMWARE: &[(u8, &str, &[&str])] = &[
    (0, "limits", &[]),
    (0, "platform", &["limits"]),
    (0, "envelope", &["limits"]),
    (0, "events", &["limits", "envelope"]),
    (1, "smtp", &[]),
    (1, "mime", &[]),
    (1, "dns", &[]),
    (1, "dsn", &["mime"]),
    (1, "pki", &[]),
    (1, "smime", &["mime", "pki"]),
    (1, "policy", &[]),
    (1, "loop-marker", &[]),
    (1, "spf", &["dns"]),
    (1, "tpm", &[]),
    (1, "tcp-guard", &[]),
    (1, "console", &[]),
    (2, "flash-log", &[]),
    (2, "settings", &["flash-log"]),
    (2, "keystore", &["flash-log"]),
    (2, "spool", &["flash-log"]),
    (3, "relay", &[]),
    (4, "image", &[]),
];

/// Layers up to this one know no machine: `no_std`, and unsafe code forbidden.
pub const PORTABLE_LAYER_MAX: u8 = 3;

/// What crates under `board/` may use of the firmware.
pub const SEEN_BY_BOARDS: &[&str] = &["limits", "platform"];

/// Crates of the firmware that may use `board/`.
pub const USERS_OF_BOARDS: &[&str] = &["image", "boot"];

/// Third-party crates that have one door: the crate, and who may use it.
pub const DOORS: &[(&str, &[&str])] = &[
    ("mail-parser", &["mime"]),
    ("tpm2-protocol", &["tpm"]),
    ("cms", &["smime"]),
    ("virtio-drivers", &["qemu-virt"]),
];

/// Third-party crates of the firmware that may use the small `std` of `board/bare-std`.
pub const USERS_OF_STD: &[&str] = &["mail-parser"];
