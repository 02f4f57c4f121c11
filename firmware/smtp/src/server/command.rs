//! Command lines (RFC 5321 §4.1.1) read strictly into values.

use alloc::string::ToString;
use core::fmt;
use envelope::dsn::ParameterError;
use envelope::{
    AddressError, Body, EnhancedStatus, EnvelopeId, Mailbox, Notify, OriginalRecipient, PathRef,
    RecipientParameters, Return, ReversePath, SenderParameters,
};
use limits::smtp::{CHUNK_DIGITS_MAX, DOMAIN_BYTES_MAX};

use super::chunk::Chunk;

/// A command that can be obeyed if the state of the session allows it.
#[derive(Debug)]
pub(super) enum Command<'l> {
    Helo(&'l str),
    Ehlo(&'l str),
    Mail(Mail),
    /// `international`: the recipient was written in UTF-8 that is not ASCII.
    Rcpt {
        recipient: Recipient,
        international: bool,
        dsn: RecipientParameters,
    },
    Data,
    Bdat(Chunk),
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
}

/// What MAIL says.
#[derive(Debug)]
pub(super) struct Mail {
    pub sender: ReversePath,
    /// The sender was written in UTF-8 that is not ASCII.
    pub international: bool,
    pub size: Option<u64>,
    pub body: Option<Body>,
    pub smtp_utf8: bool,
    pub dsn: SenderParameters,
}

/// The forward path of RCPT.
#[derive(Debug)]
pub(super) enum Recipient {
    Postmaster,
    Mailbox(Mailbox),
}

/// Why a line is no command that can be obeyed. `Display` is the text of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Unrecognised,
    NotImplemented,
    /// Another protocol talks to us, most likely through a browser that was tricked into it: close.
    ForeignProtocol,
    /// A chunk would follow that could not be told from commands: close.
    ChunkNotOffered,
    /// The same: how many octets are content cannot be told.
    ChunkSize,
    /// An address that is not ASCII, without SMTPUTF8 on MAIL.
    Utf8NotAnnounced,
    ArgumentMissing,
    ArgumentUnexpected,
    BadHostName,
    MailSyntax,
    RcptSyntax,
    Sender(AddressError),
    Recipient(AddressError),
    NullRecipient,
    UnknownParameter,
    BadParameter,
    Dsn(ParameterError),
}

impl Fault {
    pub(super) const fn code(self) -> (u16, EnhancedStatus) {
        match self {
            Self::Unrecognised => (500, EnhancedStatus(5, 5, 2)),
            Self::NotImplemented | Self::ChunkNotOffered => (502, EnhancedStatus(5, 5, 1)),
            Self::ForeignProtocol => (554, EnhancedStatus(5, 7, 0)),
            Self::ArgumentMissing
            | Self::ArgumentUnexpected
            | Self::BadHostName
            | Self::MailSyntax
            | Self::RcptSyntax
            | Self::BadParameter
            | Self::ChunkSize
            | Self::Dsn(_) => (501, EnhancedStatus(5, 5, 4)),
            Self::Sender(_) => (501, EnhancedStatus(5, 1, 7)),
            Self::Recipient(_) | Self::NullRecipient => (501, EnhancedStatus(5, 1, 3)),
            // RFC 6531 §3.7.4.2.
            Self::Utf8NotAnnounced => (553, EnhancedStatus(5, 6, 7)),
            Self::UnknownParameter => (555, EnhancedStatus(5, 5, 4)),
        }
    }

    /// Whether the session must not go on.
    pub(super) const fn ends_session(self) -> bool {
        matches!(self, Self::ForeignProtocol | Self::ChunkNotOffered | Self::ChunkSize)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unrecognised => "Command not recognised",
            Self::NotImplemented => "Command not implemented",
            Self::ForeignProtocol => "This is not the protocol spoken here",
            Self::ChunkNotOffered => "BDAT was not offered",
            Self::ChunkSize => "Syntax: BDAT octets [LAST]",
            Self::Utf8NotAnnounced => "Address is not ASCII and MAIL did not say SMTPUTF8",
            Self::ArgumentMissing => "Argument missing",
            Self::ArgumentUnexpected => "No argument allowed",
            Self::BadHostName => "Malformed host name",
            Self::MailSyntax => "Syntax: MAIL FROM:<address>",
            Self::RcptSyntax => "Syntax: RCPT TO:<address>",
            Self::NullRecipient => "Recipient address is empty",
            Self::UnknownParameter => "Parameter not recognised or not implemented",
            Self::BadParameter => "Malformed or repeated parameter",
            Self::Sender(error) | Self::Recipient(error) => return write!(f, "Bad address: {error}"),
            Self::Dsn(error) => return error.fmt(f),
        })
    }
}

/// Known and not for us. Nobody may say for somebody else who he is (XCLIENT, XFORWARD), and the private commands of
/// mail systems among themselves are not spoken here.
const NOT_IMPLEMENTED: [&str; 18] = [
    "EXPN",
    "TURN",
    "ATRN",
    "ETRN",
    "SEND",
    "SOML",
    "SAML",
    "AUTH",
    "STARTTLS",
    "XCLIENT",
    "XFORWARD",
    "XEXCH50",
    "X-EXPS",
    "XEXPS",
    "XSHADOW",
    "XQDISCARD",
    "X-LINK2STATE",
    "XSESSIONPARAMS",
];

/// Reads one line, without its CRLF, that is free of CR, LF and NUL. `extended` says whether the peer has said
/// EHLO and so may use parameters.
pub(super) fn parse(line: &[u8], extended: bool) -> Result<Command<'_>, Fault> {
    // RFC 5321 §4.1.1: white space before the line end is tolerated.
    let line = line.trim_ascii_end();
    let verb_bytes = line.iter().position(|b| *b == b' ').unwrap_or(line.len());
    let (verb, rest) = line.split_at_checked(verb_bytes).ok_or(Fault::Unrecognised)?;
    let argument = rest.strip_prefix(b" ").unwrap_or_default();
    let is = |name: &str| verb.eq_ignore_ascii_case(name.as_bytes());
    let without_argument = |command| {
        if argument.is_empty() { Ok(command) } else { Err(Fault::ArgumentUnexpected) }
    };
    if is("EHLO") {
        host_name(argument).map(Command::Ehlo)
    } else if is("HELO") {
        host_name(argument).map(Command::Helo)
    } else if is("MAIL") {
        mail(argument, extended)
    } else if is("RCPT") {
        rcpt(argument, extended)
    } else if is("DATA") {
        without_argument(Command::Data)
    } else if is("RSET") {
        without_argument(Command::Rset)
    } else if is("QUIT") {
        without_argument(Command::Quit)
    } else if is("NOOP") {
        // RFC 5321 §4.1.1.9: an argument is ignored.
        Ok(Command::Noop)
    } else if is("HELP") {
        Ok(Command::Help)
    } else if is("VRFY") {
        if argument.is_empty() { Err(Fault::ArgumentMissing) } else { Ok(Command::Vrfy) }
    } else if is("BDAT") {
        chunk(argument).map(Command::Bdat).ok_or(Fault::ChunkSize)
    } else if NOT_IMPLEMENTED.into_iter().any(is) {
        Err(Fault::NotImplemented)
    } else if ["GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "PROXY"].into_iter().any(is)
        || (verb.ends_with(b":") && verb.len() > 1)
    {
        Err(Fault::ForeignProtocol)
    } else if looks_like_chunk(line) {
        // What follows may be a chunk.
        Err(Fault::ChunkSize)
    } else {
        Err(Fault::Unrecognised)
    }
}

/// Whether a line that cannot be obeyed may be meant as BDAT.
pub(super) fn looks_like_chunk(line: &[u8]) -> bool {
    line.trim_ascii_start().get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
}

/// What follows BDAT: `chunk-size [SP "LAST"]` (RFC 3030 §2). A number beyond 64 bits is as large as can be said.
fn chunk(argument: &[u8]) -> Option<Chunk> {
    let mut words = argument.split(|b| *b == b' ').filter(|word| !word.is_empty());
    let digits = words.next()?;
    if digits.len() > CHUNK_DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let left = core::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX);
    let last = match words.next() {
        None => false,
        Some(word) => word.eq_ignore_ascii_case(b"LAST").then_some(true)?,
    };
    if words.next().is_some() { None } else { Some(Chunk { left, last }) }
}

/// Whether a line says HELO or EHLO, with whatever behind it.
pub(super) fn is_hello(line: &[u8]) -> bool {
    is_ehlo(line) || verb_is(line, b"HELO")
}

/// Whether a line says EHLO, with whatever behind it.
pub(super) fn is_ehlo(line: &[u8]) -> bool {
    verb_is(line, b"EHLO")
}

fn verb_is(line: &[u8], name: &[u8]) -> bool {
    line.split(|octet| *octet == b' ')
        .next()
        .is_some_and(|verb| verb.trim_ascii_end().eq_ignore_ascii_case(name))
}

/// The name after HELO and EHLO. What it says is not believed and hardly matters, but it ends up in header
/// fields and logs: any string of the characters of names and address literals will do.
fn host_name(argument: &[u8]) -> Result<&str, Fault> {
    let name = argument.trim_ascii();
    if name.is_empty() {
        return Err(Fault::ArgumentMissing);
    }
    let harmless = |b: &u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(b);
    if name.len() > DOMAIN_BYTES_MAX || !name.iter().all(harmless) {
        return Err(Fault::BadHostName);
    }
    core::str::from_utf8(name).map_err(|_| Fault::BadHostName)
}

/// Takes `keyword` and a colon off. Spaces after the colon are against RFC 5321 §3.3 but common in the mail
/// code of applications, and mean nothing else.
fn after_keyword<'l>(argument: &'l [u8], keyword: &str) -> Option<&'l [u8]> {
    let (head, rest) = argument.split_at_checked(keyword.len())?;
    let rest = rest.strip_prefix(b":")?;
    head.eq_ignore_ascii_case(keyword.as_bytes()).then(|| rest.trim_ascii_start())
}

fn mail(argument: &[u8], extended: bool) -> Result<Command<'_>, Fault> {
    let path = after_keyword(argument, "FROM").ok_or(Fault::MailSyntax)?;
    let (path, parameters) = PathRef::parse_prefix(path).map_err(Fault::Sender)?;
    let international = !argument.strip_suffix(parameters).unwrap_or(argument).is_ascii();
    let sender = match path {
        PathRef::Null => ReversePath::Null,
        PathRef::Postmaster => return Err(Fault::Sender(AddressError::NoDomain)),
        PathRef::Mailbox(mailbox) => ReversePath::Mailbox(mailbox.to_mailbox()),
    };
    let (mut size, mut body, mut utf8, mut dsn) = (None, None, None, SenderParameters::default());
    for parameter in Parameters::new(parameters).ok_or(Fault::MailSyntax)? {
        let (keyword, value) = parameter?;
        if !extended {
            return Err(Fault::UnknownParameter);
        }
        if keyword.eq_ignore_ascii_case(b"SIZE") {
            once(&mut size, value.and_then(decimal).ok_or(Fault::BadParameter)?)?;
        } else if keyword.eq_ignore_ascii_case(b"BODY") {
            let value = value.ok_or(Fault::BadParameter)?;
            let said = if value.eq_ignore_ascii_case(b"7BIT") {
                Body::SevenBit
            } else if value.eq_ignore_ascii_case(b"8BITMIME") {
                Body::EightBitMime
            } else if value.eq_ignore_ascii_case(b"BINARYMIME") {
                Body::BinaryMime
            } else {
                return Err(Fault::UnknownParameter);
            };
            once(&mut body, said)?;
        } else if keyword.eq_ignore_ascii_case(b"SMTPUTF8") {
            // RFC 6531 §3.1: it has no value.
            if value.is_some() {
                return Err(Fault::BadParameter);
            }
            once(&mut utf8, ())?;
        } else if keyword.eq_ignore_ascii_case(b"RET") {
            let said = Return::parse(value.unwrap_or_default()).map_err(Fault::Dsn)?;
            once(&mut dsn.ret, said)?;
        } else if keyword.eq_ignore_ascii_case(b"ENVID") {
            let said = EnvelopeId::parse(value.unwrap_or_default()).map_err(Fault::Dsn)?;
            once(&mut dsn.envelope_id, said)?;
        } else {
            return Err(Fault::UnknownParameter);
        }
    }
    Ok(Command::Mail(Mail { sender, international, size, body, smtp_utf8: utf8.is_some(), dsn }))
}

/// Keeps the value of a parameter that may be said once.
fn once<T>(place: &mut Option<T>, said: T) -> Result<(), Fault> {
    if place.replace(said).is_some() { Err(Fault::BadParameter) } else { Ok(()) }
}

fn rcpt(argument: &[u8], extended: bool) -> Result<Command<'_>, Fault> {
    let path = after_keyword(argument, "TO").ok_or(Fault::RcptSyntax)?;
    let (path, parameters) = PathRef::parse_prefix(path).map_err(Fault::Recipient)?;
    let international = !argument.strip_suffix(parameters).unwrap_or(argument).is_ascii();
    let recipient = match path {
        PathRef::Null => return Err(Fault::NullRecipient),
        PathRef::Postmaster => Recipient::Postmaster,
        PathRef::Mailbox(mailbox) => Recipient::Mailbox(mailbox.to_mailbox()),
    };
    let mut dsn = RecipientParameters::default();
    for parameter in Parameters::new(parameters).ok_or(Fault::RcptSyntax)? {
        let (keyword, value) = parameter?;
        if !extended {
            return Err(Fault::UnknownParameter);
        }
        if keyword.eq_ignore_ascii_case(b"NOTIFY") {
            let said = Notify::parse(value.unwrap_or_default()).map_err(Fault::Dsn)?;
            once(&mut dsn.notify, said)?;
        } else if keyword.eq_ignore_ascii_case(b"ORCPT") {
            let said = OriginalRecipient::parse(value.unwrap_or_default()).map_err(Fault::Dsn)?;
            once(&mut dsn.original, said)?;
        } else {
            return Err(Fault::UnknownParameter);
        }
    }
    Ok(Command::Rcpt { recipient, international, dsn })
}

/// At most the 20 digits of RFC 1870 §3; a number beyond 64 bits is as large as can be said.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(core::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX))
}

/// `esmtp-param` after `esmtp-param` (RFC 5321 §4.1.2).
struct Parameters<'l>(&'l [u8]);

impl<'l> Parameters<'l> {
    /// `None` if text stands right behind the path.
    fn new(rest: &'l [u8]) -> Option<Self> {
        (rest.is_empty() || rest.starts_with(b" ")).then_some(Self(rest))
    }
}

impl<'l> Iterator for Parameters<'l> {
    type Item = Result<(&'l [u8], Option<&'l [u8]>), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0.trim_ascii_start();
        if rest.is_empty() {
            return None;
        }
        let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
        let (parameter, rest) = rest.split_at_checked(end)?;
        self.0 = rest;
        let (keyword, value) = match parameter.iter().position(|b| *b == b'=') {
            None => (parameter, None),
            Some(at) => (parameter.get(..at)?, parameter.get(at + 1..)),
        };
        let keyword_is_good = keyword.first().is_some_and(u8::is_ascii_alphanumeric)
            && keyword.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
        let value_is_good = value.is_none_or(|v| !v.is_empty() && v.iter().all(is_value_octet));
        Some(if keyword_is_good && value_is_good { Ok((keyword, value)) } else { Err(Fault::BadParameter) })
    }
}

/// RFC 5321 §4.1.2 `esmtp-value`, and the octets of UTF-8 (RFC 6531 §3.3), which only an ORCPT takes.
fn is_value_octet(octet: &u8) -> bool {
    matches!(octet, b'!'..=b'~' | 0x80..) && *octet != b'='
}

impl Recipient {
    /// Octets that the recipient takes up, and the mailbox; a bare postmaster gets `host_name`.
    pub(super) fn into_mailbox(self, host_name: &str) -> Result<Mailbox, Fault> {
        match self {
            Self::Mailbox(mailbox) => Ok(mailbox),
            Self::Postmaster => {
                let text = "postmaster@".to_string() + host_name;
                Mailbox::parse(&text).map_err(Fault::Recipient)
            }
        }
    }
}
