//! What the tasks cost in memory.

use crate::passing_gateway;
use platform::Origin;
use sim::gateway::{CLIENT, Gateway};
use sim::interfaces::Interfaces;
use sim::machine::SimConnector;
use sim::network::Conditions;
use sim::world::story;
use std::net::IpAddr;

/// Octets that the future of one inbound session may take. There are 64 of them in static memory; pointers on this
/// machine are twice as long as on the appliance's.
const SESSION_BYTES_MAX: usize = 1_024;
/// Octets that the future of one delivery may take.
const DELIVERY_BYTES_MAX: usize = 2_048;
/// Octets that the future of one decision may take.
const DECISION_BYTES_MAX: usize = 512;

#[test]
fn the_futures_of_sessions_are_small() {
    story(|world| async move {
        world.network.set_conditions(Conditions::default());
        let gateway = passing_gateway(&world).await;
        let appliance = gateway.appliance();
        let from = IpAddr::from(CLIENT);
        let mut stream = world.network.connect(from, Gateway::address()).await.expect("it listens");
        let origin = Origin::new(from, stream.remote, 1);
        let session = size_of_val(&relay::intake::session(&appliance, &mut stream, origin));
        let mut connector =
            SimConnector { network: world.network.clone(), interfaces: Interfaces::default() };
        let delivery = size_of_val(&relay::delivery::worker(&appliance, &mut connector));
        let decision = size_of_val(&relay::decide::worker(&appliance));
        println!("session {session}, delivery {delivery}, decision {decision} octets");
        assert!(session <= SESSION_BYTES_MAX, "{session}");
        assert!(delivery <= DELIVERY_BYTES_MAX, "{delivery}");
        assert!(decision <= DECISION_BYTES_MAX, "{decision}");
    });
}
