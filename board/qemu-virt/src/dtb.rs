//! What is read from the device tree: the size of the RAM, and whether there is a TPM. Touching the registers of a
//! TPM that is not there is a bus error on this machine.

use crate::memory_map::{DEVICE_TREE_BYTES, RAM_BASE};

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// What the device tree says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Octets of RAM.
    pub(crate) ram_bytes: Option<u64>,
    /// There is a TPM with the FIFO interface.
    pub(crate) tpm: bool,
}

/// Walks the structure block of a flattened device tree (Devicetree Specification 0.4, chapter 5) to the `reg` of the
/// node `memory@40000000`, and looks for a node that is compatible with `tcg,tpm-tis-mmio`.
///
/// Returns `None` if the blob is no device tree; nothing in the blob can make this read outside `blob` or run for
/// longer than its length.
fn walk(blob: &[u8]) -> Option<Found> {
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_be_bytes(blob.get(at..at.checked_add(4)?)?.try_into().ok()?))
    };
    if word(0)? != MAGIC {
        return None;
    }
    let mut at = word(8)? as usize;
    let strings = word(12)? as usize;
    let text = |at: usize| -> Option<&[u8]> { blob.get(at..)?.split(|octet| *octet == 0).next() };
    let mut depth = 0u32;
    let mut in_memory = false;
    let mut found = Found::default();
    loop {
        let token = word(at)?;
        at = at.checked_add(4)?;
        match token {
            BEGIN_NODE => {
                depth = depth.checked_add(1)?;
                let name = text(at)?;
                in_memory = depth == 2 && name == b"memory@40000000";
                at = at.checked_add((name.len() + 1).next_multiple_of(4))?;
            }
            END_NODE => {
                depth = depth.checked_sub(1)?;
                in_memory = false;
            }
            PROPERTY => {
                let length = word(at)? as usize;
                let name = text(strings.checked_add(word(at + 4)? as usize)?)?;
                let value = at.checked_add(8)?;
                if in_memory && name == b"reg" {
                    // Two address cells and two size cells.
                    found.ram_bytes = Some(u64::from(word(value + 8)?) << 32 | u64::from(word(value + 12)?));
                }
                if name == b"compatible" && text(value)? == b"tcg,tpm-tis-mmio" {
                    found.tpm = true;
                }
                at = value.checked_add(length.checked_next_multiple_of(4)?)?;
            }
            NOP => {}
            END => return Some(found),
            _ => return None,
        }
    }
}

/// Reads the device tree.
///
/// # Safety
/// The start of RAM has not been used for anything else since reset.
pub(crate) unsafe fn read() -> Found {
    // SAFETY: the first 2 MiB of RAM are outside the image and, as the caller promises, still what the machine
    // put there; any content at all is handled.
    let blob = unsafe { core::slice::from_raw_parts(RAM_BASE as *const u8, DEVICE_TREE_BYTES) };
    walk(blob).unwrap_or_default()
}

impl Found {
    /// Octets of RAM, whole MiB and at most what 32-bit addresses reach.
    pub(crate) fn ram(self) -> Option<usize> {
        self.ram_bytes.map(|bytes| bytes.min((usize::MAX - RAM_BASE) as u64) as usize & !0xf_ffff)
    }
}
