//! What happens to mail for single addresses of the own domains.

use crate::domain::canonical;
use crate::fault::Fault;
use crate::parse;
use crate::table::{Row, Table, TableKind};
use crate::types::MailAddress;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;
use limits::settings::TABLE_TEXT_BYTES_MAX;

/// What happens to the mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It goes to another address.
    Forward(MailAddress),
    /// It is accepted and thrown away.
    Discard,
    /// It is refused; the text, printable ASCII, is told to the client and may be empty.
    Reject(Box<str>),
    /// It is thrown away, and its sender is told the text (RFC 3834). Without control characters, not empty.
    ReplyOnce(Box<str>),
}

/// One address and what happens to its mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    address: Box<str>,
    what: What,
}

impl Action {
    /// The address: in lower case, its domain canonical.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What happens.
    #[must_use]
    pub const fn what(&self) -> &What {
        &self.what
    }
}

/// The form in which addresses are compared: the own domains do not tell letter case apart.
fn form(address: &str) -> Option<String> {
    let (local, domain) = address.rsplit_once('@')?;
    let domain = canonical(domain)?;
    Some(format!("{}@{domain}", local.to_lowercase()))
}

/// The first word of `text`, and what follows it.
fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim_ascii();
    text.split_once(|c: char| c.is_ascii_whitespace())
        .map_or((text, ""), |(word, rest)| (word, rest.trim_ascii()))
}

impl Row for Action {
    const KIND: TableKind = TableKind::Actions;

    /// Reads `ADDRESS forward ADDRESS`, `ADDRESS discard`, `ADDRESS reject [TEXT]` or `ADDRESS reply-once TEXT`.
    fn parse(text: &str) -> Result<Self, Fault<'_>> {
        let (typed, rest) = first_word(text);
        if typed.is_empty() {
            return Err(Fault::NoValue { example: "noreply@example.org discard" });
        }
        parse::mail_address(typed)?;
        let address = form(typed).ok_or(Fault::LabelTooLong(typed))?.into_boxed_str();
        let (verb, rest) = first_word(rest);
        let nothing_follows =
            |what| if rest.is_empty() { Ok(what) } else { Err(Fault::TooManyWords(first_word(rest).0)) };
        let what = match verb {
            "" => return Err(Fault::NoValue { example: "noreply@example.org discard" }),
            "discard" => nothing_follows(What::Discard)?,
            "forward" => {
                let to = parse::one_word(rest, "helpdesk@example.org")?;
                let target = parse::mail_address(to)?;
                if form(to).as_deref() == Some(&*address) {
                    return Err(Fault::ForwardsToItself(to));
                }
                What::Forward(target)
            }
            "reject" if rest.bytes().all(|b| (b' '..=b'~').contains(&b)) => What::Reject(rest.into()),
            "reply-once" if rest.is_empty() => {
                return Err(Fault::NoValue { example: "This address is not read." });
            }
            "reply-once" if !rest.chars().any(char::is_control) => What::ReplyOnce(rest.into()),
            "reject" | "reply-once" => return Err(Fault::ReplyText(rest)),
            text => return Err(Fault::Choice { text, choices: "forward, discard, reject, reply-once" }),
        };
        let action = Self { address, what };
        if format!("{action}").len() > TABLE_TEXT_BYTES_MAX {
            return Err(Fault::RowTooLong);
        }
        Ok(action)
    }

    fn key(&self) -> &str {
        &self.address
    }

    fn key_of(typed: &str) -> Option<String> {
        form(typed)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward(to) => write!(f, "forward {to}"),
            Self::Discard => f.write_str("discard"),
            Self::Reject(text) if text.is_empty() => f.write_str("reject"),
            Self::Reject(text) => write!(f, "reject {text}"),
            Self::ReplyOnce(text) => write!(f, "reply-once {text}"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.address, self.what)
    }
}

/// The addresses with actions.
pub type Actions = Table<Action>;

impl Table<Action> {
    /// What happens to mail for `address`, in any letter case, if it is not delivered as other mail.
    #[must_use]
    pub fn action_for(&self, address: &str) -> Option<&Action> {
        if self.is_empty() {
            return None;
        }
        self.get(&form(address)?)
    }
}
