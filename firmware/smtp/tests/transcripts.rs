//! What server and client say, as files under `tests/transcripts`: a change of a word is a difference that somebody sees.
//!
//! `S:` and `C:` are the lines of server and client; `C>` are octets of the client as they are, with `\r`, `\n`, `\0` and
//! `\xNN` for what cannot be seen, and without a line end of their own. In `server-*.txt` the `C` lines are played to the
//! server machine and its answers must be the `S` lines; in `client-*.txt` it is the other way round. `BLESS=1` writes the
//! answers into the files.
#![allow(clippy::unwrap_used, missing_docs)]

use envelope::{Body, EnhancedStatus, Mailbox, QueueId, RecipientParameters, ReversePath, SenderParameters};
use smtp::Reply;
use smtp::client::{Client, Event as Told, Transaction, Utf8};
use smtp::server::{Config, Event, Server};
use std::fs;
use std::path::{Path, PathBuf};

fn files(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.file_name().unwrap().to_string_lossy().starts_with(kind));
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Compares what was said with the file, or writes it there.
fn judge(file: &Path, transcript: &str) {
    let written = fs::read_to_string(file).unwrap();
    if std::env::var_os("BLESS").is_some() {
        fs::write(file, transcript).unwrap();
    } else {
        assert!(written == transcript, "{}: BLESS=1 writes this:\n{transcript}", file.display());
    }
}

/// Octets with escapes for what cannot be seen.
fn unescaped(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next().unwrap() {
                'r' => octets.push(b'\r'),
                'n' => octets.push(b'\n'),
                '0' => octets.push(0),
                'x' => {
                    let digits: String = chars.by_ref().take(2).collect();
                    octets.push(u8::from_str_radix(&digits, 16).unwrap());
                }
                other => panic!("no escape: {other}"),
            },
            c => octets.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    octets
}

fn escaped(octets: &[u8]) -> String {
    let escape = |octet: &u8| match octet {
        b'\r' => "\\r".into(),
        b'\n' => "\\n".into(),
        0 => "\\0".into(),
        b' '..=b'~' => char::from(*octet).to_string(),
        octet => format!("\\x{octet:02X}"),
    };
    octets.iter().map(escape).collect()
}

/// What the server says to these octets; recipients at `denied.example` are not taken.
fn serve(server: &mut Server, mut octets: &[u8]) -> String {
    let mut said = Vec::new();
    loop {
        let (taken, event) = server.receive(octets);
        octets = &octets[taken..];
        let nothing = event.is_none() && taken == 0;
        match event {
            Some(Event::Rcpt { question, recipient, .. }) if recipient.domain() == "denied.example" => {
                server.refuse(question, &Server::relay_denied());
            }
            Some(
                Event::Mail { question, .. }
                | Event::Rcpt { question, .. }
                | Event::DataStart { question, .. },
            ) => server.accept(question),
            Some(Event::DataEnd { question, size: 0 }) => {
                server.refuse(question, &Reply::new(554, EnhancedStatus(5, 6, 0), "Nothing came"));
            }
            Some(Event::DataEnd { question, .. }) => server.accept_message(question, QueueId(31)),
            _ => {}
        }
        if nothing && server.transmit().is_empty() {
            return String::from_utf8(said).unwrap();
        }
        said.extend_from_slice(server.transmit());
        server.transmitted(server.transmit().len());
    }
}

#[test]
fn the_server_says_what_is_written_down() {
    for file in files("server-") {
        let mut server = Server::new(Config::new("mx.example.com".into(), 26_214_400));
        let mut transcript = String::new();
        let mut answer = |transcript: &mut String, octets: &[u8]| {
            for line in serve(&mut server, octets).lines() {
                transcript.push_str(&format!("S: {line}\n"));
            }
        };
        let written = fs::read_to_string(&file).unwrap();
        // Lines without an answer between them go in one segment.
        let mut pending = Vec::new();
        let mut begun = false;
        for line in written.lines() {
            if line.starts_with('#') || line.is_empty() {
                transcript.push_str(&format!("{line}\n"));
                continue;
            }
            if !begun {
                begun = true;
                answer(&mut transcript, b"");
            }
            if line.starts_with("S:") {
                answer(&mut transcript, &core::mem::take(&mut pending));
                continue;
            }
            transcript.push_str(&format!("{line}\n"));
            match line.split_at(2) {
                ("C>", octets) => pending.extend(unescaped(octets.strip_prefix(' ').unwrap())),
                ("C:", text) => {
                    pending.extend_from_slice(text.strip_prefix(' ').unwrap_or_default().as_bytes());
                    pending.extend_from_slice(b"\r\n");
                }
                other => panic!("{}: {other:?}", file.display()),
            }
            // The first run of a new file has no answers: each line is a segment.
            if std::env::var_os("BLESS").is_some() {
                answer(&mut transcript, &core::mem::take(&mut pending));
            }
        }
        answer(&mut transcript, &pending);
        judge(&file, &transcript);
    }
}

/// The letter that the client hands in; the first line of its file says how.
fn transaction(task: &str, content: &[u8]) -> (Transaction, Vec<Mailbox>) {
    let mut words = task.split_whitespace();
    assert_eq!(words.next(), Some("#"));
    let sender = ReversePath::parse(words.next().unwrap()).unwrap();
    let (mut body, mut utf8, mut to) = (Body::SevenBit, Utf8::No, Vec::new());
    for word in words {
        match word {
            "binary" => body = Body::BinaryMime,
            "8bit" => body = Body::EightBitMime,
            "utf8" => utf8 = Utf8::Offered,
            mailbox => to.push(Mailbox::parse(mailbox).unwrap()),
        }
    }
    let size = content.len() as u64;
    (Transaction { sender, size, body, utf8, dsn: SenderParameters::default() }, to)
}

#[test]
fn the_client_says_what_is_written_down() {
    for file in files("client-") {
        let written = fs::read_to_string(&file).unwrap();
        let task = written.lines().next().unwrap();
        let binary = task.split_whitespace().any(|word| word == "binary");
        let content: &[u8] =
            if binary { b"Subject: x\r\n\r\na\nb\rc\0\xFF" } else { b"Subject: x\r\n\r\n.dot\r\n" };
        let (transaction, to) = transaction(task, content);
        let mut client = Client::new("gate.example.com".into());
        let mut transcript = format!("{task}\n");
        let (mut handed, mut done) = (0, false);
        for line in written.lines().skip(1).filter(|line| line.starts_with("S:")) {
            transcript.push_str(&format!("{line}\n"));
            let reply = line[2..].strip_prefix(' ').unwrap_or_default().to_owned() + "\r\n";
            let mut rest = reply.as_bytes();
            loop {
                let (taken, event) = client.receive(rest);
                rest = &rest[taken..];
                match event {
                    None if taken > 0 => {}
                    None => break,
                    Some(Told::Ready) if done => client.quit(),
                    Some(Told::Ready) => {
                        done = true;
                        if let Err(error) = client.begin(&transaction) {
                            transcript.push_str(&format!("# not begun: {error:?}\n"));
                            client.quit();
                        }
                    }
                    Some(Told::WantRecipient(question)) => {
                        match to.get(handed) {
                            Some(to) => {
                                if !client.recipient(question, to, &RecipientParameters::default()) {
                                    transcript.push_str("# a recipient is not asked for\n");
                                }
                            }
                            None => client.no_more_recipients(question),
                        }
                        handed += 1;
                    }
                    Some(Told::WantContent) => {
                        said(&mut client, &mut transcript);
                        let mut content = content;
                        let mut sent = Vec::new();
                        while !content.is_empty() {
                            let piece = client.content(content).unwrap();
                            sent.extend_from_slice(piece.send);
                            content = &content[piece.taken..];
                        }
                        transcript.push_str(&format!("C> {}\n", escaped(&sent)));
                        client.content_end().unwrap();
                    }
                    Some(Told::Message(outcome)) => transcript.push_str(&format!("# {outcome:?}\n")),
                    Some(Told::Closed(end)) => transcript.push_str(&format!("# {end:?}\n")),
                    Some(Told::Recipient { .. }) => {}
                }
            }
            said(&mut client, &mut transcript);
        }
        judge(&file, &transcript);
    }
}

fn said(client: &mut Client, transcript: &mut String) {
    for line in core::str::from_utf8(client.transmit()).unwrap().lines() {
        transcript.push_str(&format!("C: {line}\n"));
    }
    client.transmitted(client.transmit().len());
}
