//! Bounds of the serial console.

/// Columns of the terminal that every table fits: what every terminal since the VT100 has.
pub const COLUMNS: usize = 80;
/// Characters of one input line.
pub const LINE_CHARS_MAX: usize = 512;
/// Octets of one input line: a character of UTF-8 takes up to 4.
pub const LINE_BYTES_MAX: usize = 4 * LINE_CHARS_MAX;
/// Lines that the cursor keys bring back.
pub const HISTORY_COUNT_MAX: usize = 16;
/// Octets of all remembered lines together; long lines push out older ones sooner.
pub const HISTORY_BYTES_MAX: usize = 8 * 1_024;
/// Octets of a multi-line paste (PEM). A chain of 4 certificates with RSA-4096 keys takes 9 KiB.
pub const PASTE_BYTES_MAX: usize = 24 * 1_024;
/// Octets of one pasted line. PEM uses 65; some tools write the whole object in one line.
pub const PASTE_LINE_BYTES_MAX: usize = PASTE_BYTES_MAX;
/// Octets that may be typed ahead while a command runs; more stays with the driver.
pub const TYPE_AHEAD_BYTES_MAX: usize = 512;
/// Octets of output that the machine holds until the driver takes them. Redrawing the longest line takes about 2,100.
pub const OUTPUT_BYTES_MAX: usize = 8 * 1_024;
/// Octets of one line of command output: the longest log line and its line end.
pub const PAGE_BYTES_MAX: usize = 5 * 1_024;
/// Octets of a setting's name.
pub const NAME_BYTES_MAX: usize = 32;
/// Lines that `log tail` prints when no number is given.
pub const LOG_TAIL_LINES_DEFAULT: u32 = 20;
/// Most lines that `log tail` prints.
pub const LOG_TAIL_LINES_MAX: u32 = 10_000;
/// Questions of the set-up dialogue.
pub const SETUP_QUESTIONS_COUNT_MAX: usize = 13;

crate::const_assert!(HISTORY_BYTES_MAX >= LINE_BYTES_MAX);
crate::const_assert!(OUTPUT_BYTES_MAX >= 2 * LINE_BYTES_MAX);
crate::const_assert!(PAGE_BYTES_MAX > crate::events::LINE_CHARS_MAX + 64);
/// Lines of a message's header that `queue show` prints: a screen and a half, more than most headers have.
pub const SHOWN_HEADER_LINES_MAX: usize = 40;
/// Octets of a message's header that `queue show` reads.
pub const SHOWN_HEADER_BYTES_MAX: usize = 4_096;
/// Events about a message that `queue show` prints: the latest.
pub const SHOWN_EVENTS_MAX: usize = 12;
