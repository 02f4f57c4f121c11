//! First stage: what runs from flash at address 0 after reset.
//!
//! It uses no RAM, no stack and nothing that is not in its own sections before the image has been copied, so it
//! is written in assembly. `hw-docs/boot.md` describes the header and the steps.

use crate::memory_map::{FLASH_BANK_BYTES, IMAGE_BASE, IMAGE_BYTES_MAX, UART_BASE};

/// CRC-32C polynomial, reflected.
const CASTAGNOLI: u32 = 0x82f6_3b78;

/// Four tables, so that the first stage checks four octets with four look-ups.
const fn crc_tables() -> [[u32; 256]; 4] {
    let mut tables = [[0u32; 256]; 4];
    let mut n = 0;
    while n < 256 {
        let mut crc = n as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ CASTAGNOLI } else { crc >> 1 };
            bit += 1;
        }
        tables[0][n] = crc;
        n += 1;
    }
    let mut n = 0;
    while n < 256 {
        let mut level = 1;
        while level < 4 {
            let previous = tables[level - 1][n];
            tables[level][n] = (previous >> 8) ^ tables[0][(previous & 0xff) as usize];
            level += 1;
        }
        n += 1;
    }
    tables
}

// SAFETY: the section holds constants only and the linker script keeps it inside the first stage.
#[unsafe(link_section = ".boot.table")]
#[unsafe(no_mangle)]
static _boot_crc_tables: [[u32; 256]; 4] = crc_tables();

core::arch::global_asm!(
    r#"
    .pushsection .boot.vectors, "ax", %progbits
    .arm
    .global _boot_vectors
    .type _boot_vectors, %function
    .p2align 5
_boot_vectors:
    b       _boot_reset
    b       _boot_exception
    b       _boot_exception
    b       _boot_exception
    b       _boot_exception
    b       _boot_exception
    b       _boot_exception
    b       _boot_exception
    .size _boot_vectors, . - _boot_vectors
    .popsection

    .pushsection .boot.text, "ax", %progbits
    .arm
    .p2align 2
    .type _boot_reset, %function
_boot_reset:
    // SVC mode, every interrupt masked.
    msr     cpsr_c, #0xd3
    // The counter runs on through a reset; the image finds the moment of this one in TPIDRURW and TPIDRPRW.
    mrrc    p15, 0, r0, r1, c14
    mcr     p15, 0, r0, c13, c0, 2
    mcr     p15, 0, r1, c13, c0, 4
    // r4 = header, r5 = source, r6 = destination, r7 = length
    ldr     r4, =_boot_header
    ldmia   r4, {{r0-r3}}
    ldr     r8, =0x52415453             // "STAR"
    cmp     r0, r8
    ldreq   r8, =0x45544147             // "GATE"
    cmpeq   r1, r8
    cmpeq   r2, #1                      // header version
    bne     _boot_bad_header
    mov     r5, r3
    ldr     r6, [r4, #0x10]
    ldr     r7, [r4, #0x14]
    ldr     r8, ={image_base}
    cmp     r6, r8
    bne     _boot_bad_header
    cmp     r7, #32
    blo     _boot_bad_header
    tst     r7, #31
    bne     _boot_bad_header
    ldr     r8, ={image_bytes_max}
    cmp     r7, r8
    bhi     _boot_bad_header
    tst     r5, #31
    bne     _boot_bad_header
    ldr     r8, ={bank_bytes}
    cmp     r5, r8
    bhs     _boot_bad_header
    sub     r8, r8, r5
    cmp     r7, r8
    bhi     _boot_bad_header

    // Copy, 32 octets at a time.
    mov     r12, r6
    add     lr, r6, r7
1:  ldmia   r5!, {{r0-r3, r8-r11}}
    stmia   r12!, {{r0-r3, r8-r11}}
    cmp     r12, lr
    blo     1b

    // CRC-32C of the copy. r0 = crc, r8..r11 = tables 3..0
    mvn     r0, #0
    ldr     r11, =_boot_crc_tables
    add     r10, r11, #0x400
    add     r9, r11, #0x800
    add     r8, r11, #0xc00
    mov     r12, r6
2:  ldr     r1, [r12], #4
    eor     r0, r0, r1
    uxtb    r1, r0
    ldr     r1, [r8, r1, lsl #2]
    uxtb    r2, r0, ror #8
    ldr     r2, [r9, r2, lsl #2]
    uxtb    r3, r0, ror #16
    ldr     r3, [r10, r3, lsl #2]
    lsr     r0, r0, #24
    ldr     r0, [r11, r0, lsl #2]
    eor     r1, r1, r2
    eor     r3, r3, r1
    eor     r0, r0, r3
    cmp     r12, lr
    blo     2b
    mvn     r0, r0
    ldr     r1, [r4, #0x18]
    cmp     r0, r1
    bne     _boot_bad_crc

    // The caches are off, so the copy is in memory; nothing of it has been fetched yet.
    dsb
    isb
    ldr     r1, [r4, #0x1c]
    bx      r1

_boot_bad_header:
    adr     r0, _boot_text_header
    b       _boot_fail
_boot_bad_crc:
    adr     r0, _boot_text_crc
    b       _boot_fail
_boot_exception:
    adr     r0, _boot_text_exception
_boot_fail:
    // Transmitter and port on, at whatever speed is set; print the line at r0 and sleep.
    ldr     r1, ={uart_base}
    ldr     r2, =0x101
    str     r2, [r1, #0x30]
3:  ldrb    r2, [r0], #1
    cmp     r2, #0
    beq     5f
4:  ldr     r3, [r1, #0x18]
    tst     r3, #0x20                   // transmit FIFO full
    bne     4b
    str     r2, [r1]
    b       3b
5:  wfi
    b       5b
    .size _boot_reset, . - _boot_reset

_boot_text_header:
    .asciz  "stargate: boot: bad header\r\n"
_boot_text_crc:
    .asciz  "stargate: boot: bad image checksum\r\n"
_boot_text_exception:
    .asciz  "stargate: boot: exception in the first stage\r\n"
    .p2align 2
    .ltorg
    .popsection
"#,
    image_base = const IMAGE_BASE,
    image_bytes_max = const IMAGE_BYTES_MAX,
    bank_bytes = const FLASH_BANK_BYTES,
    uart_base = const UART_BASE,
);
