//! Real mail servers on this machine that also send: Postfix, Exim and OpenSMTPD, each with a configuration, queue and
//! mailbox of its own, on a loopback port. What comes for [`crate::receiver::DOMAIN`] is kept, everything else goes to a
//! relay on another loopback port.
//!
//! Debian's packages of the three exclude each other, so Exim and OpenSMTPD are unpacked, not installed; `cargo xtask
//! setup` does that. They insist on their paths below `/usr`, `/etc` and `/var` and on users of their own: they get all
//! that in a mount namespace in which these folders are laid over the system's. Nothing outside changes, nothing is
//! started as a service. It takes root, because they change users: a user namespace of an ordinary user has one user.

use crate::{
    process::{ScratchDir, Supervised, free_port},
    receiver::{DOMAIN, Receiver, maildir, wait_for_greeting},
};
use anyhow::Result;
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Postfix, as installed.
    Postfix,
    /// Exim, unpacked.
    Exim,
    /// OpenSMTPD, unpacked.
    OpenSmtpd,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    port: u16,
    mail: Mail,
    // The server ends before its folder goes.
    _process: Option<Supervised>,
    _scratch: Option<ScratchDir>,
}

/// Where its mail is.
#[derive(Debug)]
enum Mail {
    Postfix(Receiver),
    Folder(PathBuf),
}

/// Users of the unpacked servers in their namespace; the numbers are nobody's here.
const USERS: [(&str, u32); 3] = [("opensmtpd", 61_501), ("opensmtpq", 61_502), ("Debian-exim", 61_503)];

/// Lays the unpacked files and the scratch folder over the system's, in a mount namespace, and becomes the server.
const ENTER: &str = r#"
root=$1; scratch=$2; shift 2
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$root/usr:/usr" /usr
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$scratch/etc,workdir=$scratch/work" /etc
cat "$scratch/users" >>/etc/passwd
cat "$scratch/groups" >>/etc/group
mount --bind "$scratch/var" /var
mount --bind "$scratch/run" /run
exec "$@"
"#;

/// Where `cargo xtask setup` unpacks Exim and OpenSMTPD.
#[must_use]
pub fn unpacked() -> PathBuf {
    crate::workspace().join("target/peers/root")
}

/// Why a server cannot run here, if it cannot.
#[must_use]
pub fn missing(kind: Kind) -> Option<&'static str> {
    let program = match kind {
        Kind::Postfix => PathBuf::from("/usr/lib/postfix/sbin/master"),
        Kind::Exim => unpacked().join("usr/sbin/exim4"),
        Kind::OpenSmtpd => unpacked().join("usr/sbin/smtpd"),
    };
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root to change users");
    }
    (!program.exists()).then_some("`cargo xtask setup` brings it")
}

impl Server {
    /// Starts a server; mail for others than [`DOMAIN`] goes to the port `relay` of the loopback interface.
    ///
    /// # Errors
    /// When it is missing or does not come up; carries what it said.
    pub fn start(kind: Kind, folder: &Path, relay: u16) -> Result<Self> {
        if let Some(why) = missing(kind) {
            anyhow::bail!("{kind:?}: {why}");
        }
        if kind == Kind::Postfix {
            let receiver = Receiver::start_with_relay(folder, relay)?;
            return Ok(Self {
                port: receiver.port(),
                mail: Mail::Postfix(receiver),
                _process: None,
                _scratch: None,
            });
        }
        let scratch = ScratchDir::new()?;
        let at = scratch.path();
        fs::set_permissions(at, fs::Permissions::from_mode(0o755))?;
        let folders =
            ["etc/exim4", "work", "run", "var/run", "var/log/exim4", "var/spool/exim4", "var/inbox"];
        for name in folders.into_iter().chain(["var/lib/opensmtpd/empty", "var/tmp", "var/empty"]) {
            fs::create_dir_all(at.join(name))?;
        }
        let line = |(name, id): &(&str, u32)| format!("{name}:x:{id}:{id}::/var/empty:/usr/sbin/nologin\n");
        fs::write(at.join("users"), USERS.iter().map(line).collect::<String>())?;
        let line = |(name, id): &(&str, u32)| format!("{name}:x:{id}:\n");
        fs::write(at.join("groups"), USERS.iter().map(line).collect::<String>())?;
        let port = free_port()?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", ENTER, "enter"]).arg(unpacked()).arg(at);
        match kind {
            Kind::Exim => {
                let exim = USERS[2].1;
                for name in ["var/log/exim4", "var/spool/exim4", "var/inbox"] {
                    chown(at.join(name), Some(exim), Some(exim))?;
                }
                fs::write(at.join("etc/exim4/exim4.conf"), exim_configuration(port, relay))?;
                command.args(["exim4", "-bdf", "-q5s", "-oP", "/run/exim.pid"]);
            }
            _ => {
                chown(at.join("var/inbox"), Some(65_534), Some(65_534))?;
                fs::write(at.join("etc/smtpd.conf"), opensmtpd_configuration(port, relay))?;
                command.args(["smtpd", "-d", "-f", "/etc/smtpd.conf"]);
            }
        }
        let log = at.join("said");
        let said = fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let process = Supervised::start("mail server", &mut command)?;
        wait_for_greeting(port, &[&log, &at.join("var/log/exim4/paniclog")])?;
        let mail = Mail::Folder(at.join("var/inbox/new"));
        Ok(Self { port, mail, _process: Some(process), _scratch: Some(scratch) })
    }

    /// The port of the loopback interface that it listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Everything that it has kept, with CRLF line ends; its own fields stand on top.
    ///
    /// # Errors
    /// When its mailbox cannot be read.
    pub fn messages(&self) -> Result<Vec<Vec<u8>>> {
        match &self.mail {
            Mail::Postfix(receiver) => receiver.messages(),
            Mail::Folder(folder) => maildir(folder, b""),
        }
    }
}

fn exim_configuration(port: u16, relay: u16) -> String {
    format!(
        "primary_hostname = exim.{DOMAIN}\nspool_directory = /var/spool/exim4\n\
         log_file_path = /var/log/exim4/%slog\nlocal_interfaces = 127.0.0.1\ndaemon_smtp_ports = {port}\n\
         disable_ipv6 = true\nhost_lookup =\nrfc1413_query_timeout = 0s\naccept_8bitmime = true\n\
         smtp_accept_max = 100\nsmtp_accept_queue_per_connection = 0\nqueue_run_max = 5\n\
         tls_advertise_hosts =\nacl_smtp_rcpt = accept\nacl_smtp_data = accept\n\
         begin routers\n\
         inbox:\n  driver = accept\n  domains = {DOMAIN}\n  transport = inbox\n\
         out:\n  driver = manualroute\n  route_list = * 127.0.0.1::{relay} byname\n  self = send\n  transport = out\n\
         begin transports\n\
         inbox:\n  driver = appendfile\n  directory = /var/inbox\n  maildir_format\n  user = Debian-exim\n\
         out:\n  driver = smtp\n  allow_localhost\n  max_rcpt = 100\n\
         begin retry\n* * F,1h,2s\nbegin rewrite\n"
    )
}

fn opensmtpd_configuration(port: u16, relay: u16) -> String {
    format!(
        "queue ttl 1h\nsmtp max-message-size 50M\ntable everybody {{ \"@\" = \"nobody\" }}\n\
         listen on 127.0.0.1 port {port} hostname opensmtpd.{DOMAIN}\n\
         action \"in\" maildir \"/var/inbox\" virtual <everybody>\n\
         action \"out\" relay host smtp://127.0.0.1:{relay} helo opensmtpd.{DOMAIN}\n\
         match from any for domain \"{DOMAIN}\" action \"in\"\nmatch from any for any action \"out\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp_client::SmtpClient;
    use std::{
        net::SocketAddr,
        time::{Duration, Instant},
    };

    fn keeps_what_it_took(kind: Kind) {
        if let Some(why) = missing(kind) {
            println!("{kind:?} is not tried: {why}");
            return;
        }
        let scratch = ScratchDir::new().expect("temporary folder");
        let server = Server::start(kind, &scratch.path().join("mx"), 9).expect("it comes up");
        let patience = Duration::from_secs(30);
        let address = SocketAddr::from(([127, 0, 0, 1], server.port()));
        let mut client = SmtpClient::connect_when_ready(address, patience, patience).expect("greets");
        client.hello().expect("EHLO");
        let content = b"From: <a@example.org>\r\nDate: Sun, 22 Nov 2026 14:30:45 +0000\r\n\
                        Message-ID: <1@example.org>\r\nSubject: x\r\n\r\n.dot\r\nlast\r\n";
        let reply = client.submit_in_steps("a@example.org", &format!("b@{DOMAIN}"), content).expect("reply");
        assert_eq!(reply.code, 250);
        let deadline = Instant::now() + patience;
        while !server.messages().expect("readable").iter().any(|message| message.ends_with(content)) {
            assert!(Instant::now() < deadline, "it did not arrive: {:?}", server.messages());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[test]
    fn exim_keeps_what_it_took() {
        keeps_what_it_took(Kind::Exim);
    }

    #[test]
    fn opensmtpd_keeps_what_it_took() {
        keeps_what_it_took(Kind::OpenSmtpd);
    }

    #[test]
    fn postfix_that_relays_keeps_what_it_took() {
        keeps_what_it_took(Kind::Postfix);
    }
}
