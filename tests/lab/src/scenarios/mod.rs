//! The table of scenarios, by the rows of the requirements.

use crate::scenario::{Runs, Scenario, State};

mod applications;
mod discovery;
mod everyday;
mod patterns;
mod peers;
mod rights;
mod routes;
mod setup;
mod with_exchange;

/// Writes the table, and a test for each row that plays it on the simulator; what is pending is an ignored test.
macro_rules! scenarios {
    ($($row:literal $name:ident $title:literal: $state:ident $(($why:literal))? $(, $runs:ident $(($alone:literal))?, $tell:path)?;)*) => {
        /// Every scenario, in the order of the rows.
        pub static ALL: &[Scenario] = &[$(
            Scenario {
                row: $row,
                name: stringify!($name),
                title: $title,
                state: State::$state $(($why))?,
                runs: one_of!($(Runs::$runs $(($alone))?)?; Runs::Everywhere),
                tell: one_of!($(|world| Box::pin($tell(world)))?; |_| Box::pin(async { panic!("not told yet") })),
            },
        )*];

        #[cfg(test)]
        mod told {
            $(test! { $state $(($why))? $name })*
        }
    };
}

/// The first expression, or the second if there is no first.
macro_rules! one_of {
    ($first:expr; $second:expr) => {
        $first
    };
    (; $second:expr) => {
        $second
    };
}

#[cfg(test)]
macro_rules! test {
    (Pending($why:literal) $name:ident) => {
        #[test]
        #[ignore = $why]
        fn $name() {
            crate::simulator::play_in_test(stringify!($name));
        }
    };
    ($state:ident $(($why:literal))? $name:ident) => {
        #[test]
        fn $name() {
            crate::simulator::play_in_test(stringify!($name));
        }
    };
}

scenarios! {
    "0.02" r0_02_pattern_a_inbound "the Internet finds us first by MX and Exchange second: it gets the mail once":
        Partly("decrypted and with a verdict: comes with decryption"), Everywhere, patterns::a_inbound;
    "0.03" r0_03_pattern_b_inbound "Exchange sends its own inbound mail through us and gets it back once, marked":
        Ready, Everywhere, patterns::b_inbound;
    "0.03" r0_03_pattern_b_by_header "the same with the exception by header":
        Ready, Everywhere, patterns::b_inbound_by_header;
    "0.04" r0_04_outbound "Exchange sends to the Internet through us, envelope unchanged":
        Ready, Everywhere, patterns::outbound;
    "0.05" r0_05_one_name_everywhere "banner, EHLO and Received say the configured name":
        Ready, Everywhere, everyday::one_name_everywhere;
    "0.06" r0_06_mx_preference_and_chance "lower preference first, chance among equals":
        Ready, Simulator("hours pass"), discovery::preference_and_chance;
    "0.08" r0_08_look_ups_by_command "A, MX and TXT are looked up and compared at the console":
        Ready, Everywhere, patterns::look_ups_by_command;
    "0.09" r0_09_header_firewall "Exchange's own fields pass between Exchanges octet by octet, and to nobody else":
        Ready, Everywhere, patterns::header_firewall;
    "0.10" r0_10_any_recipient_for_exchange_only "only Exchange may send to anywhere":
        Ready, Everywhere, peers::any_recipient_for_exchange_only;
    "0.11" r0_11_smart_host_by_address "Exchange reaches us by address":
        Partly("STARTTLS without a server name comes with TLS"), Everywhere, with_exchange::smart_host_by_address;
    "0.12" r0_12_starttls_is_offered "plain and STARTTLS sessions both complete":
        Pending("TLS");
    "0.13" r0_13_connector_validation "the validation mail of a connector is delivered":
        Ready, Everywhere, patterns::connector_validation;
    "0.14" r0_14_one_source_address "all connections to Exchange leave from the one address":
        Ready, Everywhere, with_exchange::one_source_address;
    "0.15" r0_15_open_relay_forms "every classic form of an open relay is refused":
        Ready, Everywhere, rights::open_relay_forms;
    "0.16" r0_16_internal_recipients_by_mx "internal recipients from Exchange go to the other MX, not outside":
        Ready, Everywhere, patterns::internal_recipients_by_mx;
    "0.17" r0_17_loop_without_exceptions "an Exchange without exceptions: two passes at most, one copy, 5.4.6":
        Ready, Simulator("hours pass"), patterns::loop_without_exceptions;
    "0.18" r0_18_no_mail_from_connector "the console tells that a connector has not been seen":
        Ready, Everywhere, patterns::no_mail_from_connector;
    "0.19" r0_19_send_connector_on_premises "an on-premises Exchange sends anywhere without credentials":
        Ready, Everywhere, with_exchange::send_connector_on_premises;
    "0.20" r0_20_private_keywords_ignored "private keywords of Exchange are left alone":
        Ready, Everywhere, with_exchange::every_version;
    "0.21" r0_21_every_version_of_exchange "2007 to 2019: mail in both directions":
        Ready, Everywhere, with_exchange::every_version;
    "0.22" r0_22_next_hop_by_mx_without_ourselves "the next hop is found by MX, ourselves removed":
        Ready, Everywhere, discovery::without_ourselves;
    "0.22" r0_22_nothing_left_waits "nothing left after removing ourselves: the mail waits, nobody gets a report":
        Ready, Simulator("hours pass"), discovery::nothing_left;
    "0.22" r0_22_lying_name_service "forged, slow and truncated answers change nothing":
        Ready, Everywhere, discovery::lying_name_service;
    "0.23" r0_23_relayhost_overrides "a relayhost ends MX queries, its removal brings them back":
        Ready, Everywhere, discovery::relayhost_overrides;
    "0.24" r0_24_route_table "the most specific route wins":
        Ready, Everywhere, routes::route_table;
    "0.25" r0_25_twenty_six_domains "26 domains, 26 Exchanges: each mail only at its own":
        Ready, Everywhere, discovery::twenty_six_domains;
    "0.25" r0_25_sixty_four_domains "64 domains at once":
        Ready, Simulator("hours pass"), discovery::sixty_four_domains;
    "0.26" r0_26_show_the_configuration "relay, networks, domains, filter and routes are shown":
        Ready, Everywhere, peers::show_the_configuration;
    "0.27" r0_27_queue_is_empty_when_all_works "after some mail the queue is empty and the log tells of it":
        Ready, Everywhere, everyday::queue_is_empty_when_all_works;
    "0.28" r0_28_troubles_have_names "each trouble of the manual has a message of its own":
        Ready, Everywhere, patterns::troubles_have_names;
    "0.29" r0_29_tls_levels "TLS per route: none, may, encrypt, verify":
        Pending("TLS");
    "0.30" r0_30_decrypt_by_attachment "while we are off the second MX takes the mail, once":
        Partly("sending it in for decryption comes with decryption"), Everywhere, patterns::a_falls_back;
    "1.01" r1_01_fifty_clients "fifty systems at once, no credentials":
        Partly("clients with TLS come with TLS"), Everywhere, everyday::fifty_clients;
    "1.02" r1_02_send_as "any From, no rewriting":
        Ready, Everywhere, everyday::send_as;
    "1.06" r1_06_associated_domains "a refused recipient makes one report that names only it":
        Ready, Everywhere, with_exchange::associated_domains;
    "1.07" r1_07_host_of_the_tenant "the wizard derives the tenant's host name":
        Ready, Everywhere, setup::host_of_the_tenant;
    "1.09" r1_09_networks "networks to the last bit, IPv4 and IPv6; nobody by default":
        Ready, Everywhere, rights::networks_to_the_last_bit;
    "1.09" r1_09_networks_of_ipv6 "the same for IPv6":
        Ready, Everywhere, rights::networks_of_ipv6;
    "1.10" r1_10_sloppy_applications "HELO, bare line feeds, no Date: repaired for applications only":
        Ready, Everywhere, peers::sloppy_applications;
    "1.11" r1_11_single_choke_point "counts per client":
        Ready, Everywhere, peers::single_choke_point;
    "2.01" r2_01_direct_delivery "to the Internet by MX, by A, by IPv6; null MX ends it":
        Ready, Simulator("hours pass"), discovery::direct_delivery;
    "2.01" r2_01_direct_delivery_by_ipv6 "servers with IPv6 only, and with both":
        Ready, Everywhere, discovery::direct_delivery_by_ipv6;
    "2.04" r2_04_who_may "who may connect, who may relay, where to: each with a no":
        Ready, Everywhere, peers::who_may;
    "2.04" r2_04_connections_of_one_client "a client has as many connections as its rule says":
        Ready, Everywhere, peers::connections_of_one_client;
    "2.06" r2_06_network_storage "a storage device on the list relays, off the list not":
        Ready, Everywhere, rights::network_storage;
    "2.06" r2_06_network_storage_inside_only "the device may write to the inside only":
        Ready, Everywhere, peers::storage_inside_only;
    "2.10" r2_10_starts_by_itself "power on, 220, nobody at the console":
        Ready, Everywhere, everyday::starts_by_itself;
    "2.10" r2_10_test_client "the console's test client tells what a server says":
        Ready, Everywhere, everyday::test_client;
    "2.11" r2_11_internal_or_any "internal only and any are different rights":
        Ready, Everywhere, peers::internal_or_any;
    "3.02" r3_02_burst_of_a_thousand "1,000 mails at five a second: in order, none lost":
        Ready, Simulator("hours pass"), applications::burst_of_a_thousand;
    "3.03" r3_03_changed_route_moves_the_queue "a changed route moves what waits":
        Ready, Simulator("hours pass"), routes::changed_route_moves_the_queue;
    "3.04" r3_04_sender_domains "an application sends as its own domain only":
        Ready, Everywhere, peers::sender_domains;
    "3.05" r3_05_call_backs "senders are verified, call-backs answered":
        Ready, Everywhere, peers::call_backs;
    "3.08" r3_08_throttled "throttling slows us down, nobody is hammered":
        Ready, Simulator("hours pass"), with_exchange::throttled;
    "3.10" r3_10_local_actions "forward, discard, reject, reply once":
        Ready, Everywhere, peers::local_actions;
    "4.07" r4_07_trusted_by_interface "trusted on one interface, nobody on the other":
        Ready, Everywhere, peers::trusted_by_interface;
    "4.08" r4_08_one_address_one_client "one listener, one client":
        Ready, Everywhere, peers::one_address_one_client;
    "4.09" r4_09_several_smart_hosts "fail-over, recovery, equal shares":
        Ready, Simulator("hours pass"), routes::several_smart_hosts;
    "4.10" r4_10_address_spaces "exact, parent, star; cost decides":
        Ready, Everywhere, routes::address_spaces;
    "4.11" r4_11_peer_group "several Exchange servers are one group":
        Ready, Everywhere, peers::one_group;
    "4.12" r4_12_rights_per_peer "any recipient, internal only, keep headers: each by itself":
        Ready, Everywhere, peers::rights_one_by_one;
    "4.13" r4_13_factory_state "a new appliance relays for nobody":
        Ready, Everywhere, rights::factory_state;
    "4.14" r4_14_two_interfaces "rules per interface":
        Ready, Everywhere, peers::two_interfaces;
    "trap-1" t1_own_mx_in_either_order "own MX removed in either order, the RFC's rule for others":
        Ready, Everywhere, discovery::foreign_domain_by_the_rfc;
    "trap-2" t2_many_own_names "every own name counts":
        Ready, Everywhere, discovery::twenty_six_domains;
    "trap-4" t4_null_sender_has_its_route "reports leave by their own route":
        Ready, Everywhere, with_exchange::null_sender_has_its_route;
    "trap-8" t8_signed_parts_stay "what somebody signed is not touched":
        Ready, Everywhere, everyday::signed_parts_stay;
}

/// The scenario of that name, or the only one whose name begins with it or whose row it is.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    let exact = ALL.iter().find(|scenario| scenario.name == name || scenario.row == name);
    exact.or_else(|| ALL.iter().find(|scenario| scenario.name.starts_with(name)))
}
