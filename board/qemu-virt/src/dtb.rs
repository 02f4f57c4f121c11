//! The one fact that is read from the device tree: the size of the RAM.

use crate::memory_map::{DEVICE_TREE_BYTES, RAM_BASE};

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;

/// Walks the structure block of a flattened device tree (Devicetree Specification 0.4, chapter 5) to the node
/// `memory@40000000` and returns the size in its `reg` property.
///
/// Returns `None` if the blob is not a device tree or has no such node; nothing in the blob can make this read
/// outside `blob` or run for longer than its length.
fn ram_bytes_in(blob: &[u8]) -> Option<u64> {
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
                    return Some(u64::from(word(value + 8)?) << 32 | u64::from(word(value + 12)?));
                }
                at = value.checked_add(length.checked_next_multiple_of(4)?)?;
            }
            NOP => {}
            _ => return None,
        }
    }
}

/// Octets of RAM of this machine, at most what 32-bit addresses reach.
///
/// # Safety
/// The start of RAM has not been used for anything else since reset.
pub(crate) unsafe fn ram_bytes() -> Option<usize> {
    // SAFETY: the first 2 MiB of RAM are outside the image and, as the caller promises, still what the machine
    // put there; any content at all is handled.
    let blob = unsafe { core::slice::from_raw_parts(RAM_BASE as *const u8, DEVICE_TREE_BYTES) };
    let bytes = ram_bytes_in(blob)?;
    Some(bytes.min((usize::MAX - RAM_BASE) as u64) as usize & !0xf_ffff)
}
