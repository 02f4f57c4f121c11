//! Who is let in, and how patiently he is served.
//!
//! # Places
//! There are `SESSIONS_IN_COUNT_MAX` sessions. Where rules name Exchange servers or trusted peers, some are only for these;
//! where rules name applications, some of the rest are not for the Internet. Whoever comes when his class has no place
//! hears `421` and is reset, within a second; and if too many come even for that, they are reset without a word. So a
//! crowd from outside never stands in the way of mail that goes between the own servers.
//!
//! # Patience
//! RFC 5321 §4.5.3.2 asks a server for minutes of patience, and as long as places are free everybody gets them. When they
//! become scarce, clients from the Internet must say each command within seconds, bring content at a minimum rate, and come
//! to the point: a session without a message ends. Applications must only not be slow: they are known, and one that
//! waits for room in a full queue is no attacker. It makes no difference whether they are silent or
//! drip an octet now and then. That holds for sessions that wait already, too. Exchange servers and trusted peers keep the
//! full times.
//!
//! # Tarpit
//! A rule may delay the greeting and each refusal (`tarpit`); not while places are scarce, since every delay holds one.

use crate::ledger::ClientKey;
use crate::{Appliance, Platform};
use alloc::rc::Rc;
use core::cell::Cell;
use envelope::EnhancedStatus;
use limits::door::{
    COMMAND_APPLICATION_SCARCE_S, COMMAND_SCARCE_S, CONTENT_RATE_MIN, CONTENT_WINDOW_S,
    CONTENT_WINDOW_SCARCE_S, PATIENCE_LOOK_S, REFUSALS_COUNT_MAX, SCARCE_PERCENT, SESSION_S_MAX,
    SESSION_SCARCE_S_MAX, SESSIONS_PER_INTERNET_CLIENT_MAX, SESSIONS_RESERVED_APPLICATION_COUNT,
    SESSIONS_RESERVED_EXCHANGE_COUNT, USELESS_SCARCE_S,
};
use limits::relay::{SESSIONS_IN_COUNT_MAX, SESSIONS_PER_CLIENT_MAX};
use platform::{Instant, Origin};
use settings::{Class, Judged, Rights};
use smtp::Reply;

/// Sessions that are open, by kind.
#[derive(Default)]
pub(crate) struct Places {
    internet: Cell<usize>,
    applications: Cell<usize>,
    exchange: Cell<usize>,
    /// Clients that are being told that there is no place.
    refusals: Cell<usize>,
}

impl Places {
    const fn of(&self, class: Class) -> &Cell<usize> {
        match class {
            Class::Internet => &self.internet,
            Class::Application => &self.applications,
            Class::Exchange | Class::Trusted => &self.exchange,
        }
    }
}

/// A client that has been looked at.
pub(crate) enum Entry<'a, 'f, P: Platform> {
    /// He is served.
    Guest(Guest<'a, 'f, P>),
    /// He is told why not. The place among those who are told is free when this is dropped.
    Refused(Reply, Refusal<'a, 'f, P>),
    /// He is reset.
    Dropped,
}

/// Looks at a client that has connected.
pub(crate) fn enter<'a, 'f, P: Platform>(
    appliance: &'a Appliance<'f, P>,
    origin: &Origin,
    judged: &Judged,
) -> Entry<'a, 'f, P> {
    let client = ClientKey::new(origin.client);
    let crowded = Limits::now(appliance).is_full_for(judged.class, &appliance.places);
    let of_client = appliance.sessions.borrow().used(client).messages;
    if !crowded
        && usize::try_from(of_client).is_ok_and(|open| open < most_of_one(judged.class, &judged.rights))
    {
        return Entry::Guest(Guest::new(appliance, client, judged.class, &judged.rights));
    }
    crate::counters::count(&appliance.counters.sessions_refused, 1);
    let places = &appliance.places;
    if places.refusals.get() >= REFUSALS_COUNT_MAX {
        return Entry::Dropped;
    }
    places.refusals.set(places.refusals.get() + 1);
    let reply = if crowded {
        Reply::new(421, EnhancedStatus(4, 3, 2), "Too many connections, try again later")
    } else {
        let text = "Too many connections from your address, try again later";
        Reply::new(421, EnhancedStatus(4, 7, 0), text)
    };
    Entry::Refused(reply, Refusal(appliance))
}

/// Connections that one client may have.
fn most_of_one(class: Class, rights: &Rights) -> usize {
    match (rights.connections, class) {
        (0, Class::Internet) => SESSIONS_PER_INTERNET_CLIENT_MAX,
        (0, Class::Application) => SESSIONS_PER_CLIENT_MAX,
        (0, Class::Exchange | Class::Trusted) => SESSIONS_IN_COUNT_MAX,
        (most, _) => most.into(),
    }
}

/// A client that is being told that there is no place.
pub(crate) struct Refusal<'a, 'f, P: Platform>(&'a Appliance<'f, P>);

impl<P: Platform> Drop for Refusal<'_, '_, P> {
    fn drop(&mut self) {
        let refusals = &self.0.places.refusals;
        refusals.set(refusals.get().saturating_sub(1));
    }
}

/// How many sessions there may be of each kind, by the rules of this moment.
#[derive(Clone, Copy)]
struct Limits {
    /// From the Internet.
    internet: usize,
    /// From the Internet and applications together.
    general: usize,
}

impl Limits {
    fn now<P: Platform>(appliance: &Appliance<'_, P>) -> Self {
        let (mut exchange, mut application) = (0, 0);
        for peer in appliance.peers().iter() {
            match peer.class() {
                Class::Exchange | Class::Trusted => exchange = SESSIONS_RESERVED_EXCHANGE_COUNT,
                Class::Application => application = SESSIONS_RESERVED_APPLICATION_COUNT,
                Class::Internet => {}
            }
        }
        if !appliance.settings().relay_networks.is_empty() {
            application = SESSIONS_RESERVED_APPLICATION_COUNT;
        }
        let general = SESSIONS_IN_COUNT_MAX - exchange;
        Self { internet: general - application, general }
    }

    fn is_full_for(self, class: Class, places: &Places) -> bool {
        let general = places.internet.get() + places.applications.get();
        let all = general + places.exchange.get();
        all >= SESSIONS_IN_COUNT_MAX
            || match class {
                Class::Internet => places.internet.get() >= self.internet || general >= self.general,
                Class::Application => general >= self.general,
                Class::Exchange | Class::Trusted => false,
            }
    }

    /// Whether a class has few places left.
    fn is_scarce_for(self, class: Class, places: &Places) -> bool {
        let scarce = |used: usize, most: usize| used * 100 >= most * SCARCE_PERCENT;
        let general = places.internet.get() + places.applications.get();
        match class {
            Class::Internet => scarce(places.internet.get(), self.internet) || scarce(general, self.general),
            Class::Application => scarce(general, self.general),
            Class::Exchange | Class::Trusted => false,
        }
    }
}

/// A client that has a place, while this lives.
pub(crate) struct Guest<'a, 'f, P: Platform> {
    appliance: &'a Appliance<'f, P>,
    client: ClientKey,
    class: Class,
    tarpit_s: u8,
    pace: Pace,
}

/// How a session goes on.
struct Pace {
    /// When it began.
    begun: Instant,
    /// When it last brought a message, or began.
    useful: Instant,
    /// Since when its next command, or its next content, is waited for.
    waiting: Instant,
    /// Whether that is content.
    in_content: bool,
    /// Octets of content since then.
    octets: u64,
}

impl<'a, 'f, P: Platform> Guest<'a, 'f, P> {
    fn new(appliance: &'a Appliance<'f, P>, client: ClientKey, class: Class, rights: &Rc<Rights>) -> Self {
        let counters = &appliance.counters;
        crate::counters::count(&counters.sessions_open, 1);
        crate::counters::count_most(&counters.sessions_open_most, counters.sessions_open.get());
        appliance.sessions.borrow_mut().add(client, 0);
        let places = appliance.places.of(class);
        places.set(places.get() + 1);
        let now = appliance.now();
        let pace = Pace { begun: now, useful: now, waiting: now, in_content: false, octets: 0 };
        Self { appliance, client, class, tarpit_s: rights.tarpit_s, pace }
    }

    /// The client has said something whole, or content has come to its end: the time for the next begins.
    pub(crate) fn went_on(&mut self) {
        (self.pace.waiting, self.pace.octets) = (self.appliance.now(), 0);
    }

    /// A message of his was taken.
    pub(crate) fn has_brought_a_message(&mut self) {
        self.pace.useful = self.appliance.now();
    }

    /// So many octets have come.
    pub(crate) fn came(&mut self, octets: usize) {
        self.pace.octets = self.pace.octets.saturating_add(octets as u64);
        if !self.is_limited() {
            self.pace.waiting = self.appliance.now();
        }
    }

    fn is_limited(&self) -> bool {
        matches!(self.class, Class::Internet | Class::Application)
    }

    fn is_scarce(&self) -> bool {
        self.is_limited() && Limits::now(self.appliance).is_scarce_for(self.class, &self.appliance.places)
    }

    /// Seconds to wait for the client now, then to ask again; `None` when he has had his time. `usual_s` is what RFC 5321
    /// gives him in this state, and `in_content` says which state.
    pub(crate) fn patience(&mut self, usual_s: u64, in_content: bool) -> Option<u64> {
        let now = self.appliance.now();
        if in_content != self.pace.in_content {
            (self.pace.in_content, self.pace.waiting, self.pace.octets) = (in_content, now, 0);
        }
        let since_s = |moment: Instant| now.micros_since(moment) / 1_000_000;
        let scarce = self.is_scarce();
        if self.class == Class::Internet {
            let most_s = if scarce { SESSION_SCARCE_S_MAX } else { SESSION_S_MAX };
            if since_s(self.pace.begun) >= most_s {
                return None;
            }
        }
        let waited_s = since_s(self.pace.waiting);
        let may_s = if !self.is_limited() {
            usual_s
        } else if in_content {
            let window_s = if scarce { CONTENT_WINDOW_SCARCE_S } else { CONTENT_WINDOW_S };
            if waited_s >= window_s && self.pace.octets >= waited_s.saturating_mul(CONTENT_RATE_MIN) {
                (self.pace.waiting, self.pace.octets) = (now, 0);
                return Some(PATIENCE_LOOK_S);
            }
            window_s
        } else if scarce && self.class == Class::Application {
            COMMAND_APPLICATION_SCARCE_S
        } else if scarce {
            if since_s(self.pace.useful) >= USELESS_SCARCE_S {
                return None;
            }
            COMMAND_SCARCE_S
        } else {
            usual_s
        };
        let left_s = may_s.saturating_sub(waited_s);
        let look_s = if self.is_limited() { PATIENCE_LOOK_S } else { usual_s };
        (left_s > 0).then(|| left_s.min(look_s))
    }

    /// Seconds that the client may take to take what he is told, where `usual_s` is what he has while places are free.
    pub(crate) fn patience_to_write(&self, usual_s: u64) -> u64 {
        if self.is_scarce() { COMMAND_SCARCE_S } else { usual_s }
    }

    /// Seconds that the greeting, or a refusal, is delayed.
    pub(crate) fn tarpit_s(&self) -> u64 {
        if self.tarpit_s == 0 || self.is_scarce() { 0 } else { self.tarpit_s.into() }
    }
}

impl<P: Platform> Drop for Guest<'_, '_, P> {
    fn drop(&mut self) {
        let open = &self.appliance.counters.sessions_open;
        open.set(open.get().saturating_sub(1));
        self.appliance.sessions.borrow_mut().remove(self.client, 0);
        let places = self.appliance.places.of(self.class);
        places.set(places.get().saturating_sub(1));
    }
}
