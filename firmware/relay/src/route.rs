//! Where mail goes: recipient's domain and sender to a next hop.
//!
//! Mail with the null sender goes to `null-sender-next-hop` if that is set. Other mail goes where the route of the
//! recipient's domain leads, or that of the closest domain above it, else to `next-hop`. Without any of these it goes
//! nowhere, and waits for the operator to set one.
//!
//! A destination is told from others by the text of its next hop, as the operator would type it: routes of many domains
//! to one server are one destination.

mod exchangers;
mod ourselves;

use crate::schedule::DestinationLimits;
use crate::{Appliance, Platform, attend};
use alloc::boxed::Box;
use alloc::format;
use settings::{NextHop, Route, Settings};

/// Where a way ends.
#[derive(Clone, Copy, Debug)]
enum Target<'r> {
    Nowhere,
    Setting(&'r NextHop),
    Route(&'r Route),
}

/// The way of one recipient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way<'r> {
    /// Name of the destination; empty for nowhere.
    pub(crate) name: &'r str,
    /// Whether it leads inside the site: such mail goes first.
    pub(crate) inside: bool,
    target: Target<'r>,
}

impl<'r> Way<'r> {
    const NOWHERE: Self = Self { name: "", inside: false, target: Target::Nowhere };

    /// A way to a next hop of the settings, whose text is `name`.
    pub(crate) const fn setting(name: &'r str, next_hop: &'r NextHop) -> Self {
        Self { name, inside: false, target: Target::Setting(next_hop) }
    }

    /// A way that was found before.
    pub(crate) fn found(name: &'r str, inside: bool, next_hop: Option<&'r NextHop>) -> Self {
        Self { name, inside, target: next_hop.map_or(Target::Nowhere, Target::Setting) }
    }

    /// The next hop, if it leads anywhere.
    pub(crate) fn next_hop(&self) -> Option<NextHop> {
        match self.target {
            Target::Nowhere => None,
            Target::Setting(next_hop) => Some(next_hop.clone()),
            Target::Route(route) => route.next_hop(),
        }
    }
}

/// The texts of the next hops in the settings, made once.
#[derive(Debug, Default)]
pub(crate) struct Names {
    next_hop: Option<Box<str>>,
    null_sender: Option<Box<str>>,
}

impl Names {
    pub(crate) fn new(settings: &Settings) -> Self {
        let name =
            |next_hop: &Option<NextHop>| next_hop.as_ref().map(|hop| format!("{hop}").into_boxed_str());
        Self { next_hop: name(&settings.next_hop), null_sender: name(&settings.null_sender_next_hop) }
    }
}

/// The domain of an address; an address without one is all domain.
fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or(address, |(_, domain)| domain)
}

impl<P: Platform> Appliance<'_, P> {
    /// Finds the way of mail from a sender (`null_sender`: the one without address) to `recipient`, and shows it to `see`.
    pub(crate) fn way<T>(&self, null_sender: bool, recipient: &str, see: impl FnOnce(&Way<'_>) -> T) -> T {
        let (settings, routes, names) = (self.settings.borrow(), self.routes.borrow(), self.names.borrow());
        if null_sender
            && let (Some(name), Some(next_hop)) = (&names.null_sender, &settings.null_sender_next_hop)
        {
            return see(&Way::setting(name, next_hop));
        }
        if let Some(route) = routes.route_for(domain_of(recipient)) {
            let (name, inside) = (route.name(), route.inside());
            return see(&Way { name, inside, target: Target::Route(route) });
        }
        match (&names.next_hop, &settings.next_hop) {
            (Some(name), Some(next_hop)) => see(&Way::setting(name, next_hop)),
            _ => see(&Way::NOWHERE),
        }
    }

    /// Whether mail has more than one place to go to: only then is it worth to bound what one of them may occupy.
    pub(crate) fn has_several_destinations(&self) -> bool {
        let settings = self.settings.borrow();
        let set =
            usize::from(settings.next_hop.is_some()) + usize::from(settings.null_sender_next_hop.is_some());
        set + self.routes.borrow().len() > 1
    }

    /// Whether mail has any place to go to.
    pub(crate) fn has_destination(&self) -> bool {
        let settings = self.settings.borrow();
        let set = settings.next_hop.is_some() || settings.null_sender_next_hop.is_some();
        set || !self.routes.borrow().is_empty()
    }

    /// The settings or the routes have changed: everything in the queue is routed anew, what failed is tried at once, and
    /// connections to where no route leads any more get nothing.
    pub(crate) fn routing_changed(&self) {
        let names = Names::new(&self.settings.borrow());
        self.names.replace(names);
        self.limits_changed();
        let now = self.now();
        self.schedule.reroute(now);
        self.schedule.hurry(None, now);
    }

    /// What the settings say about destinations and ages may have changed.
    pub(crate) fn limits_changed(&self) {
        let limits = DestinationLimits::from(&*self.settings.borrow());
        let now = self.now();
        self.schedule.set_limits(limits, now);
        self.spool.for_each(|brief| self.schedule.review_age(brief.id, attend::age_at(self, brief), now));
    }
}
