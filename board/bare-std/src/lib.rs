//! A crate named `std` for a machine that has none.
//!
//! `mail-parser`, which reads headers in the `mime` crate, is written against `std` and has no `no_std` switch, yet
//! uses almost only what lives in `core` and `alloc`. This crate re-exports that part under the names it expects, so
//! that the published parser compiles unmodified for the appliance. `cargo xtask` compiles it beside the
//! firmware's sysroot (`target/sysroot`); it is no member of the workspace and nothing names it as a dependency.
//!
//! What it is not: a standard library. There are no threads, no files, no sockets, no clock and no hashing. The
//! parser's mailbox readers, which the firmware never calls, still have to type-check; for them, files and paths
//! exist as types that nobody can make a value of or that answer [`io::ErrorKind::Unsupported`].
//!
//! `cargo xtask tidy` fails when any other crate of the firmware's dependency tree needs `std`. Keep this file to
//! what `mail-parser` 0.11 needs; a published version with `no_std` support replaces it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub use alloc::{borrow, boxed, fmt, format, rc, slice, str, string, vec};
pub use core::{
    any, array, ascii, assert, assert_eq, assert_ne, cell, char, clone, cmp, column, compile_error, concat,
    convert, debug_assert, debug_assert_eq, debug_assert_ne, default, env, f32, f64, file, format_args,
    future, hash, hint, i8, i16, i32, i64, i128, include_bytes, include_str, iter, line, marker, matches,
    mem, module_path, net, num, ops, option, option_env, panic, pin, primitive, ptr, result, stringify, task,
    todo, u8, u16, u32, u64, u128, unimplemented, unreachable, write, writeln,
};

/// What every module of a crate that uses `std` sees without importing it.
pub mod prelude {
    mod common {
        pub use crate::FloatRounding;
        pub use alloc::borrow::ToOwned;
        pub use alloc::boxed::Box;
        pub use alloc::string::{String, ToString};
        pub use alloc::vec::Vec;
        // The macros; that modules of the same names come along does no harm.
        pub use alloc::{format, vec};
    }

    /// Names of the first prelude.
    pub mod v1 {
        pub use super::common::*;
        pub use core::prelude::v1::*;
    }

    /// Names of edition 2015.
    pub mod rust_2015 {
        pub use super::common::*;
        pub use core::prelude::rust_2015::*;
    }

    /// Names of edition 2018.
    pub mod rust_2018 {
        pub use super::common::*;
        pub use core::prelude::rust_2018::*;
    }

    /// Names of edition 2021.
    pub mod rust_2021 {
        pub use super::common::*;
        pub use core::prelude::rust_2021::*;
    }

    /// Names of edition 2024.
    pub mod rust_2024 {
        pub use super::common::*;
        pub use core::prelude::rust_2024::*;
    }
}

/// Rounding of floating-point numbers, which the real `std` has as inherent methods.
pub trait FloatRounding {
    /// The largest whole number that is not greater.
    #[must_use]
    fn floor(self) -> Self;
}

impl FloatRounding for f64 {
    fn floor(self) -> f64 {
        // Beyond 2^52 every double is whole already; the parser's days since 1970 are far below.
        if !(-4.5e15..=4.5e15).contains(&self) {
            return self;
        }
        let whole = self as i64 as f64;
        if whole > self { whole - 1.0 } else { whole }
    }
}

/// Collections by the names of `std`.
pub mod collections {
    pub use alloc::collections::{
        BTreeMap, BTreeSet, BinaryHeap, LinkedList, VecDeque, btree_map, btree_set,
    };
    use alloc::vec::Vec;

    /// A map that compares keys one after the other.
    ///
    /// The parser keeps about twenty header names in it, put there by the program and never by a message, so a scan
    /// is as fast as hashing and there is nothing that a peer could make collide.
    #[derive(Clone, Debug)]
    pub struct HashMap<K, V> {
        entries: Vec<(K, V)>,
    }

    impl<K, V> Default for HashMap<K, V> {
        fn default() -> Self {
            Self { entries: Vec::new() }
        }
    }

    impl<K: Eq, V: PartialEq> PartialEq for HashMap<K, V> {
        fn eq(&self, other: &Self) -> bool {
            self.entries.len() == other.entries.len()
                && self.entries.iter().all(|(key, value)| other.get(key) == Some(value))
        }
    }

    impl<K: Eq, V: Eq> Eq for HashMap<K, V> {}

    impl<K: Eq, V> HashMap<K, V> {
        /// The value under `key`.
        #[must_use]
        pub fn get(&self, key: &K) -> Option<&V> {
            self.entries.iter().find(|(known, _)| known == key).map(|(_, value)| value)
        }

        /// Puts `value` under `key` and gives back what was there.
        pub fn insert(&mut self, key: K, value: V) -> Option<V> {
            match self.entries.iter_mut().find(|(known, _)| *known == key) {
                Some((_, old)) => Some(core::mem::replace(old, value)),
                None => {
                    self.entries.push((key, value));
                    None
                }
            }
        }

        /// Takes out what is under `key`.
        pub fn remove(&mut self, key: &K) -> Option<V> {
            let at = self.entries.iter().position(|(known, _)| known == key)?;
            Some(self.entries.swap_remove(at).1)
        }

        /// Whether nothing is in the map.
        #[must_use]
        pub fn is_empty(&self) -> bool {
            self.entries.is_empty()
        }
    }
}

/// Errors of input and output; there is neither here.
pub mod io {
    use alloc::vec::Vec;

    /// The result of an operation on a file.
    pub type Result<T> = core::result::Result<T, Error>;

    /// Why an operation did not take place.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum ErrorKind {
        /// No such file.
        NotFound,
        /// The content is not what it should be.
        InvalidData,
        /// This machine has no such thing.
        Unsupported,
    }

    /// An error that knows its kind only.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Error {
        kind: ErrorKind,
    }

    impl Error {
        /// An error of `kind`; the explanation is dropped.
        pub fn new<E>(kind: ErrorKind, _explanation: E) -> Self {
            Self { kind }
        }

        /// The kind of the error.
        #[must_use]
        pub fn kind(&self) -> ErrorKind {
            self.kind
        }

        pub(crate) fn unsupported() -> Self {
            Self { kind: ErrorKind::Unsupported }
        }
    }

    impl core::fmt::Display for Error {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("unsupported on this machine")
        }
    }

    impl core::error::Error for Error {}

    /// A source of lines.
    pub trait BufRead {
        /// Reads up to and with `delimiter`.
        ///
        /// # Errors
        /// Always [`ErrorKind::Unsupported`] unless an implementation does better.
        fn read_until(&mut self, _delimiter: u8, _into: &mut Vec<u8>) -> Result<usize> {
            Err(Error::unsupported())
        }
    }
}

/// Paths: a text that leads nowhere.
pub mod path {
    use alloc::string::String;

    /// An owned path.
    #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
    pub struct PathBuf {
        path: Path,
    }

    /// A borrowed path; sized here, since nothing needs it to be a slice.
    #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Path {
        text: String,
    }

    /// One component of a path.
    pub struct OsStr {
        text: String,
    }

    impl core::ops::Deref for PathBuf {
        type Target = Path;

        fn deref(&self) -> &Path {
            &self.path
        }
    }

    impl PathBuf {
        /// Appends nothing, since no path leads anywhere.
        pub fn push(&mut self, _component: &str) {}
    }

    impl Path {
        /// A copy of the path.
        #[must_use]
        pub fn to_path_buf(&self) -> PathBuf {
            PathBuf { path: self.clone() }
        }

        /// Nothing exists.
        #[must_use]
        pub fn exists(&self) -> bool {
            false
        }

        /// Nothing is a folder.
        #[must_use]
        pub fn is_dir(&self) -> bool {
            false
        }

        /// Nothing is a file.
        #[must_use]
        pub fn is_file(&self) -> bool {
            false
        }

        /// Nothing has a name.
        #[must_use]
        pub fn file_name(&self) -> Option<&OsStr> {
            None
        }
    }

    impl OsStr {
        /// The component as text.
        #[must_use]
        pub fn to_str(&self) -> Option<&str> {
            Some(&self.text)
        }
    }
}

/// Files: none.
pub mod fs {
    use crate::io::{Error, Result};
    use crate::path::{Path, PathBuf};
    use crate::time::SystemTime;
    use alloc::vec::Vec;

    /// A folder being listed; no value of it exists.
    pub enum ReadDir {}

    /// An entry of a folder; no value of it exists.
    pub enum DirEntry {}

    /// What is known about a file; no value of it exists.
    pub enum Metadata {}

    impl Iterator for ReadDir {
        type Item = Result<DirEntry>;

        fn next(&mut self) -> Option<Self::Item> {
            match *self {}
        }
    }

    impl DirEntry {
        /// The path of the entry.
        #[must_use]
        pub fn path(&self) -> PathBuf {
            match *self {}
        }
    }

    impl Metadata {
        /// The time of the last change.
        ///
        /// # Errors
        /// None; it cannot be called.
        pub fn modified(&self) -> Result<SystemTime> {
            match *self {}
        }
    }

    /// Anything that can be borrowed as a path.
    pub trait AsPath {}
    impl AsPath for PathBuf {}
    impl AsPath for &PathBuf {}
    impl AsPath for &Path {}

    /// Lists a folder.
    ///
    /// # Errors
    /// Always unsupported.
    pub fn read_dir(_path: impl AsPath) -> Result<ReadDir> {
        Err(Error::unsupported())
    }

    /// Describes a file.
    ///
    /// # Errors
    /// Always unsupported.
    pub fn metadata(_path: impl AsPath) -> Result<Metadata> {
        Err(Error::unsupported())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Always unsupported.
    pub fn read(_path: impl AsPath) -> Result<Vec<u8>> {
        Err(Error::unsupported())
    }
}

/// Time: durations exist, moments do not.
pub mod time {
    pub use core::time::Duration;

    /// A moment; no value of it exists beside [`UNIX_EPOCH`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SystemTime;

    /// The start of the count.
    pub const UNIX_EPOCH: SystemTime = SystemTime;

    impl SystemTime {
        /// The time since `earlier`.
        ///
        /// # Errors
        /// Always unsupported.
        pub fn duration_since(&self, _earlier: SystemTime) -> Result<Duration, crate::io::Error> {
            Err(crate::io::Error::unsupported())
        }
    }
}

/// Errors by the name of `std`.
pub mod error {
    pub use core::error::Error;
}
