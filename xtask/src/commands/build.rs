//! `cargo xtask build`: the firmware and its flash image.

use crate::flash_image::Firmware;
use crate::project::{self, TARGET};
use crate::toolchain::Toolchain;
use crate::{step, sysroot};
use anyhow::{Context as _, Result};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

/// Octets that the image may take in the flash.
const IMAGE_BYTES_BUDGET: u64 = 3 << 20;
/// Octets of RAM that everything with a fixed place may take: code, statics, heap and stacks.
const RAM_BYTES_BUDGET: u64 = 32 << 20;

/// Options of `build`.
#[derive(clap::Args)]
pub struct Options {
    /// Another package of the workspace than `image`, for boards in the making; only built, not packed.
    #[arg(long)]
    package: Option<String>,
    /// No size table.
    #[arg(long)]
    quiet: bool,
}

impl Options {
    /// The firmware, without the size table.
    #[must_use]
    pub fn quiet() -> Self {
        Self { package: None, quiet: true }
    }

    /// The firmware, with the size table.
    #[must_use]
    pub fn with_sizes() -> Self {
        Self { package: None, quiet: false }
    }
}

/// What `build` made.
pub struct Built {
    /// The linked firmware with its symbols.
    pub elf: PathBuf,
    /// The content of flash bank 0.
    pub bank: PathBuf,
    /// Octets of the image in the flash.
    pub image_bytes: u64,
}

/// The image that the last build left, for a second run of something.
///
/// # Errors
/// When there is none.
pub fn present() -> Result<Built> {
    let bank = project::appliance().join("firmware.img");
    let elf = project::target().join(TARGET).join("release/image");
    let mut header = [0; 0x20];
    let mut file =
        std::fs::File::open(&bank).context("there is no firmware.img yet; `cargo xtask build` makes it")?;
    file.seek(SeekFrom::Start(crate::flash_image::HEADER_OFFSET as u64))?;
    file.read_exact(&mut header)?;
    let [b0, b1, b2, b3] = [header[0x14], header[0x15], header[0x16], header[0x17]];
    Ok(Built { elf, bank, image_bytes: u32::from_le_bytes([b0, b1, b2, b3]).into() })
}

/// Builds the firmware in release and writes `target/appliance/firmware.img`.
///
/// # Errors
/// When there is no toolchain, the build fails or the ELF file does not fit the boot header.
pub fn run(options: &Options) -> Result<Built> {
    let toolchain = sysroot::ensure()?;
    step::headline("Firmware");
    let package = options.package.as_deref().unwrap_or("image");
    let elf = compile(&toolchain, package)?;
    let bank = project::appliance().join("firmware.img");
    if options.package.is_some() {
        step::note(&project::shown(&elf));
        return Ok(Built { elf, bank, image_bytes: 0 });
    }
    let firmware = Firmware::read(&elf)?;
    firmware.write(&bank)?;
    if !options.quiet {
        print_sizes(&firmware);
    }
    step::note(&format!("{} is ready", project::shown(&bank)));
    Ok(Built { elf, bank, image_bytes: firmware.image_bytes })
}

/// Compiles `package` for the appliance and tells where its program is (or its library, if it has no program).
fn compile(toolchain: &Toolchain, package: &str) -> Result<PathBuf> {
    let mut cargo = toolchain.cargo();
    cargo.args(["build", "--release", "--target", TARGET, "--package", package]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let finished = step::run(&format!("building {package} for {TARGET}"), &mut cargo)?;
    let mut product = None;
    for line in finished.stdout.lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        if message["reason"] != "compiler-artifact" || !in_package(&message["package_id"], package) {
            continue;
        }
        let program = message["executable"].as_str();
        if let Some(path) = program.or_else(|| message["filenames"][0].as_str()) {
            product = Some(PathBuf::from(path));
        }
    }
    product.with_context(|| format!("cargo built nothing for {package}"))
}

fn in_package(id: &serde_json::Value, package: &str) -> bool {
    // path+file:///…/firmware/image#0.0.0, or …#name@0.0.0 where folder and name differ
    let Some((place, name)) = id.as_str().and_then(|id| id.rsplit_once('#')) else { return false };
    place.ends_with(&format!("/{package}")) || name.starts_with(&format!("{package}@"))
}

fn print_sizes(firmware: &Firmware) {
    eprintln!("\n   {:<14} {:>10}  {:>12}  {:>12}", "section", "address", "flash", "RAM");
    let (mut flash, mut ram) = (0, 0);
    for section in &firmware.sections {
        let in_ram = section.address >= 0x4000_0000;
        let of = |there: bool| if there { grouped(section.bytes) } else { "-".to_owned() };
        eprintln!(
            "   {:<14} {:#010x}  {:>12}  {:>12}",
            section.name,
            section.address,
            of(section.in_flash),
            of(in_ram)
        );
        flash += if section.in_flash { section.bytes } else { 0 };
        ram += if in_ram { section.bytes } else { 0 };
    }
    eprintln!("   {:<25}  {:>12}  {:>12}", "together", grouped(flash), grouped(ram));
    eprintln!("   {:<25}  {:>12}  {:>12}", "budget", grouped(IMAGE_BYTES_BUDGET), grouped(RAM_BYTES_BUDGET));
    for (what, used, budget) in [("flash", flash, IMAGE_BYTES_BUDGET), ("RAM", ram, RAM_BYTES_BUDGET)] {
        if used > budget {
            eprintln!("   over the {what} budget by {} octets", grouped(used - budget));
        }
    }
    eprintln!();
}

/// A number with a space between thousands.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
