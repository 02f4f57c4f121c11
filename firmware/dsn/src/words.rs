//! Status codes in the words of people (RFC 3463).

use envelope::EnhancedStatus;

/// What a failure or delay means.
pub(crate) const fn meaning(status: EnhancedStatus) -> &'static str {
    let EnhancedStatus(_, subject, detail) = status;
    match (subject, detail) {
        (1, 1 | 6) => "there is no such mailbox",
        (1, 2 | 10) => "there is no such mail domain, or it takes no mail",
        (1, 7 | 8) => "the other mail system does not accept your address",
        (1, _) => "something is wrong with the address",
        (2, 1) => "the mailbox takes no mail at present",
        (2, 2) => "the mailbox is full",
        (2, 3) | (3, 4) => "the message is too large",
        (2, _) => "something is wrong with the mailbox",
        (3, _) => "the other mail system has a problem, or cannot take this kind of message",
        (4, 6) => "the message went round in circles",
        (4, 7) => "the message could not be passed on in time",
        (4, _) => "the other mail system could not be reached",
        (5, 3) => "the other mail system takes no more recipients",
        (5, _) => "the mail systems do not understand each other",
        (6, _) => "the other mail system does not take this kind of content",
        (7, _) => "the other mail system refuses the message by its rules",
        _ => "the other mail system did not take the message",
    }
}

/// What the sender can do, in groups that are named once per report.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Advice {
    address: bool,
    full: bool,
    size: bool,
    rules: bool,
    unreachable: bool,
}

impl Advice {
    pub(crate) const fn note(&mut self, status: EnhancedStatus) {
        let EnhancedStatus(_, subject, detail) = status;
        match (subject, detail) {
            (2, 3) | (3, 4) => self.size = true,
            (2, 2) => self.full = true,
            (1, _) => self.address = true,
            (4, _) => self.unreachable = true,
            (7, _) => self.rules = true,
            _ => {}
        }
    }

    /// The sentences that apply.
    pub(crate) fn sentences(self) -> impl Iterator<Item = &'static str> {
        [
            (
                self.address,
                "Please check the address for typing errors, and send the message again to the right one.",
            ),
            (self.full, "Where a mailbox is full, its owner has to be told in another way."),
            (self.size, "Where a message is too large, send it in parts, or send a link to its content."),
            (
                self.rules,
                "Where a message is refused by rules, the people in charge of that mail system know why.",
            ),
            (
                self.unreachable,
                "Where a mail system could not be reached, it may help to send the message again later.",
            ),
            (true, "If you need help, show this whole report to the people in charge of your mail system."),
        ]
        .into_iter()
        .filter_map(|(applies, sentence)| applies.then_some(sentence))
    }
}
