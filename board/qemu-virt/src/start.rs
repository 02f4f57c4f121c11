//! Start of the image in RAM, up to the product's `main`.

use crate::{Board, executor};
use embassy_executor::Spawner;

/// What a free word of a stack holds: high-water marks are read from it.
pub(crate) const STACK_PAINT: u32 = 0x5a5a_a5a5;

// Entered by the first stage with MMU and caches off and interrupts masked. `.data` came with the image.
core::arch::global_asm!(
    r#"
    .pushsection .text._start, "ax", %progbits
    .arm
    .global _start
    .type _start, %function
    .p2align 2
_start:
    // .bss, 32 octets at a time (the linker script aligns both ends).
    ldr     r0, =__sbss
    ldr     r1, =__ebss
    mov     r2, #0
    mov     r3, #0
    mov     r4, #0
    mov     r5, #0
    mov     r6, #0
    mov     r7, #0
    mov     r8, #0
    mov     r9, #0
1:  cmp     r0, r1
    stmlo   r0!, {{r2-r9}}
    blo     1b
    // Paint the stacks; the words in the guard pages are never seen again.
    ldr     r0, =_stacks_low_end
    ldr     r1, =_stacks_high_end
    ldr     r2, ={paint}
    mov     r3, r2
    mov     r4, r2
    mov     r5, r2
    mov     r6, r2
    mov     r7, r2
    mov     r8, r2
    mov     r9, r2
2:  cmp     r0, r1
    stmlo   r0!, {{r2-r9}}
    blo     2b
    // Exceptions go to the table in RAM from here on.
    ldr     r0, =_vector_table
    mcr     p15, 0, r0, c12, c0, 0
    // Stacks, FPU, kmain: the start-up crate does them for core 0.
    mov     r0, #0
    b       _asm_core_start
    .size _start, . - _start
    .ltorg
    .popsection
"#,
    paint = const STACK_PAINT,
);

/// Brings the machine up and runs `main` in the executor. Called once, by [`entry!`](crate::entry).
#[doc(hidden)]
pub fn run(main: fn(Spawner, Board)) -> ! {
    let board = Board::bring_up();
    executor::run(|spawner| main(spawner, board))
}

/// Names the function that gets all devices once the machine is up.
///
/// The function has the type `fn(embassy_executor::Spawner, qemu_virt::Board)`. It spawns the tasks and returns.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        /// Called by the start-up code once stacks and memory are ready.
        #[unsafe(no_mangle)]
        pub extern "C" fn kmain() -> ! {
            $crate::run($main)
        }
    };
}
