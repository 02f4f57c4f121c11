//! A table of rows that are changed one by one and stored in pages.
//!
//! A row is stored as the line that makes it, so that what is on flash is what `show config` prints and what an
//! operator could have typed, and nothing else can come back from flash.

use crate::fault::Fault;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use limits::settings::{TABLE_PAGE_BYTES_MAX, TABLE_PAGES_COUNT_MAX};

/// First octet of a stored page.
const PAGE_VERSION: u8 = 2;
/// Octets of a row beside its text: its length.
const FRAME_BYTES: usize = 2;

/// The tables that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// Which domain goes where.
    Routes,
    /// Who may do what.
    Peers,
    /// Which domains are the own ones.
    Domains,
    /// What happens to mail for addresses of the appliance's own.
    Actions,
}

impl TableKind {
    /// What one row is called.
    #[must_use]
    pub const fn row(self) -> &'static str {
        match self {
            Self::Routes => "route",
            Self::Peers => "peer",
            Self::Domains => "domain",
            Self::Actions => "action",
        }
    }

    /// The command that shows the table.
    #[must_use]
    pub const fn shown_by(self) -> &'static str {
        match self {
            Self::Routes => "show routes",
            Self::Peers => "show peers",
            Self::Domains => "show domains",
            Self::Actions => "action list",
        }
    }

    /// Most rows.
    #[must_use]
    pub const fn rows_max(self) -> usize {
        use limits::settings::{ACTIONS_COUNT_MAX, DOMAINS_COUNT_MAX, PEERS_COUNT_MAX, ROUTES_COUNT_MAX};
        match self {
            Self::Routes => ROUTES_COUNT_MAX,
            Self::Peers => PEERS_COUNT_MAX,
            Self::Domains => DOMAINS_COUNT_MAX,
            Self::Actions => ACTIONS_COUNT_MAX,
        }
    }

    /// Most octets of all rows together, as they are stored.
    const fn bytes_max(self) -> usize {
        use limits::settings::{ACTIONS_BYTES_MAX, DOMAINS_BYTES_MAX, PEERS_BYTES_MAX, ROUTES_BYTES_MAX};
        match self {
            Self::Routes => ROUTES_BYTES_MAX,
            Self::Peers => PEERS_BYTES_MAX,
            Self::Domains => DOMAINS_BYTES_MAX,
            Self::Actions => ACTIONS_BYTES_MAX,
        }
    }

    /// Rows of one page. A change writes its page, so a page is small.
    const fn rows_per_page(self) -> usize {
        use limits::settings::{PEERS_PER_PAGE_MAX, ROWS_PER_PAGE_MAX};
        match self {
            Self::Peers => PEERS_PER_PAGE_MAX,
            Self::Routes | Self::Domains | Self::Actions => ROWS_PER_PAGE_MAX,
        }
    }

    /// Pages of the table.
    pub(crate) const fn pages(self) -> u8 {
        // At most TABLE_PAGES_COUNT_MAX, as `limits` asserts.
        self.rows_max().div_ceil(self.rows_per_page()) as u8
    }

    /// The key of the first stored page; the others follow.
    pub(crate) const fn key(self) -> u32 {
        match self {
            Self::Routes => 0x100,
            Self::Peers => 0x200,
            Self::Domains => 0x300,
            Self::Actions => 0x400,
        }
    }
}

/// One row of a table.
///
/// `Display` prints the row as the command that adds it takes it, and [`Row::parse`] reads that back to an equal row.
pub trait Row: Clone + PartialEq + fmt::Display {
    /// The table that it belongs to.
    const KIND: TableKind;

    /// Reads a row as an operator types it.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    fn parse(text: &str) -> Result<Self, Fault<'_>>;

    /// What tells this row from the others, in canonical form.
    fn key(&self) -> &str;

    /// The key that an operator means by what was typed, if it could be one.
    fn key_of(typed: &str) -> Option<String>;
}

/// Why a table was not changed. It is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// There are as many rows, or octets, as the table holds.
    Full(TableKind),
    /// No row has exactly this name.
    NoSuchRow(TableKind),
    /// The flash did not take the change.
    Storage(TableKind, flash_log::KvError),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Full(kind) => {
                write!(f, "the table is full; it holds at most {} {}s", kind.rows_max(), kind.row())
            }
            Self::NoSuchRow(TableKind::Routes) => {
                f.write_str("there is no route for exactly this domain; see `show routes`")
            }
            Self::NoSuchRow(kind) => {
                write!(f, "there is no {} of exactly this name; see `{}`", kind.row(), kind.shown_by())
            }
            Self::Storage(kind, error) => {
                write!(f, "the {} could not be stored: {error}; see `diag`", kind.row())
            }
        }
    }
}

impl core::error::Error for TableError {}

#[derive(Clone, Debug, PartialEq)]
struct Placed<R> {
    row: R,
    /// The stored page that it is in.
    page: u8,
    /// Octets that it takes there.
    bytes: u16,
}

/// A table, sorted by the keys of its rows. Bounded in rows and octets; see [`TableKind::rows_max`].
#[derive(Clone, Debug, PartialEq)]
pub struct Table<R> {
    list: Vec<Placed<R>>,
    /// Bit n: page n could not be read, or not to its end.
    damaged: u64,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self { list: Vec::new(), damaged: 0 }
    }
}

/// A change that has been worked out and is not stored yet: one page.
pub(crate) struct Change<R> {
    pub page: u8,
    pub bytes: Vec<u8>,
    rows: Vec<Placed<R>>,
}

impl<R: Row> Table<R> {
    /// Every row, by key.
    pub fn iter(&self) -> impl Iterator<Item = &R> {
        self.list.iter().map(|placed| &placed.row)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether rows may be missing, because a stored page of them could not be read.
    #[must_use]
    pub const fn is_damaged(&self) -> bool {
        self.damaged != 0
    }

    /// The row with exactly this key, which is canonical.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&R> {
        self.placed(key).map(|placed| &placed.row)
    }

    fn placed(&self, key: &str) -> Option<&Placed<R>> {
        self.find(key).ok().and_then(|at| self.list.get(at))
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.list.binary_search_by(|placed| placed.row.key().cmp(key))
    }

    /// A table of these rows that is stored nowhere.
    ///
    /// # Errors
    /// Why one of them does not fit.
    pub fn of(rows: impl IntoIterator<Item = R>) -> Result<Self, TableError> {
        let mut table = Self::default();
        for row in rows {
            let change = table.adding(row)?;
            table.apply(change);
        }
        Ok(table)
    }

    /// Works out the page that holds `row` afterwards, in place of one with the same key.
    pub(crate) fn adding(&self, row: R) -> Result<Change<R>, TableError> {
        let full = TableError::Full(R::KIND);
        let old = self.placed(row.key());
        let bytes = u16::try_from(FRAME_BYTES + format!("{row}").len()).map_err(|_| full)?;
        let all: usize = self.list.iter().map(|placed| usize::from(placed.bytes)).sum();
        let all = all - old.map_or(0, |old| usize::from(old.bytes)) + usize::from(bytes);
        if all > R::KIND.bytes_max() || (old.is_none() && self.list.len() >= R::KIND.rows_max()) {
            return Err(full);
        }
        let page = match old {
            Some(old) => old.page,
            None => self.page_with_room().ok_or(full)?,
        };
        let mut rows: Vec<_> =
            self.on_page(page).filter(|other| other.row.key() != row.key()).cloned().collect();
        rows.push(Placed { row, page, bytes });
        Ok(Change::new(page, rows))
    }

    /// Works out the page that held the row with this key, as an operator types it.
    pub(crate) fn removing(&self, typed: &str) -> Result<Change<R>, TableError> {
        let missing = TableError::NoSuchRow(R::KIND);
        let key = R::key_of(typed).ok_or(missing)?;
        let page = self.placed(&key).ok_or(missing)?.page;
        let rows = self.on_page(page).filter(|other| other.row.key() != key).cloned().collect();
        Ok(Change::new(page, rows))
    }

    /// Works out the first damaged page anew, from what could be read of it.
    pub(crate) fn mending(&self) -> Option<Change<R>> {
        let page = (0..R::KIND.pages()).find(|page| self.damaged & bit(*page) != 0)?;
        Some(Change::new(page, self.on_page(page).cloned().collect()))
    }

    /// Takes over a change that is stored.
    pub(crate) fn apply(&mut self, change: Change<R>) {
        self.list.retain(|placed| placed.page != change.page);
        for placed in change.rows {
            let _ = self.insert(placed);
        }
    }

    /// Takes over that a damaged page is whole again.
    pub(crate) fn mended(&mut self, page: u8) {
        self.damaged &= !bit(page);
    }

    /// Takes over a stored page; what cannot be read in it ends it. Returns whether all of it was read.
    pub(crate) fn load(&mut self, page: u8, stored: Option<&[u8]>) -> bool {
        let whole = stored.is_some_and(|bytes| self.load_rows(page, bytes).is_some());
        if !whole {
            self.damaged |= bit(page);
        }
        whole
    }

    fn load_rows(&mut self, page: u8, bytes: &[u8]) -> Option<()> {
        let Some((&PAGE_VERSION, mut rest)) = bytes.split_first() else { return None };
        let mut room = R::KIND.rows_per_page();
        while !rest.is_empty() {
            room = room.checked_sub(1)?;
            let (length, after) = rest.split_first_chunk::<FRAME_BYTES>()?;
            let length = u16::from_le_bytes(*length);
            let (text, after) = after.split_at_checked(usize::from(length))?;
            let text = core::str::from_utf8(text).ok()?;
            let row = R::parse(text).ok()?;
            // What is not in the form in which it is written was not written by this firmware.
            if format!("{row}") != text {
                return None;
            }
            let bytes = length.checked_add(FRAME_BYTES as u16)?;
            self.insert(Placed { row, page, bytes })?;
            rest = after;
        }
        Some(())
    }

    /// Puts a row in; `None` if there is one with its key, or no room: a sound store has neither.
    fn insert(&mut self, placed: Placed<R>) -> Option<()> {
        let at = self.find(placed.row.key()).err()?;
        if self.list.len() >= R::KIND.rows_max() {
            return None;
        }
        self.list.insert(at, placed);
        Some(())
    }

    fn on_page(&self, page: u8) -> impl Iterator<Item = &Placed<R>> {
        self.list.iter().filter(move |placed| placed.page == page)
    }

    fn page_with_room(&self) -> Option<u8> {
        let mut counts = [(0usize, 0usize); TABLE_PAGES_COUNT_MAX];
        for placed in &self.list {
            if let Some((rows, bytes)) = counts.get_mut(usize::from(placed.page)) {
                *rows += 1;
                *bytes += usize::from(placed.bytes);
            }
        }
        let pages = counts.iter().take(R::KIND.pages().into());
        pages
            .clone()
            .position(|(rows, _)| *rows < R::KIND.rows_per_page())
            .and_then(|page| u8::try_from(page).ok())
    }
}

const fn bit(page: u8) -> u64 {
    match 1u64.checked_shl(page as u32) {
        Some(bit) => bit,
        None => 0,
    }
}

impl<R: Row> Change<R> {
    fn new(page: u8, rows: Vec<Placed<R>>) -> Self {
        let octets = rows.iter().map(|placed| usize::from(placed.bytes)).sum::<usize>();
        let mut bytes = Vec::with_capacity(1 + octets);
        bytes.push(PAGE_VERSION);
        for placed in &rows {
            let text = format!("{}", placed.row);
            // A row is at most TABLE_ROW_BYTES_MAX octets long.
            let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        debug_assert!(bytes.len() <= TABLE_PAGE_BYTES_MAX, "a full page is one value of the store");
        Self { page, bytes, rows }
    }
}

/// The text of a row as one boxed string.
pub(crate) fn boxed(row: impl fmt::Display) -> Box<str> {
    format!("{row}").into_boxed_str()
}
