//! The queue in a data flash that no machine is using: filled and read by the firmware's own `spool` on this machine.

use anyhow::{Context as _, Result, anyhow};
use embassy_futures::block_on;
use flash_sim::SimFlash;
use limits::flash::{BLOCK_BYTES, SPOOL_BLOCKS};
use spool::{Admission, Arrival, Class, Removal, Spool};
use std::{
    fs::OpenOptions,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

pub use envelope::QueueId;

/// The queue of a data flash, mounted.
pub type Queue = Spool<SimFlash<BLOCK_BYTES>>;

/// Mounts the queue of the data flash in the file `data`, lets `work` use it, and writes it back.
///
/// # Errors
/// If the file cannot be read or written, or there is no queue to be mounted; what `work` met.
pub fn change<T>(data: &Path, work: impl FnOnce(&Queue) -> Result<T>) -> Result<T> {
    let flash = read(data)?;
    let queue = mount(&flash)?;
    let result = work(&queue)?;
    drop(queue);
    let mut file = OpenOptions::new().write(true).open(data)?;
    file.seek(SeekFrom::Start(start()))?;
    file.write_all(&flash.image())?;
    Ok(result)
}

/// As [`change`], without writing anything back: what the machine would find if it were switched on now.
///
/// # Errors
/// As [`change`].
pub fn look<T>(data: &Path, work: impl FnOnce(&Queue) -> Result<T>) -> Result<T> {
    work(&mount(&read(data)?)?)
}

fn start() -> u64 {
    u64::from(SPOOL_BLOCKS.start) * BLOCK_BYTES as u64
}

fn read(data: &Path) -> Result<SimFlash<BLOCK_BYTES>> {
    let mut file = OpenOptions::new().read(true).open(data).with_context(|| data.display().to_string())?;
    file.seek(SeekFrom::Start(start()))?;
    let mut image = vec![0; SPOOL_BLOCKS.len() * BLOCK_BYTES];
    file.read_exact(&mut image)?;
    Ok(SimFlash::from_image(image))
}

fn mount(flash: &SimFlash<BLOCK_BYTES>) -> Result<Queue> {
    let mounted = block_on(Spool::mount(flash.clone()));
    mounted.map(|(queue, _)| queue).map_err(|error| anyhow!("the queue does not mount: {error:?}"))
}

/// Stores a message for one recipient.
///
/// # Errors
/// What the queue says.
pub fn store(queue: &Queue, sender: &str, recipient: &str, content: &[u8]) -> Result<QueueId> {
    let admission = Admission {
        size: Some(u32::try_from(content.len())?),
        recipients: 1,
        recipients_bytes: u32::try_from(recipient.len())?,
        class: Class::Mail,
    };
    let mut incoming = queue.begin(admission).map_err(|full| anyhow!("{full:?}"))?;
    block_on(async {
        for piece in content.chunks(4_096) {
            queue.append(&mut incoming, piece).await.map_err(|error| anyhow!("{error:?}"))?;
        }
        let arrival = Arrival { sender, ..Arrival::default() };
        let recipients = [recipient].into_iter();
        queue.commit(incoming, &arrival, recipients).await.map_err(|error| anyhow!("{error:?}"))
    })
}

/// Holds a message, so that the machine leaves it alone.
///
/// # Errors
/// What the queue says.
pub fn hold(queue: &Queue, id: QueueId) -> Result<()> {
    block_on(queue.hold(id, "test")).map_err(|error| anyhow!("{error:?}"))
}

/// Removes a message.
///
/// # Errors
/// What the queue says.
pub fn remove(queue: &Queue, id: QueueId) -> Result<()> {
    block_on(queue.remove(id, Removal::Operator)).map_err(|error| anyhow!("{error:?}"))
}

/// The whole stored content of a message.
///
/// # Errors
/// If it is not there or cannot be read.
pub fn content(queue: &Queue, id: QueueId) -> Result<Vec<u8>> {
    let size = queue.content_size(id).with_context(|| format!("no message {id}"))?;
    let mut content = Vec::with_capacity(size as usize);
    let mut piece = vec![0; 4_096];
    while content.len() < size as usize {
        let at = u32::try_from(content.len())?;
        let count = block_on(queue.read(id, at, &mut piece)).map_err(|error| anyhow!("{id}: {error:?}"))?;
        let read = piece.get(..count).filter(|read| !read.is_empty());
        content.extend_from_slice(read.with_context(|| format!("{id} ends at {at} of {size}"))?);
    }
    Ok(content)
}

/// The ids of all messages.
#[must_use]
pub fn ids(queue: &Queue) -> Vec<QueueId> {
    let mut ids = Vec::new();
    queue.for_each(|brief| ids.push(brief.id));
    ids
}
