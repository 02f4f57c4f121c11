//! What happens when nothing else can: exceptions and panics are printed by polling, then the machine restarts.

use crate::memory_map::{COUNTER_HZ, UART_BASE};
use crate::psci::{self, StartCause};
use crate::time;
use core::fmt::{self, Write};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

/// The serial port without interrupts, rings or locks.
struct Polled;

impl Polled {
    fn octet(octet: u8) {
        let base = UART_BASE as *mut u32;
        // SAFETY: the PL011 is mapped for the whole life of the image; with interrupts masked nobody else
        // writes to it. Offsets: 0x18 flags, 0x00 data.
        unsafe {
            while ptr::read_volatile(base.byte_add(0x18)) & (1 << 5) != 0 {}
            ptr::write_volatile(base, u32::from(octet));
        }
    }
}

impl Write for Polled {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for octet in text.bytes() {
            if octet == b'\n' {
                Self::octet(b'\r');
            }
            Self::octet(octet);
        }
        Ok(())
    }
}

/// Set while a fault is being printed: a second one resets at once.
static FAULTED: AtomicBool = AtomicBool::new(false);

fn enter() -> Polled {
    aarch32_cpu::asm::irq_disable();
    if FAULTED.swap(true, Ordering::Relaxed) {
        psci::reset(StartCause::Fault);
    }
    Polled
}

/// Seconds that a report stands on the terminal before the restart; a machine that fails at once after every start
/// would otherwise be a stream of reports that nobody can read.
const REPORT_S: u64 = 3;

fn leave(cause: StartCause) -> ! {
    let end = time::counter().saturating_add(REPORT_S * COUNTER_HZ);
    while time::counter() < end {
        core::hint::spin_loop();
    }
    // SAFETY: reading the flag register of the mapped PL011 has no effect.
    while unsafe { ptr::read_volatile((UART_BASE as *const u32).byte_add(0x18)) } & (1 << 3) != 0 {}
    psci::reset(cause)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let mut out = enter();
    let _ = writeln!(out, "\n*** {info}\n*** restarting");
    leave(StartCause::Panic)
}

/// The registers of the interrupted program, as the trampolines below store them.
#[repr(C)]
struct Frame {
    r: [u32; 13],
    sp: u32,
    lr: u32,
    pc: u32,
    spsr: u32,
    kind: u32,
}

// Every trampoline stores the registers of the interrupted program on its own stack and calls
// `_fault_report`. `pc_offset` is what the processor added to the address (ARM DDI 0406C §B1.8.3).
core::arch::global_asm!(
    r#"
    .macro fault_entry name, pc_offset, kind
    .global \name
    .type \name, %function
    .p2align 2
\name:
    sub     sp, sp, #72
    stmia   sp, {{r0-r12}}
    sub     r0, lr, #\pc_offset
    str     r0, [sp, #60]
    mov     r0, #\kind
    str     r0, [sp, #68]
    b       _fault_common
    .size \name, . - \name
    .endm

    .pushsection .text._fault, "ax", %progbits
    .arm
    fault_entry _asm_undefined_handler, 4, 0
    fault_entry _asm_svc_handler, 4, 1
    fault_entry _asm_prefetch_abort_handler, 4, 2
    fault_entry _asm_data_abort_handler, 8, 3
    fault_entry _asm_hvc_handler, 4, 4
    fault_entry _asm_fiq_handler, 4, 5
_fault_common:
    mrs     r1, spsr
    str     r1, [sp, #64]
    // sp and lr of the interrupted mode; user mode has those of system mode
    and     r1, r1, #0x1f
    cmp     r1, #0x10
    moveq   r1, #0x1f
    orr     r1, r1, #0xc0
    mov     r0, sp
    mrs     r2, cpsr
    msr     cpsr_c, r1
    mov     r3, sp
    mov     r4, lr
    msr     cpsr_c, r2
    str     r3, [r0, #52]
    str     r4, [r0, #56]
    blx     _fault_report
    .popsection
"#
);

/// Prints the report and restarts. Called by the trampolines with every interrupt masked.
#[unsafe(no_mangle)]
extern "C" fn _fault_report(frame: &Frame) -> ! {
    let mut out = enter();
    let name = match frame.kind {
        0 => "undefined instruction",
        1 => "unexpected SVC",
        2 => "prefetch abort",
        3 => "data abort",
        4 => "unexpected HVC",
        _ => "unexpected FIQ",
    };
    let (dfsr, dfar, ifsr, ifar): (u32, u32, u32, u32);
    // SAFETY: reads of the cause registers have no effect (ARM DDI 0406C §B4.1).
    unsafe {
        core::arch::asm!(
            "mrc p15, 0, {0}, c5, c0, 0",
            "mrc p15, 0, {1}, c6, c0, 0",
            "mrc p15, 0, {2}, c5, c0, 1",
            "mrc p15, 0, {3}, c6, c0, 2",
            out(reg) dfsr, out(reg) dfar, out(reg) ifsr, out(reg) ifar,
            options(nomem, nostack, preserves_flags),
        );
    }
    let _ = writeln!(out, "\n*** {name} at {:08x}", frame.pc);
    let _ = writeln!(
        out,
        "*** dfsr {dfsr:08x} dfar {dfar:08x} ifsr {ifsr:08x} ifar {ifar:08x} spsr {:08x}",
        frame.spsr
    );
    for (index, value) in frame.r.iter().enumerate() {
        let end = if index % 4 == 3 || index == 12 { "\n" } else { " " };
        let _ = write!(out, "r{index:<2} {value:08x}{end}");
    }
    let _ = writeln!(out, "sp  {:08x} lr  {:08x} pc  {:08x}", frame.sp, frame.lr, frame.pc);
    let _ = writeln!(out, "*** restarting");
    leave(StartCause::Fault)
}
