//! What commands print: lines, tables, fields and progress, made safe for the terminal and sent as they come.

use crate::output::{Printable, Rows};
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
        self.begin();
        let page = &mut self.page;
        let mut out = Printable(|bytes: &[u8]| {
            let room = PAGE_BYTES_MAX.saturating_sub(page.len());
            page.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        });
        let _ = print(&mut out);
        self.finish().await;
    }

    fn begin(&mut self) {
        self.page.clear();
        if core::mem::take(&mut self.progress) {
            // What follows takes the place of the progress.
            self.page.extend_from_slice(b"\r\x1b[K");
        }
    }

    async fn finish(&mut self) {
        if self.page.len() >= PAGE_BYTES_MAX {
            self.page.truncate(PAGE_BYTES_MAX - 3);
            self.page.extend_from_slice(b"~\r\n");
        }
        let _ = self.to.write_all(&self.page).await;
        let _ = self.to.flush().await;
    }

    /// Prints one line, or several if the text has line ends inside. What is too long for a row goes on in the next,
    /// broken at spaces.
    pub async fn line(&mut self, text: impl Display) {
        self.hanging(0, text).await;
    }

    /// As [`Screen::line`], with rows that go on indented by `indent` columns.
    pub async fn hanging(&mut self, indent: usize, text: impl Display) {
        self.begin();
        let page = &mut self.page;
        let mut rows = Rows::new(indent, |bytes: &[u8]| {
            let room = PAGE_BYTES_MAX.saturating_sub(page.len());
            page.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        });
        let _ = writeln!(Printable(|bytes: &[u8]| rows.write(bytes)), "{text}");
        self.finish().await;
    }

    /// Prints one line in one piece, however long: what is to be copied from the terminal.
    pub async fn whole_line(&mut self, text: impl Display) {
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

    /// Prints `name` and its value side by side; a long value goes on in the next rows, broken at spaces and after commas.
    pub async fn field(&mut self, name: &str, value: impl Display) {
        self.wide_field(FIELD_NAME_CHARS, name, value).await;
    }

    /// As [`Screen::field`], with the values in column `indent`.
    pub async fn wide_field(&mut self, indent: usize, name: &str, value: impl Display) {
        self.hanging(indent, format_args!("{name:<0$} {value}", indent.saturating_sub(1))).await;
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
