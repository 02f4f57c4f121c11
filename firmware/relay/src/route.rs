//! Where mail goes: recipient's domain and sender to a destination.
//!
//! # In this order
//! 0. An address whose mail is thrown away ([`crate::actions`]).
//! 1. Mail with the null sender: `null-sender-next-hop`, if that is set.
//! 2. The route of the recipient's domain, or that of the closest domain above it, or the route `*`.
//! 3. `next-hop`: then no MX record is ever asked for.
//! 4. The MX records of the recipient's domain; for an address literal, that address (RFC 5321 §5.1).
//!
//! This says only which destination it is. Its hosts are looked up when a connection is made, by
//! [`crate::delivery`], and for MX records by the rules of [`exchangers`].
//!
//! # Destinations
//! A destination is told from others by its name: the text of its hosts as the operator would type it, so that routes of
//! many domains to one server are one destination; or `mx:` and the domain. Domains that share the same exchangers
//! are not put together: who they are is only known after DNS was asked, changes, and differs between the hosts of a large
//! provider from one answer to the next. All connections together are few (`SESSIONS_OUT_COUNT_MAX`), which bounds
//! what any provider gets, and what a host refuses is remembered for the host and not for the domain.

pub(crate) mod course;
pub(crate) mod exchangers;
mod ourselves;

pub(crate) use course::{Course, Hosts};
pub(crate) use ourselves::Ourselves;

use crate::schedule::DestinationLimits;
use crate::{Appliance, Machine as _, Platform, actions, attend};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use exchangers::Whose;
use settings::{Domain, HostName, NextHop, Route, RouteTarget, Settings};

/// Before the domain in the name of a destination that is found by MX records.
pub(crate) const BY_MX: &str = "mx:";

/// Where a way ends.
#[derive(Clone, Debug)]
enum Target<'r> {
    Nowhere,
    /// `true`: an Exchange organisation is there.
    Setting(&'r NextHop, bool),
    Route(&'r Route, Whose),
    Exchangers(Whose),
    Discard,
    Found(course::Shared),
}

/// The way of one recipient.
#[derive(Clone, Debug)]
pub(crate) struct Way<'r> {
    /// Name of the destination; empty for nowhere.
    pub(crate) name: Cow<'r, str>,
    /// Whether it leads inside the site: such mail goes first.
    pub(crate) inside: bool,
    target: Target<'r>,
}

impl<'r> Way<'r> {
    const NOWHERE: Self = Self { name: Cow::Borrowed(""), inside: false, target: Target::Nowhere };

    /// A way to a next hop of the settings, whose text is `name`.
    const fn setting(name: &'r str, next_hop: &'r NextHop, exchange: bool) -> Self {
        Self { name: Cow::Borrowed(name), inside: false, target: Target::Setting(next_hop, exchange) }
    }

    /// A way that was found before.
    pub(crate) fn found(name: &'r str, inside: bool, course: Option<course::Shared>) -> Self {
        let target = course.map_or(Target::Nowhere, Target::Found);
        Self { name: Cow::Borrowed(name), inside, target }
    }

    /// How it is gone, if it leads anywhere.
    pub(crate) fn course(&self) -> Option<course::Shared> {
        Some(match &self.target {
            Target::Nowhere => return None,
            Target::Setting(next_hop, exchange) => {
                Rc::new(Course { exchange: *exchange, ..Course::to((*next_hop).clone()) })
            }
            Target::Route(route, whose) => {
                Rc::new(Course::by(route, domain_of_name(&self.name).unwrap_or_default(), *whose))
            }
            Target::Exchangers(whose) => Rc::new(Course::to_exchangers(domain_of_name(&self.name)?, *whose)),
            Target::Discard => Rc::new(Course::nowhere()),
            Target::Found(course) => course.clone(),
        })
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

/// The domain in the name of a destination that is found by MX records.
fn domain_of_name(name: &str) -> Option<&str> {
    let rest = name.strip_prefix(BY_MX)?;
    Some(rest.split_once(' ').map_or(rest, |(domain, _)| domain))
}

/// The name of the destination that the MX records of a domain lead to.
fn exchangers_name(domain: &str) -> String {
    match settings::canonical(domain) {
        Some(name) if !domain.starts_with('[') => format!("{BY_MX}{name}"),
        // A literal; or what is no name, which DNS will say.
        _ => format!("{BY_MX}{}", domain.to_ascii_lowercase()),
    }
}

impl<P: Platform> Appliance<'_, P> {
    /// Finds the way of mail from a sender (`null_sender`: the one without address) to `recipient`, and shows it to `see`.
    pub(crate) fn way<T>(&self, null_sender: bool, recipient: &str, see: impl FnOnce(&Way<'_>) -> T) -> T {
        if actions::stays(self, recipient) {
            let name = Cow::Borrowed(actions::HERE);
            return see(&Way { name, inside: false, target: Target::Discard });
        }
        let (settings, routes, names) = (self.settings.borrow(), self.routes.borrow(), self.names.borrow());
        if null_sender
            && let (Some(name), Some(next_hop)) = (&names.null_sender, &settings.null_sender_next_hop)
        {
            return see(&Way::setting(name, next_hop, false));
        }
        let domain = domain_of(recipient);
        if let Some(route) = routes.route_for(domain) {
            let by_mx = *route.target() == RouteTarget::Mx;
            let whose = if by_mx { self.whose(domain) } else { Whose::Foreign };
            let name = if by_mx {
                Cow::Owned(exchangers_name(domain) + route.name())
            } else {
                Cow::Borrowed(route.name())
            };
            let inside = route.inside() || whose == Whose::Internal;
            return see(&Way { name, inside, target: Target::Route(route, whose) });
        }
        match (&names.next_hop, &settings.next_hop) {
            (Some(name), Some(next_hop)) => see(&Way::setting(name, next_hop, settings.next_hop_exchange)),
            // A mailbox of this very gateway, which has none.
            _ if !recipient.contains('@') => see(&Way::NOWHERE),
            _ => {
                let whose = self.whose(domain);
                let (name, inside) = (Cow::Owned(exchangers_name(domain)), whose == Whose::Internal);
                see(&Way { name, inside, target: Target::Exchangers(whose) })
            }
        }
    }

    /// Whether a domain is one of those behind this gateway.
    pub(crate) fn whose(&self, domain: &str) -> Whose {
        if self.domains.borrow().is_internal(domain) { Whose::Internal } else { Whose::Foreign }
    }

    /// Every name and address of this gateway.
    pub(crate) fn ourselves(&self) -> Ourselves {
        let (settings, domains) = (self.settings.borrow(), self.domains.borrow());
        let names = settings.hostname.iter().chain(&settings.banner_name).chain(&settings.own_names);
        let names = names.chain(domains.iter().filter_map(Domain::own_name)).map(HostName::as_str);
        let network = self.machine.network();
        let addresses = network.iter().flat_map(|interface| [interface.address, interface.address6]);
        let addresses = addresses.flatten().map(|own| own.address);
        Ourselves::new(names, addresses.chain(settings.own_addresses.iter().copied()))
    }

    /// Whether mail has more than one place to go to: only then is it worth to bound what one of them may occupy.
    pub(crate) fn has_several_destinations(&self) -> bool {
        let settings = self.settings.borrow();
        settings.next_hop.is_none()
            || settings.null_sender_next_hop.is_some()
            || !self.routes.borrow().is_empty()
    }

    /// The settings or the routes have changed: everything in the queue is routed anew, what failed is tried at once, and
    /// connections to where no route leads any more get nothing.
    pub(crate) fn routing_changed(&self) {
        let names = Names::new(&self.settings.borrow());
        self.names.replace(names);
        self.limits_changed();
        // Whoever changes routes has often changed DNS too.
        self.dns.forget();
        self.verifier.forget();
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
