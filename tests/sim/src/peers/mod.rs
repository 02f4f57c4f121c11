//! The mail programs around the appliance: a client that sends, a server that receives.
//!
//! Both are written against the standard, not against the appliance's own machines, so that a misreading there
//! does not cancel itself out here.

mod client;
mod sink;

pub use client::{Client, Reply, dot_stuffed};
pub use sink::{Behaviour, Received, Sink};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Executor;
    use crate::network::Network;
    use std::net::{IpAddr, SocketAddr};

    #[test]
    fn client_and_sink_understand_each_other() {
        let executor = Executor::new(3);
        let network = Network::new(&executor, 3);
        let hop = SocketAddr::new(IpAddr::from([10, 0, 0, 2]), 25);
        let sink = Sink::start(&executor, &network, hop);
        sink.behave(|b| b.recipients.push(("no@b.example".into(), "550 5.1.1 unknown".into())));
        let content = b"Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n";
        executor.block_on(async move {
            let mut client = Client::connect(&network, IpAddr::from([10, 0, 0, 1]), hop).await;
            client.greet().await.expect(250, "PIPELINING");
            client.send("a@a.example", &["b@b.example"], content).await.expect("open").expect(250, "taken");
            client.send("a@a.example", &["no@b.example"], content).await.expect("open").expect(550, "5.1.1");
            client.quit().await;
        });
        let received = sink.received();
        assert_eq!((received.len(), &received[0].content[..]), (1, &content[..]));
        assert_eq!(received[0].header("subject").as_deref(), Some("x"));
        assert_eq!(sink.violations(), Vec::<String>::new());
    }
}
