//! What a scenario has around it.

use crate::gateway::Gateway;
use crate::letters::Letter;
use crate::net::{Instant, Net};
use crate::peers::application::Application;
use crate::peers::dns::FakeDns;
use crate::peers::exchange::{Exchange, Version};
use crate::peers::internet::{InternetMx, Manner};
use crate::peers::ledger::{Delivered, Ledger};
use crate::plan::{
    GATEWAY, GATEWAY_6, GATEWAY_SMTP, NAME_SERVER, PREFIX_LENGTH, PREFIX_LENGTH_6, ROUTER, ROUTER_6,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// Which servers take the mail of a domain, as the peers know it: what they would have found by DNS.
#[derive(Clone, Default)]
pub struct Directory {
    domains: Rc<RefCell<BTreeMap<String, Vec<SocketAddr>>>>,
}

impl Directory {
    /// The servers of `domain`, the preferred one first.
    #[must_use]
    pub fn hosts(&self, domain: &str) -> Vec<SocketAddr> {
        self.domains.borrow().get(&domain.to_ascii_lowercase()).cloned().unwrap_or_default()
    }

    /// Says which servers take the mail of `domain`.
    pub fn set(&self, domain: &str, hosts: &[SocketAddr]) {
        self.domains.borrow_mut().insert(domain.to_ascii_lowercase(), hosts.to_vec());
    }
}

/// A network, an appliance, everybody's records, and where all chance comes from. Cloning gives another handle to the same
/// world.
#[derive(Clone)]
pub struct World {
    /// The network with everybody on it.
    pub net: Rc<dyn Net>,
    /// The appliance, blank and switched off when the scenario begins.
    pub gateway: Rc<dyn Gateway>,
    /// What any peer ever got.
    pub ledger: Ledger,
    /// Where the peers send the mail of which domain.
    pub directory: Directory,
    /// The names; [`World::name_server`] starts their server.
    pub dns: FakeDns,
    /// The seed of this run.
    pub seed: u64,
}

impl World {
    /// A world in which nothing has happened yet.
    #[must_use]
    pub fn new(net: Rc<dyn Net>, gateway: Rc<dyn Gateway>, seed: u64) -> Self {
        Self {
            net,
            gateway,
            ledger: Ledger::default(),
            directory: Directory::default(),
            dns: FakeDns::default(),
            seed,
        }
    }

    /// Looks again and again whether `done`, for at most `seconds`: every 10 ms at first, and never more seldom than after
    /// another fiftieth of the wait. Returns whether it came about.
    pub async fn wait_until(&self, seconds: u64, done: impl Fn() -> bool) -> bool {
        let begun = self.net.now();
        let end = begun.plus_s(seconds);
        while !done() {
            let now = self.net.now();
            if now >= end {
                return false;
            }
            let pause_us = (now.micros_since(begun) / 50).max(10_000);
            self.net.sleep_until(Instant(now.0 + pause_us).min(end)).await;
        }
        true
    }

    /// Waits.
    pub async fn sleep_s(&self, seconds: u64) {
        self.net.sleep_ms(seconds * 1_000).await;
    }

    /// Switches the appliance on and types `commands`, then `save`. Every `set` must be understood without a word, and the
    /// whole must be saved.
    ///
    /// # Panics
    /// When it is not.
    pub async fn set_up(&self, commands: &[&str]) {
        self.gateway.power_on().await;
        let own = [
            "set hostname gw.example".to_string(),
            "set without-identity pass".to_string(),
            format!("set network {GATEWAY}/{PREFIX_LENGTH} {ROUTER}"),
            format!("set dns-servers {NAME_SERVER}"),
        ];
        for command in &own {
            self.quietly(command).await;
        }
        for command in commands.iter().filter(|command| command.starts_with("set ")) {
            self.quietly(command).await;
        }
        let saved = self.gateway.command("save").await;
        assert!(saved.contains("Saved."), "{saved}");
        for command in commands.iter().filter(|command| !command.starts_with("set ")) {
            self.gateway.command(command).await;
        }
    }

    /// Gives the first interface its IPv6 address.
    ///
    /// # Panics
    /// When it is not understood or not saved.
    pub async fn with_ipv6(&self) {
        self.quietly(&format!("set address6 {GATEWAY_6}/{PREFIX_LENGTH_6} {ROUTER_6}")).await;
        self.shows("save", "Saved.").await;
    }

    /// Types a command that is understood: one that sets answers nothing, one that adds or removes says that it is in force.
    ///
    /// # Panics
    /// When it answers something else.
    pub async fn quietly(&self, command: &str) {
        let shown = self.gateway.command(command).await;
        // The echo of the command, and the next prompt.
        let silent = shown.lines().count() <= 2;
        assert!(silent || shown.contains("in force now") || shown.contains("emoved"), "{command}: {shown}");
    }

    /// Types a command and expects `text` in what it shows.
    ///
    /// # Panics
    /// When it is not there.
    #[track_caller]
    pub fn shows<'a>(
        &'a self,
        command: &'a str,
        text: &'a str,
    ) -> impl std::future::Future<Output = String> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let shown = self.gateway.command(command).await;
            let joined = shown.replace('\n', " ");
            assert!(
                shown.contains(text) || joined.contains(text),
                "{place}: `{command}` does not say {text:?} but {shown}"
            );
            shown
        }
    }

    /// Starts the name server of the plan with `zone`, see [`FakeDns::zone`].
    ///
    /// # Panics
    /// When the network has no datagrams.
    pub fn name_server(&self, zone: &str) {
        self.dns.zone(zone);
        self.dns.serve(&self.net, SocketAddr::new(NAME_SERVER, 53)).expect("the network carries datagrams");
    }

    /// A mail server on the Internet at `address` that takes the mail of `domain`; the peers find it.
    #[must_use]
    pub fn internet_mx(&self, host: &str, address: &str, domain: &str, manner: Manner) -> InternetMx {
        let at = SocketAddr::new(ip(address), 25);
        self.directory.set(domain, &[at]);
        InternetMx::start(&self.net, &self.ledger, host, at, manner)
    }

    /// An Exchange with the host name `host` at `address` for `domain`. The peers do not find it by themselves.
    #[must_use]
    pub fn exchange(&self, version: Version, host: &str, address: &str, domain: &str) -> Exchange {
        let at = SocketAddr::new(ip(address), 25);
        Exchange::start(&self.net, &self.ledger, &self.directory, version, host, at, domain)
    }

    /// An application at `address` that sends to the appliance.
    #[must_use]
    pub fn application(&self, address: &str, name: &str) -> Application {
        Application::at(&self.net, ip(address), name, GATEWAY_SMTP)
    }

    /// Waits until `mailbox` holds a letter, and returns it.
    ///
    /// # Panics
    /// When it does not come within `seconds`.
    #[track_caller]
    pub fn arrives<'a>(
        &'a self,
        seconds: u64,
        letter: &'a Letter,
        mailbox: &'a str,
    ) -> impl std::future::Future<Output = Delivered> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let find = || {
                let mails = self.ledger.mailbox(mailbox);
                mails.into_iter().find(|mail| mail.message.message_id() == letter.message_id())
            };
            if !self.wait_until(seconds, || find().is_some()).await {
                let log = self.gateway.command("log tail 12").await;
                panic!("{place}: {} did not reach {mailbox} within {seconds} s; {log}", letter.tag);
            }
            find().expect("it is there")
        }
    }

    /// Waits until the appliance's queue is empty.
    ///
    /// # Panics
    /// When it is not within about `seconds`.
    #[track_caller]
    pub fn queue_empties(&self, seconds: u64) -> impl std::future::Future<Output = ()> + '_ {
        let place = std::panic::Location::caller();
        async move {
            let end = self.net.now().plus_s(seconds);
            loop {
                let shown = self.gateway.command("queue").await;
                if shown.contains("The queue is empty.") {
                    return;
                }
                assert!(self.net.now() < end, "{place}: the queue is not empty: {shown}");
                self.sleep_s(1).await;
            }
        }
    }

    /// What holds at the end of every scenario: nobody got anything twice, and the appliance broke no rule of the protocol.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn expect_good_end(&self) {
        let doubles = self.ledger.doubles();
        assert!(doubles.is_empty(), "delivered more than once: {doubles:#?}");
        let violations = self.ledger.violations();
        assert!(violations.is_empty(), "against the standards: {violations:#?}");
    }
}

/// An address as a scenario writes it.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
}
