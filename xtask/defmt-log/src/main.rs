//! Decodes the appliance's log frames: `defmt-log ELF` reads them from standard input and prints lines.
//!
//! It is a program of its own because the decoder brings a long list of crates, which nobody should have to wait
//! for who does not read the log.

use anyhow::{Context as _, Result};
use defmt_decoder::{DecodeError, Table};
use std::io::{Read as _, Write as _};

fn main() -> Result<()> {
    let elf = std::env::args_os().nth(1).context("usage: defmt-log ELF <frames >lines")?;
    let elf = std::fs::read(&elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let table = Table::parse(&elf)?.context("the firmware has no log table; was it built with its log?")?;
    let mut decoder = table.new_stream_decoder();
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
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
