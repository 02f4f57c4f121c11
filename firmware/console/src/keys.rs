//! From the octets of a terminal to keys.

/// What was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A printable character.
    Char(char),
    /// End of line, in whatever form.
    Enter,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    /// Ctrl-U: erase up to the cursor.
    KillBefore,
    /// Ctrl-K: erase from the cursor on.
    KillAfter,
    /// Ctrl-W: erase the word before the cursor.
    KillWord,
    /// Ctrl-L: draw the screen anew.
    Redraw,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D.
    EndOfInput,
}

/// Parameters of an escape sequence that are looked at; longer sequences are swallowed all the same.
const PARAMETER_MAX: u16 = 999;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ground,
    /// After ESC.
    Escape,
    /// After ESC O: one more octet names a key.
    Single,
    /// After ESC [: digits, then an octet that names a key. Holds the number.
    Control(u16),
    /// Inside a character of UTF-8: what is known of it, the octets that are missing, the least value it must have.
    Utf8 {
        value: u32,
        missing: u8,
        least: u32,
    },
}

/// Decodes one octet at a time, so that a sequence may be cut anywhere. Unknown sequences and malformed UTF-8
/// disappear.
#[derive(Debug)]
pub struct Keys {
    state: State,
    after_cr: bool,
}

impl Keys {
    pub const fn new() -> Self {
        Self { state: State::Ground, after_cr: false }
    }

    /// The key that `byte` completes, if it completes one.
    pub fn feed(&mut self, byte: u8) -> Option<Key> {
        // CR, LF and CRLF end a line once each.
        let after_cr = core::mem::replace(&mut self.after_cr, byte == b'\r');
        match self.state {
            State::Ground => {}
            State::Escape => {
                self.state = match byte {
                    b'[' => State::Control(0),
                    b'O' => State::Single,
                    0x1b => State::Escape,
                    _ => State::Ground,
                };
                // Ctrl-C and Enter work even after a lone ESC.
                return if byte < b' ' && byte != 0x1b { self.ground(byte, after_cr) } else { None };
            }
            State::Single => {
                self.state = State::Ground;
                return if byte < b' ' { self.ground(byte, after_cr) } else { named(byte) };
            }
            State::Control(number) => return self.control(byte, number, after_cr),
            State::Utf8 { value, missing, least } => {
                if byte & 0xc0 == 0x80 {
                    return self.continued(value << 6 | u32::from(byte & 0x3f), missing, least);
                }
                self.state = State::Ground;
            }
        }
        self.ground(byte, after_cr)
    }

    fn ground(&mut self, byte: u8, after_cr: bool) -> Option<Key> {
        let start = |value: u8, missing, least| State::Utf8 { value: value.into(), missing, least };
        Some(match byte {
            b'\n' if after_cr => return None,
            b'\r' | b'\n' => Key::Enter,
            b'\t' => Key::Tab,
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x03 => Key::Interrupt,
            0x04 => Key::EndOfInput,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x08 | 0x7f => Key::Backspace,
            0x0b => Key::KillAfter,
            0x0c => Key::Redraw,
            0x0e => Key::Down,
            0x10 => Key::Up,
            0x15 => Key::KillBefore,
            0x17 => Key::KillWord,
            b' '..=b'~' => Key::Char(byte.into()),
            _ => {
                self.state = match byte {
                    0x1b => State::Escape,
                    0xc2..=0xdf => start(byte & 0x1f, 1, 0x80),
                    0xe0..=0xef => start(byte & 0x0f, 2, 0x800),
                    0xf0..=0xf4 => start(byte & 0x07, 3, 0x1_0000),
                    _ => State::Ground,
                };
                return None;
            }
        })
    }

    fn continued(&mut self, value: u32, missing: u8, least: u32) -> Option<Key> {
        if missing > 1 {
            self.state = State::Utf8 { value, missing: missing - 1, least };
            return None;
        }
        self.state = State::Ground;
        // Control characters of the upper half (U+0080 to U+009F) could steer a terminal that echoes them.
        char::from_u32(value).filter(|c| value >= least && !c.is_control()).map(Key::Char)
    }

    fn control(&mut self, byte: u8, number: u16, after_cr: bool) -> Option<Key> {
        match byte {
            b'0'..=b'9' => {
                let number = (number.min(PARAMETER_MAX) * 10 + u16::from(byte - b'0')).min(PARAMETER_MAX);
                self.state = State::Control(number);
                None
            }
            // `ESC [ 1 ; 5 C` is Ctrl-Right: modifiers come after the number and are not looked at.
            b' '..=b'?' => {
                self.state = State::Control(if byte == b';' { 0 } else { number });
                None
            }
            b'~' => {
                self.state = State::Ground;
                match number {
                    1 | 7 => Some(Key::Home),
                    4 | 8 => Some(Key::End),
                    3 => Some(Key::Delete),
                    _ => None,
                }
            }
            0x00..=0x1f => {
                self.state = State::Ground;
                self.ground(byte, after_cr)
            }
            _ => {
                self.state = State::Ground;
                named(byte)
            }
        }
    }
}

/// The key that a letter after ESC [ or ESC O means.
const fn named(byte: u8) -> Option<Key> {
    Some(match byte {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::new();
        bytes.iter().filter_map(|byte| keys.feed(*byte)).collect()
    }

    #[test]
    fn every_form_of_line_end_ends_it_once() {
        assert_eq!(keys(b"\r"), [Key::Enter]);
        assert_eq!(keys(b"\n"), [Key::Enter]);
        assert_eq!(keys(b"\r\n"), [Key::Enter]);
        assert_eq!(keys(b"\r\r\n\n"), [Key::Enter, Key::Enter, Key::Enter]);
        assert_eq!(keys(b"\n\r"), [Key::Enter, Key::Enter]);
    }

    #[test]
    fn cursor_keys_of_every_terminal_are_known() {
        assert_eq!(keys(b"\x1b[A\x1bOB\x1b[1;5C\x1b[D"), [Key::Up, Key::Down, Key::Right, Key::Left]);
        assert_eq!(keys(b"\x1b[H\x1b[1~\x1b[7~\x1bOH"), [Key::Home; 4]);
        assert_eq!(keys(b"\x1b[F\x1b[4~\x1b[8~\x1bOF"), [Key::End; 4]);
        assert_eq!(keys(b"\x1b[3~"), [Key::Delete]);
    }

    #[test]
    fn unknown_sequences_disappear_as_a_whole() {
        assert_eq!(
            keys(b"\x1b[200~a\x1b[201~\x1b[?1;2c\x1b[99999999999999zb\x1bx"),
            [Key::Char('a'), Key::Char('b')]
        );
        assert_eq!(keys(b"\x1b\x1b[A"), [Key::Up]);
        assert_eq!(keys(b"\x1b\x03\x1b[1\x03\x1bO\r"), [Key::Interrupt, Key::Interrupt, Key::Enter]);
    }

    #[test]
    fn characters_of_any_length_arrive_whole() {
        assert_eq!(keys("aü€😀".as_bytes()), ['a', 'ü', '€', '😀'].map(Key::Char));
    }

    #[test]
    fn malformed_utf8_disappears_and_harms_no_neighbour() {
        // Overlong, surrogate, beyond the end, cut short, stray, C1 control.
        for malformed in [
            &b"\xc0\xaf"[..],
            b"\xe0\x80\xaf",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xe2\x82",
            b"\x80\xff",
            b"\xc2\x9b",
        ] {
            let all = [&b"a"[..], malformed, b"b"].concat();
            assert_eq!(keys(&all), [Key::Char('a'), Key::Char('b')], "{malformed:?}");
        }
    }
}
