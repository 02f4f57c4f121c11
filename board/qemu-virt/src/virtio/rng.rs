//! virtio-rng: the seed of the random generator.

use super::{Features, Memory, find};
use crate::memory_map::COUNTER_HZ;
use crate::time;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{DeviceType, Transport};

/// Fills `seed` from the device; waits one second at most. Start-up only: it polls.
///
/// Returns `None` if there is no device or it does not answer.
pub(crate) fn seed(seed: &mut [u8]) -> Option<()> {
    let (mut transport, _) = find(DeviceType::EntropySource)?;
    transport.begin_init(Features::VERSION_1);
    let mut queue = VirtQueue::<Memory, 2>::new(&mut transport, 0, false, false).ok()?;
    transport.finish_init();
    let deadline = time::counter() + COUNTER_HZ;
    let mut filled = 0;
    // The device hands out what it has, which may be less than was asked for.
    while filled < seed.len() {
        let rest = &mut seed[filled..];
        // SAFETY: the buffer is not touched until it has been popped; if the device does not answer the queue is
        // taken away from it before this function returns.
        let token = unsafe { queue.add(&[], &mut [&mut *rest]) }.ok()?;
        transport.notify(0);
        while !queue.can_pop() {
            if time::counter() > deadline {
                transport.queue_unset(0);
                return None;
            }
        }
        // SAFETY: the buffer that was added.
        let count = unsafe { queue.pop_used(token, &[], &mut [rest]) }.ok()? as usize;
        if count == 0 || count > seed.len() - filled {
            return None;
        }
        filled += count;
    }
    transport.queue_unset(0);
    Some(())
}
