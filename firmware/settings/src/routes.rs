//! Which server takes the mail for which domain.

use crate::domain::canonical;
use crate::fault::Fault;
use crate::parse;
use crate::types::NextHop;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;
use limits::settings::{ROUTE_PAGES_COUNT_MAX, ROUTES_BYTES_MAX, ROUTES_COUNT_MAX, ROUTES_PER_PAGE_MAX};

/// First octet of a stored page.
const PAGE_VERSION: u8 = 1;
/// Flag of a route whose next hop is inside.
const INSIDE: u8 = 1;
/// Octets of a route beside its two texts: their lengths and the flags.
const FRAME_BYTES: usize = 5;

/// One row of the table: mail for a domain, and for every domain below it that has no route of its own, goes to a next
/// hop. Takes about 100 octets of RAM.
///
/// One next hop for each domain, tried at all its addresses. Routes by MX, with costs, and of several hosts are not
/// there yet; they would stand in the place of `next_hop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Canonical: A-labels, lower case.
    domain: Box<str>,
    /// As [`NextHop`] prints it, because that is a third of its size.
    next_hop: Box<str>,
    inside: bool,
    /// The stored page that it is in.
    page: u8,
}

impl Route {
    /// A route from what an operator types: the domain (a final dot and a leading one are dropped, letters outside ASCII
    /// are encoded), the next hop as in the setting `next-hop`, and whether it leads inside.
    ///
    /// # Errors
    /// What is wrong with domain or next hop.
    pub fn new<'a>(domain: &'a str, next_hop: &'a str, inside: bool) -> Result<Self, Fault<'a>> {
        let name = domain.strip_prefix('.').unwrap_or(domain);
        let name = canonical(name).ok_or(Fault::LabelTooLong(domain))?;
        // The fault shows what was typed, not what it became.
        parse::host_name(&name).map_err(|_| Fault::Domain(domain))?;
        let next_hop = format!("{}", parse::next_hop(next_hop)?).into_boxed_str();
        Ok(Self { domain: Box::from(name.as_str()), next_hop, inside, page: 0 })
    }

    /// The domain, in A-labels and lower case.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The server, `None` only if a stored route is nonsense, which is not let in.
    #[must_use]
    pub fn next_hop(&self) -> Option<NextHop> {
        parse::next_hop(&self.next_hop).ok()
    }

    /// The server as it would be typed; two routes to the same server have the same text.
    #[must_use]
    pub fn next_hop_text(&self) -> &str {
        &self.next_hop
    }

    /// Whether the server is one of the own mail servers: its mail goes before mail to the outside.
    #[must_use]
    pub const fn inside(&self) -> bool {
        self.inside
    }

    fn stored_bytes(&self) -> usize {
        FRAME_BYTES + self.domain.len() + self.next_hop.len()
    }

    fn write(&self, page: &mut Vec<u8>) {
        page.push(if self.inside { INSIDE } else { 0 });
        for text in [&self.domain, &self.next_hop] {
            // A name of 253 octets and its port are 259.
            let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
            page.extend_from_slice(&length.to_le_bytes());
            page.extend_from_slice(text.as_bytes());
        }
    }

    /// Reads one route off the front of a page.
    fn read(bytes: &[u8], page: u8) -> Option<(Self, &[u8])> {
        fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
            let (length, rest) = bytes.split_first_chunk()?;
            let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
            Some((core::str::from_utf8(text).ok()?, rest))
        }
        let (flags, rest) = bytes.split_first()?;
        let (domain, rest) = text(rest)?;
        let (next_hop, rest) = text(rest)?;
        let route = Self::new(domain, next_hop, flags & INSIDE != 0).ok()?;
        // What is not in the form in which it is written was not written by `write`.
        let same = &*route.domain == domain && &*route.next_hop == next_hop && flags & !INSIDE == 0;
        same.then_some((Self { page, ..route }, rest))
    }
}

impl fmt::Display for Route {
    /// As `route add` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.domain, self.next_hop, if self.inside { " inside" } else { "" })
    }
}

/// Why a route was not added or removed. The table is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// There are as many routes as the table holds.
    Full,
    /// No route is for exactly this domain.
    NoSuchRoute,
    /// The flash did not take the change.
    Storage(flash_log::KvError),
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(f, "the table is full; it holds at most {ROUTES_COUNT_MAX} routes"),
            Self::NoSuchRoute => f.write_str("there is no route for exactly this domain; see `show routes`"),
            Self::Storage(error) => write!(f, "the route could not be stored: {error}; see `diag`"),
        }
    }
}

impl core::error::Error for RouteError {}

/// A change that has been worked out and is not stored yet: one page.
pub(crate) struct Change {
    pub page: u8,
    pub bytes: Vec<u8>,
    routes: Vec<Route>,
}

/// The table of routes, sorted by domain; at most [`ROUTES_COUNT_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    list: Vec<Route>,
}

impl Routes {
    /// The route for the mail to `domain` (any letter case, with or without final dot, A-labels or U-labels): that of the
    /// domain itself or, if it has none, of the closest domain above it. `None`: no route, so the default next hop; for
    /// address literals always.
    #[must_use]
    pub fn route_for(&self, domain: &str) -> Option<&Route> {
        if self.list.is_empty() || domain.starts_with('[') {
            return None;
        }
        let name = canonical(domain)?;
        let mut rest = name.as_str();
        loop {
            if let Some(route) = self.exact(rest) {
                return Some(route);
            }
            (_, rest) = rest.split_once('.')?;
        }
    }

    /// The route of exactly this domain, which is canonical.
    fn exact(&self, domain: &str) -> Option<&Route> {
        self.find(domain).ok().and_then(|at| self.list.get(at))
    }

    fn find(&self, domain: &str) -> Result<usize, usize> {
        self.list.binary_search_by(|route| (*route.domain).cmp(domain))
    }

    /// Every route, by domain.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.list.iter()
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

    /// Works out the page that holds `route` afterwards, in place of one for the same domain.
    pub(crate) fn adding(&self, mut route: Route) -> Result<Change, RouteError> {
        let old = self.exact(&route.domain);
        let bytes: usize = self.list.iter().map(Route::stored_bytes).sum();
        let bytes = bytes - old.map_or(0, Route::stored_bytes) + route.stored_bytes();
        if bytes > ROUTES_BYTES_MAX || (old.is_none() && self.list.len() >= ROUTES_COUNT_MAX) {
            return Err(RouteError::Full);
        }
        route.page = match old {
            Some(old) => old.page,
            None => self.page_with_room().ok_or(RouteError::Full)?,
        };
        let mut routes: Vec<Route> =
            self.on_page(route.page).filter(|other| other.domain != route.domain).cloned().collect();
        let page = route.page;
        routes.push(route);
        Ok(Change::new(page, routes))
    }

    /// Works out the page that held the route of `domain`.
    pub(crate) fn removing(&self, domain: &str) -> Result<Change, RouteError> {
        let name = canonical(domain.strip_prefix('.').unwrap_or(domain)).ok_or(RouteError::NoSuchRoute)?;
        let page = self.exact(&name).ok_or(RouteError::NoSuchRoute)?.page;
        let routes = self.on_page(page).filter(|other| *other.domain != *name).cloned().collect();
        Ok(Change::new(page, routes))
    }

    /// Takes over a change that is stored.
    pub(crate) fn apply(&mut self, change: Change) {
        self.list.retain(|route| route.page != change.page);
        for route in change.routes {
            self.insert(route);
        }
    }

    /// Takes over a stored page; what cannot be read in it ends it. Returns whether all of it was read.
    pub(crate) fn load(&mut self, page: u8, bytes: &[u8]) -> bool {
        let Some((&PAGE_VERSION, mut rest)) = bytes.split_first() else { return false };
        let mut room = ROUTES_PER_PAGE_MAX;
        while !rest.is_empty() && room > 0 {
            let Some((route, after)) = Route::read(rest, page) else { return false };
            (rest, room) = (after, room - 1);
            self.insert(route);
        }
        rest.is_empty()
    }

    fn insert(&mut self, route: Route) {
        match self.find(&route.domain) {
            // A domain stands in one page only; on foreign flash the last one wins.
            Ok(at) => {
                if let Some(there) = self.list.get_mut(at) {
                    *there = route;
                }
            }
            Err(at) => {
                if self.list.len() < ROUTES_COUNT_MAX {
                    self.list.insert(at, route);
                }
            }
        }
    }

    fn on_page(&self, page: u8) -> impl Iterator<Item = &Route> {
        self.list.iter().filter(move |route| route.page == page)
    }

    fn page_with_room(&self) -> Option<u8> {
        let mut counts = [0usize; ROUTE_PAGES_COUNT_MAX];
        for route in &self.list {
            if let Some(count) = counts.get_mut(usize::from(route.page)) {
                *count += 1;
            }
        }
        counts.iter().position(|count| *count < ROUTES_PER_PAGE_MAX).and_then(|page| u8::try_from(page).ok())
    }
}

impl Change {
    fn new(page: u8, routes: Vec<Route>) -> Self {
        let mut bytes = Vec::with_capacity(1 + routes.iter().map(Route::stored_bytes).sum::<usize>());
        bytes.push(PAGE_VERSION);
        for route in &routes {
            route.write(&mut bytes);
        }
        Self { page, bytes, routes }
    }
}
