//! The malformed sessions over TCP against the server machine alone: so it is known that list and runner are right
//! before they judge the appliance.

use envelope::QueueId;
use harness::misbehave;
use smtp::server::{Config, Event, Server};
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Duration,
};

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut server = Server::new(Config::new("mx.example.com".into(), 26_214_400));
    let mut buffer = vec![0; 4_096];
    let (mut start, mut end) = (0, 0);
    loop {
        loop {
            let (taken, event) = server.receive(&buffer[start..end]);
            start += taken;
            let asked = event.is_some();
            match event {
                Some(
                    Event::Mail { question, .. }
                    | Event::Rcpt { question, .. }
                    | Event::DataStart { question, .. },
                ) => server.accept(question),
                Some(Event::DataEnd { question, .. }) => server.accept_message(question, QueueId(1)),
                _ => {}
            }
            if !asked && taken == 0 {
                break;
            }
        }
        let wrote = !server.transmit().is_empty();
        stream.write_all(server.transmit())?;
        server.transmitted(server.transmit().len());
        if server.is_closed() {
            // As TCP wants it: our end first, then what the peer still sends is swallowed.
            stream.shutdown(std::net::Shutdown::Write)?;
            while stream.read(&mut buffer)? > 0 {}
            return Ok(());
        }
        if wrote && start < end {
            continue;
        }
        buffer.copy_within(start..end, 0);
        (start, end) = (0, end - start);
        match stream.read(&mut buffer[end..])? {
            0 => return Ok(()),
            count => end += count,
        }
    }
}

#[test]
fn every_malformed_session_runs_as_it_is_written_down() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    let mut vanished = Vec::new();
    // The machine does not look into headers.
    let mut sessions = malformed::sessions();
    sessions.retain(|session| !session.name.ends_with("_in_the_header"));
    for session in sessions {
        match misbehave::run(&session, address, Duration::from_secs(20)) {
            Ok(client) => vanished.extend(client),
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(vanished.len() >= 2);
}
