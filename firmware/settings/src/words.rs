//! A row's words, one after the other.

use crate::fault::Fault;
use core::str::SplitAsciiWhitespace;

/// Words of a line that are taken one by one.
pub struct Words<'a> {
    words: core::iter::Peekable<SplitAsciiWhitespace<'a>>,
}

impl<'a> Words<'a> {
    /// The words of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { words: text.split_ascii_whitespace().peekable() }
    }

    /// The next word, or what it would look like.
    pub fn word(&mut self, example: &'static str) -> Result<&'a str, Fault<'a>> {
        self.words.next().ok_or(Fault::NoValue { example })
    }

    /// The next word, if there is one.
    pub fn next(&mut self) -> Option<&'a str> {
        self.words.next()
    }

    /// The next word, left where it is.
    pub fn peek(&mut self) -> Option<&'a str> {
        self.words.peek().copied()
    }

    /// The items of a list with commas; spaces beside a comma do no harm. Calls `each` with every item.
    pub fn list(
        &mut self,
        example: &'static str,
        mut each: impl FnMut(&'a str) -> Result<(), Fault<'a>>,
    ) -> Result<(), Fault<'a>> {
        let mut any = false;
        loop {
            let word = self.word(example)?;
            for item in word.split(',').filter(|item| !item.is_empty()) {
                each(item)?;
                any = true;
            }
            let next = self.peek();
            if !next.is_some_and(|next| word.ends_with(',') || next.starts_with(',')) {
                break;
            }
        }
        if any { Ok(()) } else { Err(Fault::NoValue { example }) }
    }

    /// That the line ends here.
    pub fn end(mut self) -> Result<(), Fault<'a>> {
        self.words.next().map_or(Ok(()), |more| Err(Fault::TooManyWords(more)))
    }
}
