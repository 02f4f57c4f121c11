//! A real mail server on this machine that receives: Postfix with a configuration and queue of its own where we are
//! root, otherwise `smtp-sink`, which comes with it.
//!
//! Neither touches the system: no file outside the given folder (or a temporary one), no service, a loopback port.

use crate::process::{ScratchDir, Supervised, free_port};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The domain whose mail it takes, for any local part.
pub const DOMAIN: &str = "example.net";

/// How long the server may take to greet.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running mail server.
#[derive(Debug)]
pub struct Receiver {
    // Ends before its folder goes.
    _process: Supervised,
    port: u16,
    mail: PathBuf,
    description: String,
    /// Whether it puts an empty line behind each message that it stores.
    adds_line: bool,
    _scratch: Option<ScratchDir>,
}

impl Receiver {
    /// Starts Postfix if we are root and it is installed, `smtp-sink` otherwise. Its files go to `folder`, which is
    /// emptied; to a temporary folder if Postfix's own user could not reach them there.
    ///
    /// # Errors
    /// When neither is installed, or it does not come up; carries its log.
    pub fn start(folder: &Path) -> Result<Self> {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let master = Path::new("/usr/lib/postfix/sbin/master");
        if rustix::process::geteuid().is_root() && master.exists() {
            start_postfix(master, &folder, None)
        } else {
            start_smtp_sink(&folder)
        }
    }

    /// As [`Receiver::start`], Postfix only; what is for others than [`DOMAIN`] goes to the port `relay` of the loopback
    /// interface.
    ///
    /// # Errors
    /// When it does not come up; carries its log.
    pub fn start_with_relay(folder: &Path, relay: u16) -> Result<Self> {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder)?;
        start_postfix(Path::new("/usr/lib/postfix/sbin/master"), &folder.canonicalize()?, Some(relay))
    }

    /// The port of the loopback interface that it listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What it is, for people.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Everything that has arrived, with CRLF line ends as on the wire; the server's own fields stand on top.
    ///
    /// # Errors
    /// When its mailbox cannot be read.
    pub fn messages(&self) -> Result<Vec<Vec<u8>>> {
        let added: &[u8] = if self.adds_line { b"\n" } else { b"" };
        maildir(&self.mail, added)
    }
}

/// All messages of a folder, in the order of their names, with CRLF line ends; `added` is what the server puts behind each.
pub(crate) fn maildir(folder: &Path, added: &[u8]) -> Result<Vec<Vec<u8>>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let stored = fs::read(path)?;
        Ok(with_crlf(stored.strip_suffix(added).unwrap_or(&stored)))
    };
    paths.iter().map(read).collect()
}

fn with_crlf(stored: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(stored.len() + stored.len() / 32);
    for line in stored.split_inclusive(|octet| *octet == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(text) => {
                wire.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
                wire.extend_from_slice(b"\r\n");
            }
            None => wire.extend_from_slice(line),
        }
    }
    wire
}

fn start_postfix(master: &Path, folder: &Path, relay: Option<u16>) -> Result<Receiver> {
    let scratch = if reachable_by_all(folder) { None } else { Some(ScratchDir::new()?) };
    if let Some(scratch) = &scratch {
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o711))?;
    }
    let folder = scratch.as_ref().map_or(folder, ScratchDir::path);
    let port = free_port()?;
    for name in ["conf", "queue", "data", "mail", "log"] {
        fs::create_dir_all(folder.join(name))?;
    }
    let nobody = owner_id("nobody")?;
    std::os::unix::fs::chown(folder.join("mail"), Some(nobody), Some(nobody))?;
    let postfix = owner_id("postfix")?;
    std::os::unix::fs::chown(folder.join("data"), Some(postfix), None)?;
    let shown = folder.display();
    fs::write(
        folder.join("conf/main.cf"),
        format!(
            "compatibility_level = 3.6\n\
             queue_directory = {shown}/queue\ndata_directory = {shown}/data\n\
             command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\n\
             meta_directory = /etc/postfix\nshlib_directory = /usr/lib/postfix\n\
             mail_owner = postfix\nsetgid_group = postdrop\n\
             maillog_file = {shown}/log/mail.log\nmaillog_file_prefixes = {shown}/log\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
             myhostname = mx.{DOMAIN}\nmydestination =\nmynetworks = 127.0.0.1/32\n\
             local_header_rewrite_clients =\nalias_maps =\nalias_database =\nsmtp_dns_support_level = disabled\nsmtpd_peername_lookup = no\n\
             smtpd_relay_restrictions = permit_mynetworks, reject\n\
             virtual_mailbox_domains = {DOMAIN}\nvirtual_mailbox_base = {shown}/mail\n\
             virtual_mailbox_maps = static:inbox/\nvirtual_uid_maps = static:{nobody}\n\
             virtual_gid_maps = static:{nobody}\nvirtual_minimum_uid = 1\n\
             message_size_limit = 104857600\nvirtual_mailbox_limit = 0\nmailbox_size_limit = 0\n"
        ),
    )?;
    if let Some(relay) = relay {
        let mut more = fs::OpenOptions::new().append(true).open(folder.join("conf/main.cf"))?;
        writeln!(more, "relayhost = [127.0.0.1]:{relay}\nminimal_backoff_time = 2s\nqueue_run_delay = 2s")?;
    }
    let mut services = format!("127.0.0.1:{port} inet n - n - - smtpd\n");
    services.push_str(
        "postlog unix-dgram n - n - 1 postlogd\n\
         pickup unix n - n 60 1 pickup\n\
         cleanup unix n - n - 0 cleanup\n\
         qmgr unix n - n 300 1 qmgr\n\
         rewrite unix - - n - - trivial-rewrite\n\
         bounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\n\
         trace unix - - n - 0 bounce\n\
         error unix - - n - - error\n\
         retry unix - - n - - error\n\
         proxymap unix - - n - - proxymap\n\
         virtual unix - n n - - virtual\n\
         smtp unix - - n - 4 smtp\n\
         anvil unix - - n - 1 anvil\n\
         showq unix n - n - - showq\n",
    );
    fs::write(folder.join("conf/master.cf"), services)?;
    let configuration = folder.join("conf");
    // Makes the folders of the queue and complains about anything that would not work.
    let check = Command::new("postfix").arg("-c").arg(&configuration).arg("check").output()?;
    if !check.status.success() {
        bail!("postfix check: {}", String::from_utf8_lossy(&check.stderr).trim());
    }
    let log = folder.join("log/start.log");
    let said = fs::File::create(&log)?;
    let mut command = Command::new(master);
    // In the foreground and in our process group: then nothing of it can outlive us.
    command.arg("-d").arg("-c").arg(&configuration).env("MAIL_CONFIG", &configuration);
    command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
    let process = Supervised::start("postfix", &mut command)?;
    wait_for_greeting(port, &[&log, &folder.join("log/mail.log")])?;
    Ok(Receiver {
        _process: process,
        port,
        mail: folder.join("mail/inbox/new"),
        description: format!("Postfix {}", version()),
        adds_line: false,
        _scratch: scratch,
    })
}

fn start_smtp_sink(folder: &Path) -> Result<Receiver> {
    let port = free_port()?;
    let mail = folder.join("mail");
    fs::create_dir_all(&mail)?;
    let log = folder.join("smtp-sink.log");
    let said = fs::File::create(&log)?;
    // Debian keeps it where only root's PATH looks.
    let program = ["/usr/sbin/smtp-sink", "/sbin/smtp-sink"].iter().find(|path| Path::new(path).exists());
    let mut command = Command::new(program.unwrap_or(&"smtp-sink"));
    command.current_dir(&mail).arg("-d").arg("message.").arg(format!("127.0.0.1:{port}")).arg("100");
    command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
    let process = Supervised::start("smtp-sink", &mut command)?;
    wait_for_greeting(port, &[&log])?;
    let description = "smtp-sink (Postfix itself needs root)".to_owned();
    Ok(Receiver { _process: process, port, mail, description, adds_line: true, _scratch: None })
}

fn version() -> String {
    let output = Command::new("postconf").args(["-d", "-h", "mail_version"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Whether every user may walk down to `folder`, and a configuration file can name it.
fn reachable_by_all(folder: &Path) -> bool {
    let walkable = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o001 != 0);
    folder.ancestors().all(walkable) && !folder.to_string_lossy().contains(char::is_whitespace)
}

/// The number of a user.
fn owner_id(user: &str) -> Result<u32> {
    let output = Command::new("id").args(["-u", user]).output()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().with_context(|| format!("there is no user {user}"))
}

pub(crate) fn wait_for_greeting(port: u16, logs: &[&Path]) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let deadline = Instant::now() + START_LIMIT;
    loop {
        if let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            let mut start = [0; 3];
            if stream.read_exact(&mut start).is_ok() && &start == b"220" {
                return Ok(());
            }
        }
        let said = || logs.iter().filter_map(|log| fs::read_to_string(log).ok()).collect::<String>();
        ensure!(Instant::now() < deadline, "the mail server does not greet: {}", said().trim());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp_client::SmtpClient;

    #[test]
    fn mail_that_was_taken_can_be_read_back() {
        let scratch = ScratchDir::new().expect("temporary folder");
        let receiver = Receiver::start(&scratch.path().join("mx")).expect("it is installed");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, receiver.port()));
        let patience = Duration::from_secs(20);
        let mut client = SmtpClient::connect_when_ready(address, patience, patience).expect("greets");
        client.hello().expect("EHLO");
        let content = b"Subject: x\r\n\r\n.dot\r\nlast\r\n";
        let reply = client.submit("a@example.org", &[format!("b@{DOMAIN}")], content).expect("reply");
        assert_eq!(reply.code, 250);
        let deadline = Instant::now() + patience;
        let arrived = loop {
            let messages = receiver.messages().expect("readable");
            if let Some(message) = messages.first().filter(|message| message.ends_with(b"last\r\n")) {
                break message.clone();
            }
            assert!(Instant::now() < deadline, "it did not arrive");
            std::thread::sleep(Duration::from_millis(50));
        };
        let text = String::from_utf8(arrived).expect("text");
        assert!(text.ends_with("Subject: x\r\n\r\n.dot\r\nlast\r\n"), "{text}");
    }
}
