//! What a sender asks of delivery status notifications: the parameters of RFC 3461, and their internationalised form
//! of RFC 6533 §3.
//!
//! Values are kept exactly as the client wrote them, because they are passed on unchanged (RFC 3461 §5.2.1); what they
//! say is decoded when a report needs it. Everything here was checked by the grammar, so a stored value can be put
//! into a command line as it is.
//!
//! # Stored form
//! [`SenderParameters`] and [`RecipientParameters`] become opaque octets of an envelope in the spool; no octets at all
//! where nothing was asked, which is nearly always.
//!
//! | octet | sender | recipient |
//! |---|---|---|
//! | 0 | version, 1 | version, 1 |
//! | 1 | RET: 0 not said, 1 FULL, 2 HDRS | NOTIFY: 0xFF not said, else 1 SUCCESS + 2 FAILURE + 4 DELAY, 0 NEVER |
//! | 2 … | ENVID as written | ORCPT as written |

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use limits::smtp::{ENVID_BYTES_MAX, ORCPT_BYTES_MAX};

/// Version of the stored forms.
const VERSION: u8 = 1;
/// Octets of `\x{10FFFF}`.
const ESCAPE_BYTES_MAX: usize = 10;
/// NOTIFY was not said, in the stored form.
const NOTIFY_UNSAID: u8 = 0xFF;

/// What is wrong with a parameter. The client's fault: `501 5.5.4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterError {
    /// RET is neither FULL nor HDRS.
    Return,
    /// NOTIFY is neither NEVER nor a list of SUCCESS, FAILURE and DELAY.
    Notify,
    /// ENVID is empty, not xtext, or stands for something that cannot be printed.
    EnvelopeId,
    /// ENVID is longer than 100 octets.
    EnvelopeIdTooLong,
    /// ORCPT is no address type, semicolon and encoded address.
    OriginalRecipient,
    /// ORCPT is longer than 500 octets.
    OriginalRecipientTooLong,
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Return => "RET must be FULL or HDRS",
            Self::Notify => "NOTIFY must be NEVER, or of SUCCESS, FAILURE and DELAY",
            Self::EnvelopeId => "ENVID is not encoded as xtext",
            Self::EnvelopeIdTooLong => "ENVID is longer than 100 characters",
            Self::OriginalRecipient => "ORCPT must be a type, a semicolon and an address in xtext",
            Self::OriginalRecipientTooLong => "ORCPT is longer than 500 characters",
        })
    }
}

impl core::error::Error for ParameterError {}

/// RET: how much of a message its sender wants back in a report of failure (RFC 3461 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// The whole message.
    Full,
    /// Its header.
    Headers,
}

impl Return {
    /// Reads the value of RET, in any case.
    ///
    /// # Errors
    /// [`ParameterError::Return`].
    pub fn parse(value: &[u8]) -> Result<Self, ParameterError> {
        if value.eq_ignore_ascii_case(b"FULL") {
            Ok(Self::Full)
        } else if value.eq_ignore_ascii_case(b"HDRS") {
            Ok(Self::Headers)
        } else {
            Err(ParameterError::Return)
        }
    }
}

impl fmt::Display for Return {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        })
    }
}

/// ENVID: the sender's own name of a transaction (RFC 3461 §4.4), as xtext. Prints as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeId(Box<str>);

impl EnvelopeId {
    /// Checks the value of ENVID.
    ///
    /// # Errors
    /// [`ParameterError::EnvelopeId`], [`ParameterError::EnvelopeIdTooLong`].
    pub fn parse(value: &[u8]) -> Result<Self, ParameterError> {
        if value.len() > ENVID_BYTES_MAX {
            return Err(ParameterError::EnvelopeIdTooLong);
        }
        let text = checked_xtext(value).ok_or(ParameterError::EnvelopeId)?;
        Ok(Self(text.into()))
    }

    /// As it was written.
    #[must_use]
    pub fn as_xtext(&self) -> &str {
        &self.0
    }

    /// What it says: printable ASCII and spaces, not longer than the xtext.
    #[must_use]
    pub fn decoded(&self) -> String {
        decode_xtext(&self.0)
    }
}

impl fmt::Display for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// NOTIFY: on what occasions the sender wants to hear about a recipient (RFC 3461 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notify(u8);

impl Notify {
    /// On no occasion.
    pub const NEVER: Self = Self(0);
    const SUCCESS: u8 = 1;
    const FAILURE: u8 = 2;
    const DELAY: u8 = 4;

    /// Reads the value of NOTIFY, in any case. An occasion may be named twice.
    ///
    /// # Errors
    /// [`ParameterError::Notify`].
    pub fn parse(value: &[u8]) -> Result<Self, ParameterError> {
        if value.eq_ignore_ascii_case(b"NEVER") {
            return Ok(Self::NEVER);
        }
        let mut occasions = 0;
        for occasion in value.split(|octet| *octet == b',') {
            occasions |= if occasion.eq_ignore_ascii_case(b"SUCCESS") {
                Self::SUCCESS
            } else if occasion.eq_ignore_ascii_case(b"FAILURE") {
                Self::FAILURE
            } else if occasion.eq_ignore_ascii_case(b"DELAY") {
                Self::DELAY
            } else {
                return Err(ParameterError::Notify);
            };
        }
        Ok(Self(occasions))
    }

    /// Whether a delivery is to be reported.
    #[must_use]
    pub const fn success(self) -> bool {
        self.0 & Self::SUCCESS != 0
    }

    /// Whether a failure is to be reported.
    #[must_use]
    pub const fn failure(self) -> bool {
        self.0 & Self::FAILURE != 0
    }

    /// Whether a delay may be reported.
    #[must_use]
    pub const fn delay(self) -> bool {
        self.0 & Self::DELAY != 0
    }
}

/// As a client writes it.
impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match (self.success(), self.failure(), self.delay()) {
            (false, false, false) => "NEVER",
            (true, false, false) => "SUCCESS",
            (false, true, false) => "FAILURE",
            (false, false, true) => "DELAY",
            (true, true, false) => "SUCCESS,FAILURE",
            (true, false, true) => "SUCCESS,DELAY",
            (false, true, true) => "FAILURE,DELAY",
            (true, true, true) => "SUCCESS,FAILURE,DELAY",
        })
    }
}

/// ORCPT: the recipient as the sender first named it (RFC 3461 §4.2): an address type and an encoded address. Prints
/// as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalRecipient(Box<str>);

impl OriginalRecipient {
    /// Checks the value of ORCPT. An address of type `utf-8` has the forms of RFC 6533 §3: ASCII with `\x{…}` for
    /// everything else, or UTF-8 as it is.
    ///
    /// # Errors
    /// [`ParameterError::OriginalRecipient`], [`ParameterError::OriginalRecipientTooLong`].
    pub fn parse(value: &[u8]) -> Result<Self, ParameterError> {
        const WRONG: ParameterError = ParameterError::OriginalRecipient;
        if value.len() > ORCPT_BYTES_MAX {
            return Err(ParameterError::OriginalRecipientTooLong);
        }
        let text = core::str::from_utf8(value).map_err(|_| WRONG)?;
        let (address_type, address) = text.split_once(';').ok_or(WRONG)?;
        if address_type.is_empty() || !address_type.bytes().all(is_atom) {
            return Err(WRONG);
        }
        if address_type.eq_ignore_ascii_case("utf-8") {
            decode_unicode(address).ok_or(WRONG)?;
        } else {
            checked_xtext(address.as_bytes()).ok_or(WRONG)?;
        }
        // It must still fit where it is passed on in ASCII.
        let ascii: usize = text.chars().map(|c| if c.is_ascii() { 1 } else { ESCAPE_BYTES_MAX }).sum();
        if ascii > ORCPT_BYTES_MAX {
            return Err(ParameterError::OriginalRecipientTooLong);
        }
        Ok(Self(text.into()))
    }

    /// As it was written: the type, a semicolon, the encoded address.
    #[must_use]
    pub fn as_written(&self) -> &str {
        &self.0
    }

    /// The address type, most often `rfc822`.
    #[must_use]
    pub fn address_type(&self) -> &str {
        self.0.split_once(';').map_or("", |(address_type, _)| address_type)
    }

    /// Whether the address is of type `utf-8` (RFC 6533).
    #[must_use]
    pub fn is_utf8(&self) -> bool {
        self.address_type().eq_ignore_ascii_case("utf-8")
    }

    /// The address that was meant: printable, ASCII unless the type is `utf-8`, not longer than what was written.
    #[must_use]
    pub fn decoded(&self) -> String {
        let (_, address) = self.0.split_once(';').unwrap_or_default();
        if self.is_utf8() { decode_unicode(address).unwrap_or_default() } else { decode_xtext(address) }
    }
}

impl fmt::Display for OriginalRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The parameters of MAIL that reports depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderParameters {
    /// RET.
    pub ret: Option<Return>,
    /// ENVID.
    pub envelope_id: Option<EnvelopeId>,
}

impl SenderParameters {
    /// The stored form, at most `limits::spool::SENDER_EXTRA_BYTES_MAX` octets; none where nothing was said.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        if *self == Self::default() {
            return Vec::new();
        }
        let ret = match self.ret {
            None => 0,
            Some(Return::Full) => 1,
            Some(Return::Headers) => 2,
        };
        stored(ret, self.envelope_id.as_ref().map_or("", EnvelopeId::as_xtext))
    }

    /// Reads the stored form. Octets that [`to_bytes`](Self::to_bytes) did not write read as nothing said: a report
    /// then has less to tell, and no mail depends on it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let [VERSION, ret, envelope_id @ ..] = bytes else { return Self::default() };
        let ret = match ret {
            1 => Some(Return::Full),
            2 => Some(Return::Headers),
            _ => None,
        };
        Self { ret, envelope_id: EnvelopeId::parse(envelope_id).ok() }
    }
}

/// ` RET=… ENVID=…`, as far as they were said, for a MAIL command.
impl fmt::Display for SenderParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ret) = self.ret {
            write!(f, " RET={ret}")?;
        }
        self.envelope_id.as_ref().map_or(Ok(()), |id| write!(f, " ENVID={id}"))
    }
}

/// The parameters of RCPT that reports depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecipientParameters {
    /// NOTIFY.
    pub notify: Option<Notify>,
    /// ORCPT.
    pub original: Option<OriginalRecipient>,
}

impl RecipientParameters {
    /// Whether a failure is to be reported: unless the sender said otherwise (RFC 3461 §4.1).
    #[must_use]
    pub fn wants_failure(&self) -> bool {
        self.notify.is_none_or(Notify::failure)
    }

    /// Whether a delay is to be reported: unless the sender said otherwise. Where nothing is said RFC 3461 §4.1 leaves
    /// it open, and people want to know.
    #[must_use]
    pub fn wants_delay(&self) -> bool {
        self.notify.is_none_or(Notify::delay)
    }

    /// Whether a delivery is to be reported: only if the sender said so.
    #[must_use]
    pub fn wants_success(&self) -> bool {
        self.notify.is_some_and(Notify::success)
    }

    /// The stored form, at most `limits::spool::RECIPIENT_EXTRA_BYTES_MAX` octets; none where nothing was said.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        if *self == Self::default() {
            return Vec::new();
        }
        let notify = self.notify.map_or(NOTIFY_UNSAID, |notify| notify.0);
        stored(notify, self.original.as_ref().map_or("", OriginalRecipient::as_written))
    }

    /// Reads the stored form; as [`SenderParameters::from_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let [VERSION, notify, original @ ..] = bytes else { return Self::default() };
        let notify = (*notify <= 7).then_some(Notify(*notify));
        Self { notify, original: OriginalRecipient::parse(original).ok() }
    }

    /// Octets that the parameters take beside their address.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        if *self == Self::default() { 0 } else { 2 + self.original.as_ref().map_or(0, |o| o.0.len()) }
    }
}

/// ` NOTIFY=… ORCPT=…`, as far as they were said, for a RCPT command. UTF-8 in an ORCPT becomes its ASCII form, which
/// every peer with DSN takes (RFC 6533 §3).
impl fmt::Display for RecipientParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        if let Some(notify) = self.notify {
            write!(f, " NOTIFY={notify}")?;
        }
        let Some(original) = &self.original else { return Ok(()) };
        f.write_str(" ORCPT=")?;
        for c in original.as_written().chars() {
            if c.is_ascii() { f.write_char(c)? } else { write!(f, "\\x{{{:X}}}", u32::from(c))? }
        }
        Ok(())
    }
}

fn stored(octet: u8, text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + text.len());
    bytes.extend_from_slice(&[VERSION, octet]);
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// `value` if it is xtext (RFC 3461 §4), not empty, and stands for printable ASCII and spaces.
fn checked_xtext(value: &[u8]) -> Option<&str> {
    let mut rest = value;
    if rest.is_empty() {
        return None;
    }
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'+', [high, low, after @ ..]) => {
                let decoded = hex_digit(*high)? << 4 | hex_digit(*low)?;
                matches!(decoded, b' '..=b'~').then_some(after)?
            }
            (b'+' | b'=', _) => return None,
            (b'!'..=b'~', _) => after,
            _ => return None,
        };
    }
    core::str::from_utf8(value).ok()
}

/// A digit of xtext; RFC 3461 §4 has capitals only.
const fn hex_digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

/// What checked xtext stands for.
fn decode_xtext(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        let meant = if octet == b'+' {
            let high = octets.next().and_then(hex_digit).unwrap_or_default();
            high << 4 | octets.next().and_then(hex_digit).unwrap_or_default()
        } else {
            octet
        };
        decoded.push(char::from(meant));
    }
    decoded
}

/// What an address of type `utf-8` stands for (RFC 6533 §3): printable ASCII without `\`, `+` and `=`, characters
/// beyond ASCII, and `\x{…}` for any character. `None` if it is malformed, empty or not printable.
fn decode_unicode(text: &str) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..)?;
        let meant = match c {
            '\\' => {
                let (digits, after) = rest.strip_prefix("x{")?.split_once('}')?;
                if !(2..=6).contains(&digits.len()) || !digits.bytes().all(|d| hex_digit(d).is_some()) {
                    return None;
                }
                rest = after;
                char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
            }
            '+' | '=' | ' ' => return None,
            c => c,
        };
        if meant.is_control() || is_line_break(meant) {
            return None;
        }
        decoded.push(meant);
    }
    (!decoded.is_empty()).then_some(decoded)
}

/// Characters beyond ASCII that some readers take for the end of a line.
const fn is_line_break(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// RFC 5322 `atext`, of which an address type is made.
fn is_atom(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*-/?^_`{|}~".contains(&octet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::{format, vec};

    #[test]
    fn occasions_are_read_in_any_case_and_printed_in_order() {
        for (written, printed) in [
            ("NEVER", "NEVER"),
            ("never", "NEVER"),
            ("SUCCESS", "SUCCESS"),
            ("delay,Failure", "FAILURE,DELAY"),
            ("DELAY,SUCCESS,FAILURE", "SUCCESS,FAILURE,DELAY"),
            ("DELAY,DELAY", "DELAY"),
        ] {
            assert_eq!(Notify::parse(written.as_bytes()).map(|n| n.to_string()).as_deref(), Ok(printed));
        }
        for wrong in ["", "NEVER,DELAY", "SUCCESS,", ",SUCCESS", "SUCCESS, DELAY", "ALWAYS"] {
            assert_eq!(Notify::parse(wrong.as_bytes()), Err(ParameterError::Notify), "{wrong}");
        }
    }

    #[test]
    fn an_envelope_id_is_xtext_of_something_printable() {
        let id = EnvelopeId::parse(b"QQ314159+20x+2By").expect("xtext");
        assert_eq!((id.as_xtext(), &*id.decoded()), ("QQ314159+20x+2By", "QQ314159 x+y"));
        for wrong in
            ["", "a b", "a=b", "a+", "a+4", "a+4g", "a+4a", "+0D+0AX-Injected:", "+7F", "+00", "\u{fc}"]
        {
            let parsed = EnvelopeId::parse(wrong.as_bytes());
            assert_eq!(parsed, Err(ParameterError::EnvelopeId), "{wrong}");
        }
        assert!(EnvelopeId::parse(&[b'x'; 100]).is_ok());
        assert_eq!(EnvelopeId::parse(&[b'x'; 101]), Err(ParameterError::EnvelopeIdTooLong));
    }

    #[test]
    fn an_original_recipient_has_a_type_and_an_encoded_address() {
        for (written, address_type, meant) in [
            ("rfc822;Carol@Ivory.example", "rfc822", "Carol@Ivory.example"),
            ("RFC822;a+2Bb@example.org", "RFC822", "a+b@example.org"),
            ("rfc822;+22a+20b+22@example.org", "rfc822", "\"a b\"@example.org"),
            ("x400;/S=1", "", ""),
            ("utf-8;\\x{FC}ber@example.org", "utf-8", "\u{fc}ber@example.org"),
            ("utf-8;\u{fc}ber@example.org", "utf-8", "\u{fc}ber@example.org"),
            ("UTF-8;a\\x{2B}b\\x{1F600}@example.org", "UTF-8", "a+b\u{1f600}@example.org"),
        ] {
            match OriginalRecipient::parse(written.as_bytes()) {
                Ok(original) => {
                    assert_eq!((original.address_type(), &*original.decoded()), (address_type, meant));
                    assert_eq!(original.as_written(), written);
                }
                Err(error) => assert_eq!((error, meant), (ParameterError::OriginalRecipient, "")),
            }
        }
        for wrong in [
            "",
            "rfc822",
            ";a@example.org",
            "rfc822;",
            "rfc 822;a@example.org",
            "rfc822;a b",
            "rfc822;a+0D+0AX-Injected: 1",
            "rfc822;\u{fc}@example.org",
            "utf-8;",
            "utf-8;a+2Bb@example.org",
            "utf-8;\\x{A}@example.org",
            "utf-8;\\x{0D}\\x{0A}@example.org",
            "utf-8;\\x{D800}@example.org",
            "utf-8;\\x{FFFFFFF}@example.org",
            "utf-8;\\x{FC@example.org",
            "utf-8;a\\b@example.org",
            "utf-8;a\u{2028}b@example.org",
        ] {
            let parsed = OriginalRecipient::parse(wrong.as_bytes());
            assert_eq!(parsed, Err(ParameterError::OriginalRecipient), "{wrong}");
        }
        let long = format!("rfc822;{}", "x".repeat(493));
        assert!(OriginalRecipient::parse(long.as_bytes()).is_ok());
        let longer = format!("{long}x");
        let parsed = OriginalRecipient::parse(longer.as_bytes());
        assert_eq!(parsed, Err(ParameterError::OriginalRecipientTooLong));
    }

    #[test]
    fn what_is_stored_reads_back_and_what_was_not_said_takes_nothing() {
        assert!(SenderParameters::default().to_bytes().is_empty());
        assert!(RecipientParameters::default().to_bytes().is_empty());
        for ret in [None, Some(Return::Full), Some(Return::Headers)] {
            for id in [None, EnvelopeId::parse(&[b'i'; ENVID_BYTES_MAX]).ok()] {
                let said = SenderParameters { ret, envelope_id: id };
                let bytes = said.to_bytes();
                assert!(bytes.len() <= limits::spool::SENDER_EXTRA_BYTES_MAX);
                assert_eq!(SenderParameters::from_bytes(&bytes), said);
            }
        }
        let longest = format!("utf-8;{}", "x".repeat(ORCPT_BYTES_MAX - 6));
        for notify in [None, Some(Notify::NEVER), Notify::parse(b"SUCCESS,DELAY").ok()] {
            for original in [None, OriginalRecipient::parse(longest.as_bytes()).ok()] {
                let said = RecipientParameters { notify, original };
                let bytes = said.to_bytes();
                assert!(bytes.len() <= limits::spool::RECIPIENT_EXTRA_BYTES_MAX);
                assert_eq!(bytes.len(), said.stored_bytes());
                assert_eq!(RecipientParameters::from_bytes(&bytes), said);
            }
        }
    }

    #[test]
    fn octets_that_nobody_stored_say_nothing() {
        for bytes in [vec![], vec![9, 1], vec![1], vec![1, 0x80, b'x'], vec![1, 9, b'\r', b'\n']] {
            assert_eq!(SenderParameters::from_bytes(&bytes).envelope_id.map(|_| bytes.len()), {
                (bytes == [1, 0x80, b'x']).then_some(3)
            });
            assert_eq!(RecipientParameters::from_bytes(&bytes), RecipientParameters::default());
        }
    }

    #[test]
    fn parameters_are_printed_as_a_client_says_them() {
        let sender =
            SenderParameters { ret: Some(Return::Headers), envelope_id: EnvelopeId::parse(b"a+2Bb").ok() };
        assert_eq!(sender.to_string(), " RET=HDRS ENVID=a+2Bb");
        assert_eq!(SenderParameters::default().to_string(), "");
        let recipient = RecipientParameters {
            notify: Some(Notify::NEVER),
            original: OriginalRecipient::parse("utf-8;\u{fc}@example.org".as_bytes()).ok(),
        };
        assert_eq!(recipient.to_string(), " NOTIFY=NEVER ORCPT=utf-8;\\x{FC}@example.org");
        assert_eq!(RecipientParameters::default().to_string(), "");
    }

    #[test]
    fn whatever_is_accepted_can_stand_in_a_command_and_in_a_field() {
        // Octets near the grammar, from a fixed seed.
        const PIECES: &[&str] = &[
            "+",
            "2B",
            "0D",
            "0A",
            "41",
            "=",
            ";",
            "\\x{",
            "FC",
            "}",
            "a",
            "@b.example",
            "rfc822;",
            "utf-8;",
            " ",
            "\r\n",
            "\u{fc}",
            "\u{1f600}",
            "\0",
            ",",
        ];
        let mut state = 3_461u64;
        let mut accepted = [0; 2];
        for _ in 0..200_000 {
            let mut text = String::new();
            for _ in 0..state >> 33 & 7 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let piece = (state >> 40) as usize % PIECES.len();
                text.push_str(PIECES[piece]);
            }
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if let Ok(id) = EnvelopeId::parse(text.as_bytes()) {
                accepted[0] += 1;
                let said = SenderParameters { ret: None, envelope_id: Some(id.clone()) }.to_string();
                assert!(said.bytes().skip(1).all(|b| b.is_ascii_graphic()), "{said:?}");
                assert!(id.decoded().bytes().all(|b| matches!(b, b' '..=b'~')), "{text:?}");
            }
            if let Ok(original) = OriginalRecipient::parse(text.as_bytes()) {
                accepted[1] += 1;
                assert!(
                    !original.decoded().is_empty() && !original.decoded().chars().any(char::is_control),
                    "{text:?}"
                );
                let asked = RecipientParameters { notify: None, original: Some(original.clone()) };
                let said = asked.to_string();
                let (_, value) = said.split_once('=').expect("a value");
                assert!(value.bytes().all(|b| b.is_ascii_graphic() && b != b'='), "{said:?}");
                let again = OriginalRecipient::parse(value.as_bytes()).expect("what we say can be read");
                assert_eq!(again.decoded(), original.decoded());
            }
        }
        assert!(accepted.iter().all(|count| *count > 500), "{accepted:?}");
    }
}
