//! Decodes the appliance's log frames and prints them as lines.
//!
//! `defmt-log ELF <FRAMES` decodes what is there, `defmt-log ELF --follow FRAMES` waits for more until it is killed.
//!
//! It is a program of its own because the decoder brings a long list of crates, which nobody should have to wait
//! for who does not read the log.

use anyhow::{Context as _, Result};
use defmt_decoder::{DecodeError, Table};
use std::io::{Read, Write as _};
use std::time::Duration;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let elf = arguments.next().context("usage: defmt-log ELF [--follow FRAMES]")?;
    let followed =
        (arguments.next().as_deref() == Some("--follow".as_ref())).then(|| arguments.next()).flatten();
    let mut input: Box<dyn Read> = match &followed {
        Some(path) => {
            Box::new(std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?)
        }
        None => Box::new(std::io::stdin().lock()),
    };
    let elf = std::fs::read(&elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let table = Table::parse(&elf)?.context("the firmware has no log table; was it built with its log?")?;
    let mut decoder = table.new_stream_decoder();
    let mut output = std::io::stdout().lock();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            if followed.is_none() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
            continue;
        }
        decoder.received(buffer.get(..count).unwrap_or_default());
        loop {
            match decoder.decode() {
                Ok(frame) => writeln!(output, "{}", frame.display(false))?,
                Err(DecodeError::UnexpectedEof) => break,
                // A reset in the middle of a frame; an encoding with frame ends finds its way back by itself.
                Err(DecodeError::Malformed) if table.encoding().can_recover() => {
                    writeln!(output, "(a damaged log frame was skipped)")?;
                }
                Err(DecodeError::Malformed) => anyhow::bail!("the log stream is damaged beyond recovery"),
            }
        }
        output.flush()?;
    }
}
