//! What commands print: lines, tables, fields and progress, made safe for the terminal and sent as they come.

use crate::output::Printable;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Display, Write as _};
use embedded_io_async::Write;
use limits::console::{COLUMNS, PAGE_BYTES_MAX};

/// Characters of the name in front of a field.
const FIELD_NAME_CHARS: usize = 18;

/// One column of a [`Table`].
#[derive(Clone, Copy, Debug)]
pub struct Column {
    title: &'static str,
    width: usize,
    right: bool,
}

impl Column {
    /// A column of `width` characters, text at its left side.
    #[must_use]
    pub const fn left(title: &'static str, width: usize) -> Self {
        Self { title, width, right: false }
    }

    /// A column of `width` characters, numbers at its right side.
    #[must_use]
    pub const fn right(title: &'static str, width: usize) -> Self {
        Self { title, width, right: true }
    }
}

/// A table that fits 80 columns: cells that are too long are cut and marked with `~`, columns stand one space apart.
/// Rows are printed one by one as they are found; nothing is collected.
#[derive(Clone, Copy, Debug)]
pub struct Table<const N: usize> {
    columns: [Column; N],
}

impl<const N: usize> Table<N> {
    /// A table of these columns.
    ///
    /// # Panics
    /// When the columns do not fit the screen; build it in a `const`, and the compiler finds it.
    #[must_use]
    pub const fn new(columns: [Column; N]) -> Self {
        let mut total = 0;
        let mut at = 0;
        while at < N {
            total += columns[at].width + 1;
            assert!(columns[at].title.len() <= columns[at].width);
            at += 1;
        }
        assert!(total <= COLUMNS);
        Self { columns }
    }

    fn write(&self, out: &mut impl fmt::Write, cells: &[&dyn Display; N]) -> fmt::Result {
        // Spaces are written only before text, so that a row does not end in spaces.
        let mut owed = 0;
        for (column, cell) in self.columns.iter().zip(cells) {
            let mut text = Cut { text: String::new(), room: column.width, cut: false };
            // An error means that the cell was cut.
            let _ = fmt::write(&mut text, format_args!("{cell}"));
            if text.cut {
                text.text.pop();
                text.text.push('~');
            }
            if text.text.is_empty() {
                owed += column.width + 1;
                continue;
            }
            let padding = column.width.saturating_sub(text.text.len());
            let (before, after) = if column.right { (padding, 0) } else { (0, padding) };
            write!(out, "{:1$}{2}", "", owed + before, text.text)?;
            owed = after + 1;
        }
        out.write_str("\n")
    }
}

/// Collects the start of a text, escaped, up to a width.
struct Cut {
    text: String,
    room: usize,
    cut: bool,
}

impl fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Self { text: collected, room, cut } = self;
        Printable(|bytes: &[u8]| {
            for byte in bytes {
                // Line ends have no place in a cell.
                let byte = if *byte < b' ' { b' ' } else { *byte };
                if *room == 0 {
                    *cut = true;
                } else {
                    *room -= 1;
                    collected.push(char::from(byte));
                }
            }
        })
        .write_str(text)?;
        if *cut { Err(fmt::Error) } else { Ok(()) }
    }
}

/// The output of a command, over the terminal's writer. Everything that passes is made printable: LF becomes CRLF,
/// whatever is not printable ASCII becomes `\xNN`, so that no text of any origin can steer the terminal. Errors of the
/// terminal are not reported: a console that nobody reads must not stop a command.
///
/// Every method sends before it returns, so output of any length needs no more memory than its longest line (at most
/// [`PAGE_BYTES_MAX`] octets; longer lines are cut). Dropping a future half-way loses the end of that line.
pub struct Screen<W> {
    to: W,
    page: Vec<u8>,
    progress: bool,
}

impl<W: Write> Screen<W> {
    /// Prints to `to`.
    pub fn new(to: W) -> Self {
        Self { to, page: Vec::new(), progress: false }
    }

    async fn send(&mut self, print: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) {
        self.page.clear();
        if core::mem::take(&mut self.progress) {
            // What follows takes the place of the progress.
            self.page.extend_from_slice(b"\r\x1b[K");
        }
        let page = &mut self.page;
        let mut out = Printable(|bytes: &[u8]| {
            let room = PAGE_BYTES_MAX.saturating_sub(page.len());
            page.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        });
        let _ = print(&mut out);
        if self.page.len() >= PAGE_BYTES_MAX {
            self.page.truncate(PAGE_BYTES_MAX - 3);
            self.page.extend_from_slice(b"~\r\n");
        }
        let _ = self.to.write_all(&self.page).await;
        let _ = self.to.flush().await;
    }

    /// Prints one line, or several if the text has line ends inside.
    pub async fn line(&mut self, text: impl Display) {
        self.send(|out| writeln!(out, "{text}")).await;
    }

    /// Prints text without a line end.
    pub async fn text(&mut self, text: impl Display) {
        self.send(|out| write!(out, "{text}")).await;
    }

    /// Prints the titles of a table.
    pub async fn heading<const N: usize>(&mut self, table: &Table<N>) {
        let titles = table.columns.each_ref().map(|column| &column.title as &dyn Display);
        self.send(|mut out| table.write(&mut out, &titles)).await;
    }

    /// Prints one row of a table.
    pub async fn row<const N: usize>(&mut self, table: &Table<N>, cells: [&dyn Display; N]) {
        self.send(|mut out| table.write(&mut out, &cells)).await;
    }

    /// Prints `name` and its value side by side; a long value goes on in the next rows, broken after commas and spaces.
    pub async fn field(&mut self, name: &str, value: impl Display) {
        self.send(|out| {
            write!(out, "{name:<FIELD_NAME_CHARS$}")?;
            let mut wrap = Wrap { out, column: 0, word: String::new() };
            write!(wrap, "{value}")?;
            wrap.end_word()?;
            wrap.out.write_str("\n")
        })
        .await;
    }

    /// Shows how far a long work is, in a row that the next output takes the place of. `total` 0: not known.
    pub async fn progress(&mut self, what: &str, so_far: u64, total: u64) {
        let percent = so_far.min(total).saturating_mul(100).checked_div(total);
        self.send(|out| match percent {
            Some(percent) => write!(out, "{what:.60} {percent:>3} %"),
            None => write!(out, "{what:.60} {so_far}"),
        })
        .await;
        self.progress = true;
    }
}

/// Breaks a long value into rows behind the name of its field.
struct Wrap<'a> {
    out: &'a mut dyn fmt::Write,
    /// Characters of the value in this row.
    column: usize,
    /// The word that is being collected; at most a row long.
    word: String,
}

impl Wrap<'_> {
    const ROW_CHARS: usize = COLUMNS - FIELD_NAME_CHARS - 1;

    fn end_word(&mut self) -> fmt::Result {
        if self.column > 0 && self.column + self.word.trim_end().len() > Self::ROW_CHARS {
            write!(self.out, "\n{:FIELD_NAME_CHARS$}", "")?;
            self.column = 0;
        }
        self.column += self.word.len();
        self.out.write_str(&self.word)?;
        self.word.clear();
        Ok(())
    }
}

impl fmt::Write for Wrap<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            // What is not printable gets longer on its way out; here it is one character all the same.
            self.word.push(c);
            if matches!(c, ',' | ' ') || self.word.len() >= Self::ROW_CHARS {
                self.end_word()?;
            }
        }
        Ok(())
    }
}
