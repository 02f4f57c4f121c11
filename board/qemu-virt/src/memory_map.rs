//! Where everything is: the memory map of `qemu-system-arm -M virt` as constants.
//!
//! `hw-docs/memory-map.md` says the same to people; the linker script `stargate.ld` takes its numbers from the
//! same table, and assertions at the end of this file and in the linker script keep the two together.

/// Flash bank 0: firmware. The processor starts here.
pub const FLASH0_BASE: usize = 0x0000_0000;
/// Flash bank 1: data.
pub const FLASH1_BASE: usize = 0x0400_0000;
/// Octets of one flash bank.
pub const FLASH_BANK_BYTES: usize = 64 * 1024 * 1024;
/// Octets of one erase block: 128 KiB in each of the two chips.
pub const FLASH_BLOCK_BYTES: usize = 256 * 1024;
/// Where the boot header lies in bank 0.
pub const BOOT_HEADER_OFFSET: usize = 0x40;
/// Where the image lies in bank 0: the second erase block.
pub const IMAGE_OFFSET: usize = 0x0004_0000;

/// GICv2 distributor.
pub const GICD_BASE: usize = 0x0800_0000;
/// GICv2 processor interface.
pub const GICC_BASE: usize = 0x0801_0000;
/// PL011 serial port: the console.
pub const UART_BASE: usize = 0x0900_0000;
/// PL031 real-time clock.
pub const RTC_BASE: usize = 0x0901_0000;
/// First virtio-mmio slot.
pub const VIRTIO_BASE: usize = 0x0a00_0000;
/// Octets from one virtio-mmio slot to the next.
pub const VIRTIO_SLOT_BYTES: usize = 0x200;
/// Number of virtio-mmio slots.
pub const VIRTIO_SLOT_COUNT: usize = 32;
/// TPM TIS register file, locality 0.
pub const TPM_BASE: usize = 0x0c00_0000;
/// Octets of the TIS register file: five localities of 4 KiB.
pub const TPM_BYTES: usize = 0x5000;

/// Start of RAM. The machine leaves the device tree here.
pub const RAM_BASE: usize = 0x4000_0000;
/// Octets at the start of RAM that belong to the device tree until it has been read.
pub const DEVICE_TREE_BYTES: usize = 2 * 1024 * 1024;
/// Where the image runs.
pub const IMAGE_BASE: usize = RAM_BASE + DEVICE_TREE_BYTES;
/// RAM that the image takes at most, with heap and stacks; the machine must have at least this much.
pub const IMAGE_BYTES_MAX: usize = 38 * 1024 * 1024;

/// Interrupt number (GIC INTID) of the non-secure EL1 physical timer, PPI 14.
pub const IRQ_TIMER: u32 = 16 + 14;
/// Interrupt number of the serial port, SPI 1.
pub const IRQ_UART: u32 = 32 + 1;
/// Interrupt number of the first virtio-mmio slot, SPI 16; the others follow.
pub const IRQ_VIRTIO: u32 = 32 + 16;

/// Clock of the serial port in Hz.
pub const UART_CLOCK_HZ: u32 = 24_000_000;
/// Speed of the serial console in bit/s, 8N1.
pub const UART_BAUD: u32 = 115_200;
/// Frequency of the generic timer in Hz.
pub const COUNTER_HZ: u64 = 62_500_000;

const _: () = assert!(IMAGE_OFFSET == FLASH_BLOCK_BYTES);
const _: () = assert!(FLASH1_BASE == FLASH0_BASE + FLASH_BANK_BYTES);
const _: () = assert!(IMAGE_BASE == 0x4020_0000);
