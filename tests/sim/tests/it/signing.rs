//! Signing with a real TPM (swtpm), judged by OpenSSL.

use crate::{letter, tag, without_trace};
use harness::ca::{Ca, Use};
use harness::message::{Kind, message};
use harness::process::ScratchDir;
use harness::rng::Rng;
use harness::verify;
use sim::gateway::Gateway;
use sim::tpm::TpmChip;
use sim::world::{World, story};

/// An appliance with a TPM, and the authority that certifies its identities.
struct Signer {
    gateway: Gateway,
    ca: Ca,
    _folder: ScratchDir,
}

impl Signer {
    async fn new(world: &World) -> Self {
        let folder = ScratchDir::new().expect("temporary folder");
        let ca = Ca::new(&folder.path().join("ca")).expect("openssl");
        let mut gateway = Gateway::new(world);
        gateway.tpm = Some(TpmChip::new());
        // Certificates of the authority are valid from now on, whatever time the world's clock takes.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        gateway.clock.set(Some(now.as_secs() + 3_600));
        gateway.configure_default().await;
        assert!(gateway.boot().await);
        Self { gateway, ca, _folder: folder }
    }

    /// Generates an identity at the console; the key is in the TPM. Returns its number.
    async fn generate(&self, kind: &str, serves: &str) -> u32 {
        let shown = self.gateway.console(&format!("identity generate {kind} {serves}")).await;
        let number = shown.split("Identity ").nth(1).and_then(|rest| rest.split(' ').next());
        number.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no identity: {shown}"))
    }

    /// Has its request certified and imports the chain.
    async fn certify(&mut self, id: u32) {
        let request = self.gateway.console(&format!("identity csr {id}")).await;
        let begin = request.find("-----BEGIN").unwrap_or_else(|| panic!("no request: {request}"));
        let end = request.rfind("-----").expect("ends") + 5;
        let chain = self.ca.issue(&request[begin..end], Use::Mail, 30).expect("certified");
        let shown = self.gateway.console_paste(&format!("identity import {id}"), &chain).await;
        assert!(shown.contains("2 certificates taken"), "{shown}");
    }

    async fn identity(&mut self, kind: &str, serves: &str) -> u32 {
        let id = self.generate(kind, serves).await;
        self.certify(id).await;
        id
    }
}

#[test]
fn mail_of_authors_with_identities_leaves_signed_and_openssl_verifies_it() {
    story(|world| async move {
        let sink = world.next_hop();
        let mut signer = Signer::new(&world).await;
        signer.identity("rsa", "ann@a.example").await;
        signer.identity("p256", "eve@a.example").await;
        let mut rng = Rng::new(world.seed);
        let mut sent = Vec::new();
        let mut client = world.client().await;
        for sender in ["ann@a.example", "eve@a.example"] {
            for kind in [Kind::Plain, Kind::Utf8, Kind::Attachment, Kind::Sized(200_000)] {
                let name = format!("{kind:?}-{sender}").replace(['(', ')', '@'], "-");
                let one = message(kind, &name, sender, "bob@b.example", &mut rng);
                let reply = client.send(sender, &["bob@b.example"], &one.content).await.expect("open");
                reply.expect(250, "");
                sent.push(one);
            }
        }
        assert!(world.wait_until(300, || sink.count() == sent.len()).await, "{} came", sink.count());
        assert_eq!(signer.gateway.count("signed"), sent.len() as u64);
        for one in &sent {
            let received = sink.received();
            let received = received
                .iter()
                .find(|r| r.header("Message-ID").as_deref() == Some(&one.id))
                .unwrap_or_else(|| panic!("{} did not come", one.id));
            verify::judge(&one.content, &one.sender, &received.content, &signer.ca.root())
                .unwrap_or_else(|error| panic!("{}: {error:#}", one.id));
        }
        assert_eq!(sink.violations(), Vec::<String>::new());
    });
}

#[test]
fn mail_that_came_in_chunks_with_lone_line_ends_and_binary_parts_is_signed_so_that_openssl_verifies_it() {
    story(|world| async move {
        let sink = world.next_hop();
        let mut signer = Signer::new(&world).await;
        signer.identity("p256", "ann@a.example").await;
        let head = "From: Ann <ann@a.example>\nTo: bob@b.example\nMIME-Version: 1.0\n";
        let binary: Vec<u8> = (0..=255).cycle().take(5_000).collect();
        let letters = [
            format!("{head}Subject: lone\n\nline one\n.\nFrom here \n\rline\r\r\nend").into_bytes(),
            format!("{head}Subject: utf\nContent-Type: text/plain; charset=utf-8\n\nGr\u{fc}\u{df}e\n").into_bytes(),
            [
                head.replace('\n', "\r\n").as_bytes(),
                b"Subject: binary\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n--b\r\n\r\ntext\n\
                --b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n",
                &binary,
                b"\r\n--b--\r\n",
            ]
            .concat(),
        ];
        let mut client = world.client().await;
        for (letter, most) in letters.iter().zip([1, 50, 1_000]) {
            let to = ["<bob@b.example>"];
            let reply = client.send_chunks("<ann@a.example> BODY=BINARYMIME", &to, letter, most).await;
            reply.expect("open").expect(250, "Queued");
        }
        assert!(world.wait_until(300, || sink.count() == letters.len()).await, "{} came", sink.count());
        for received in sink.received() {
            let name = tag(&received);
            let verified = verify::verify(&received.content, &signer.ca.root());
            let entity = verified.unwrap_or_else(|error| panic!("{name}: {error:#}")).entity;
            if name == "binary" {
                let leaves = harness::mime::leaves(&entity).expect("a multipart");
                assert_eq!(leaves[1].octets, binary);
            }
        }
        assert_eq!(sink.violations(), Vec::<String>::new());
    });
}

#[test]
fn mail_without_identity_is_held_until_there_is_one() {
    story(|world| async move {
        let sink = world.next_hop();
        let mut signer = Signer::new(&world).await;
        let sent = letter("held");
        let mut client = world.client().await;
        client.send("ann@a.example", &["bob@b.example"], &sent).await.expect("open").expect(250, "");
        world.sleep_ms(60_000).await;
        let queue = signer.gateway.console("queue").await;
        assert!(queue.contains("held") && queue.contains("no identity for the author"), "{queue}");
        // Half of an identity is none.
        let id = signer.generate("p256", "@a.example").await;
        signer.gateway.console("queue release all").await;
        world.sleep_ms(60_000).await;
        let queue = signer.gateway.console("queue").await;
        assert!(queue.contains("cannot sign: no "), "{queue}");
        assert_eq!(sink.count(), 0);
        signer.certify(id).await;
        signer.gateway.console("queue release all").await;
        assert!(world.wait_until(60, || sink.count() == 1).await);
        verify::verify(&sink.received()[0].content, &signer.ca.root()).expect("verifies");
    });
}

#[test]
fn what_is_signed_or_encrypted_already_passes_octet_for_octet() {
    story(|world| async move {
        let sink = world.next_hop();
        let mut signer = Signer::new(&world).await;
        signer.identity("p256", "ann@a.example").await;
        let head = "From: ann@a.example\r\nTo: bob@b.example\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n\
                    Message-ID: <x@a.example>\r\nMIME-Version: 1.0\r\n";
        let signed = format!(
            "{head}Subject: signed\r\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\r\n\
             \tmicalg=sha-256; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\ntrailing space \r\n\
             --b\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\n\
             Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n"
        );
        let encrypted = format!(
            "{head}Subject: encrypted\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data;\r\n\
             \tname=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n"
        );
        let mut client = world.client().await;
        for content in [&signed, &encrypted] {
            let reply =
                client.send("ann@a.example", &["bob@b.example"], content.as_bytes()).await.expect("open");
            reply.expect(250, "");
        }
        assert!(world.wait_until(60, || sink.count() == 2).await);
        let mut received = sink.received();
        received.sort_by_key(tag);
        assert_eq!(without_trace(&received[0]), encrypted.as_bytes());
        assert_eq!(without_trace(&received[1]), signed.as_bytes());
        assert_eq!(signer.gateway.count("passed"), 2);
    });
}

#[test]
fn mail_waits_unsigned_for_nobody_while_the_tpm_is_silent() {
    story(|world| async move {
        let sink = world.next_hop();
        let mut signer = Signer::new(&world).await;
        signer.identity("p256", "ann@a.example").await;
        // Even where unsigned mail may pass, mail that would be signed waits.
        signer.gateway.console("set without-identity pass").await;
        signer.gateway.console("save").await;
        let tpm = signer.gateway.tpm.clone().expect("there is one");
        tpm.set_answering(false);
        let mut client = world.client().await;
        client.send("ann@a.example", &["bob@b.example"], &letter("one")).await.expect("open").expect(250, "");
        client.send("zoe@z.example", &["bob@b.example"], &from_zoe()).await.expect("open").expect(250, "");
        world.sleep_ms(3_600_000).await;
        assert_eq!(sink.received().iter().map(tag).collect::<Vec<_>>(), ["zoe"]);
        let queue = signer.gateway.console("queue").await;
        assert!(queue.contains("TPM"), "{queue}");
        tpm.set_answering(true);
        assert!(world.wait_until(60, || sink.count() == 2).await);
        verify::verify(&sink.received()[1].content, &signer.ca.root()).expect("verifies");
    });
}

fn from_zoe() -> Vec<u8> {
    b"From: zoe@z.example\r\nSubject: zoe\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <z@z.example>\r\n\
      \r\nhi\r\n"
        .to_vec()
}

#[test]
fn identities_survive_a_restart_and_another_tpm_is_noticed() {
    story(|world| async move {
        let sink = world.next_hop();
        let mut signer = Signer::new(&world).await;
        signer.identity("rsa", "ann@a.example").await;
        assert!(signer.gateway.boot().await);
        let mut client = world.client().await;
        client.send("ann@a.example", &["bob@b.example"], &letter("one")).await.expect("open").expect(250, "");
        assert!(world.wait_until(60, || sink.count() == 1).await);
        verify::verify(&sink.received()[0].content, &signer.ca.root()).expect("verifies");
        signer.gateway.tpm = Some(TpmChip::new());
        assert!(signer.gateway.boot().await);
        let mut client = world.client().await;
        client.send("ann@a.example", &["bob@b.example"], &letter("two")).await.expect("open").expect(250, "");
        world.sleep_ms(120_000).await;
        assert_eq!(sink.count(), 1, "signed with what?");
        let queue = signer.gateway.console("queue").await;
        assert!(queue.contains("held") && queue.contains("cannot sign: oth"), "{queue}");
    });
}

#[test]
fn retries_send_the_same_octets() {
    story(|world| async move {
        let sink = world.next_hop();
        let mut signer = Signer::new(&world).await;
        signer.identity("p256", "ann@a.example").await;
        sink.behave(|b| b.drop_after_content = true);
        let mut client = world.client().await;
        client.send("ann@a.example", &["bob@b.example"], &letter("one")).await.expect("open").expect(250, "");
        assert!(world.wait_until(60, || sink.count() == 1).await);
        assert!(signer.gateway.boot().await);
        sink.behave(|b| b.drop_after_content = false);
        assert!(world.wait_until(300, || signer.gateway.queue_is_empty()).await);
        let received = sink.received();
        assert_eq!(received.len(), 2);
        assert_eq!(received[0].content, received[1].content);
        verify::verify(&received[1].content, &signer.ca.root()).expect("verifies");
    });
}
