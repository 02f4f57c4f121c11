//! Copying and filling memory: what the compiler calls wherever a value moves or a buffer is cleared.
//!
//! The routines that come with the compiler move a word at a time. These move eight, which is a fifth of the instructions
//! for a large copy; a third of what a small message costs was copying. They stand in for the compiler's own because those
//! are weak symbols.
//!
//! The rules are those of the C library and of the ARM run-time ABI (IHI 0043, §4.3.4): regions do not overlap, `memcpy`
//! and `memset` return their first argument, and `__aeabi_memset` takes its last two in the other order. Loads and stores
//! of words need not be aligned in normal memory (alignment checks are off). Nobody copies from device memory this way,
//! because no slice of it exists; and while the MMU is off, when all memory counts as device memory, only values that are
//! aligned move: the device tree is read octet by octet.

core::arch::global_asm!(
    r#"
    .pushsection .text.memcpy, "ax", %progbits
    .arm
    .global memcpy
    .global __aeabi_memcpy
    .global __aeabi_memcpy4
    .global __aeabi_memcpy8
    .type memcpy, %function
    .type __aeabi_memcpy, %function
    .type __aeabi_memcpy4, %function
    .type __aeabi_memcpy8, %function
    .p2align 4
memcpy:
__aeabi_memcpy:
__aeabi_memcpy4:
__aeabi_memcpy8:
    // r0 to, r1 from, r2 octets. r12 runs through the destination, because r0 is returned.
    mov     r12, r0
    cmp     r2, #32
    blo     4f
    // Words of the destination are aligned, because a store across a cache line costs twice.
1:  tst     r12, #3
    beq     2f
    ldrb    r3, [r1], #1
    strb    r3, [r12], #1
    sub     r2, r2, #1
    b       1b
2:  push    {{r4-r10, lr}}
    tst     r1, #3
    bne     7f
    // Both are aligned: eight words at a time.
    subs    r2, r2, #32
    blo     8f
3:  ldmia   r1!, {{r3-r10}}
    subs    r2, r2, #32
    stmia   r12!, {{r3-r10}}
    bhs     3b
    b       8f
    // The source is not aligned: loads of several words at once must be, single ones need not.
7:  subs    r2, r2, #32
    blo     8f
6:  ldr     r3, [r1], #4
    ldr     r4, [r1], #4
    ldr     r5, [r1], #4
    ldr     r6, [r1], #4
    ldr     r7, [r1], #4
    ldr     r8, [r1], #4
    ldr     r9, [r1], #4
    ldr     r10, [r1], #4
    subs    r2, r2, #32
    stmia   r12!, {{r3-r10}}
    bhs     6b
8:  add     r2, r2, #32
    pop     {{r4-r10, lr}}
    // Less than 32 octets are left.
4:  subs    r2, r2, #4
    blo     5f
9:  ldr     r3, [r1], #4
    subs    r2, r2, #4
    str     r3, [r12], #4
    bhs     9b
5:  adds    r2, r2, #4
    bxeq    lr
    // One to three octets are left.
    ldrb    r3, [r1]
    cmp     r2, #2
    strb    r3, [r12]
    ldrbhs  r3, [r1, #1]
    strbhs  r3, [r12, #1]
    ldrbhi  r3, [r1, #2]
    strbhi  r3, [r12, #2]
    bx      lr
    .size memcpy, . - memcpy
    .popsection

    .pushsection .text.memset, "ax", %progbits
    .arm
    .global memset
    .global __aeabi_memset
    .global __aeabi_memset4
    .global __aeabi_memset8
    .global __aeabi_memclr
    .global __aeabi_memclr4
    .global __aeabi_memclr8
    .type memset, %function
    .type __aeabi_memset, %function
    .type __aeabi_memset4, %function
    .type __aeabi_memset8, %function
    .type __aeabi_memclr, %function
    .type __aeabi_memclr4, %function
    .type __aeabi_memclr8, %function
    .p2align 4
__aeabi_memclr:
__aeabi_memclr4:
__aeabi_memclr8:
    mov     r2, #0
__aeabi_memset:
__aeabi_memset4:
__aeabi_memset8:
    mov     r3, r1
    mov     r1, r2
    mov     r2, r3
memset:
    // r0 to, r1 octet, r2 octets.
    mov     r12, r0
    and     r1, r1, #255
    orr     r1, r1, r1, lsl #8
    orr     r1, r1, r1, lsl #16
    cmp     r2, #32
    blo     4f
1:  tst     r12, #3
    beq     2f
    strb    r1, [r12], #1
    sub     r2, r2, #1
    b       1b
2:  push    {{r4-r9, lr}}
    mov     r3, r1
    mov     r4, r1
    mov     r5, r1
    mov     r6, r1
    mov     r7, r1
    mov     r8, r1
    mov     r9, r1
    subs    r2, r2, #32
    blo     8f
3:  subs    r2, r2, #32
    stmia   r12!, {{r1, r3-r9}}
    bhs     3b
8:  add     r2, r2, #32
    pop     {{r4-r9, lr}}
4:  subs    r2, r2, #4
    blo     5f
9:  subs    r2, r2, #4
    str     r1, [r12], #4
    bhs     9b
5:  adds    r2, r2, #4
    bxeq    lr
    cmp     r2, #2
    strb    r1, [r12]
    strbhs  r1, [r12, #1]
    strbhi  r1, [r12, #2]
    bx      lr
    .size memset, . - memset
    .popsection
"#
);

/// Octets of the longest copy that is tried: the loop of eight words runs twice, with every rest.
const TRIED_BYTES_MAX: usize = 3 * 32;

/// Tries every alignment with every length that takes another way through the routines. They exist on this processor only,
/// where no other test can call them; it takes some 0.3 M instructions at start.
///
/// # Panics
/// When an octet is wrong: then nothing that this machine does can be relied on.
pub(crate) fn self_test() {
    let mut from = [0u8; TRIED_BYTES_MAX + 4];
    for (octet, value) in from.iter_mut().zip(1u8..) {
        *octet = value;
    }
    for (to_offset, from_offset) in (0..16).map(|n| (n / 4, n % 4)) {
        for len in 0..TRIED_BYTES_MAX - 4 {
            let mut to = [0u8; TRIED_BYTES_MAX + 8];
            let (want, len) = (&from[from_offset..from_offset + len], core::hint::black_box(len));
            to[to_offset..to_offset + len].copy_from_slice(want);
            let outside_is_untouched = |to: &[u8]| {
                let (before, rest) = to.split_at(to_offset);
                before.iter().chain(&rest[len..]).all(|octet| *octet == 0)
            };
            let copied = to[to_offset..to_offset + len].iter().zip(want).all(|(got, want)| got == want);
            assert!(copied && outside_is_untouched(&to), "memory is not copied correctly");
            to[to_offset..to_offset + len].fill(core::hint::black_box(0xa5));
            let filled = to[to_offset..to_offset + len].iter().all(|octet| *octet == 0xa5);
            assert!(filled && outside_is_untouched(&to), "memory is not filled correctly");
        }
    }
}
