//! Child processes that never outlive their owner.
//!
//! Each child leads a process group of its own and is killed with it when its [`Supervised`] is dropped, on a panic
//! or an early return as well. [`kill_all`] serves signal handlers. Should this process itself be killed without a
//! chance to clean up, a watcher per child sees its pipe close and kills the group.

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Process ids of all living children, and whether they lead a group.
static LIVING: Mutex<BTreeMap<u32, bool>> = Mutex::new(BTreeMap::new());

/// Scratch folders that exist now.
static FOLDERS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A running program that ends with its owner.
#[derive(Debug)]
pub struct Supervised {
    name: String,
    child: Child,
    leads_group: bool,
    watcher: Option<Child>,
    ended: Option<ExitStatus>,
}

impl Supervised {
    /// Starts `command` in a process group of its own.
    ///
    /// # Errors
    /// When the program is missing.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        command.process_group(0);
        let child = spawn(name, command)?;
        let watcher = Command::new("sh")
            .args(["-c", "cat >/dev/null; kill -9 -- -\"$1\"", "watcher"])
            .arg(child.id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .ok();
        Ok(Self::new(name, child, true, watcher))
    }

    /// Starts `command` in the process group of this process, so that it may use the terminal.
    ///
    /// # Errors
    /// When the program is missing.
    pub fn start_on_terminal(name: &str, command: &mut Command) -> Result<Self> {
        let child = spawn(name, command)?;
        Ok(Self::new(name, child, false, None))
    }

    fn new(name: &str, child: Child, leads_group: bool, watcher: Option<Child>) -> Self {
        living(|living| living.insert(child.id(), leads_group));
        Self { name: name.to_owned(), child, leads_group, watcher, ended: None }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The pipes of the child, where it was started with such.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The exit status, if it has ended.
    ///
    /// # Errors
    /// When the system does not answer.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none()
            && let Some(status) = self.child.try_wait()?
        {
            self.forget(status);
        }
        Ok(self.ended)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When the system does not answer.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        let status = self.child.wait()?;
        self.forget(status);
        Ok(status)
    }

    /// Waits until it ends by itself, at most for `limit`.
    ///
    /// # Errors
    /// When the system does not answer.
    pub fn wait_for(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to end, and kills it when it has not after `patience`.
    pub fn stop(&mut self, patience: Duration) {
        if self.ended.is_none() {
            signal(self.child.id(), self.leads_group, Signal::TERM);
            if !matches!(self.wait_for(patience), Ok(Some(_))) {
                self.kill();
            }
        }
    }

    /// Kills it at once, as a power cut would.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            signal(self.child.id(), self.leads_group, Signal::KILL);
            if let Ok(status) = self.child.wait() {
                self.forget(status);
            }
        }
    }

    /// The name it was started under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process is gone: its id may soon be another's.
    fn forget(&mut self, status: ExitStatus) {
        if let Some(mut watcher) = self.watcher.take() {
            let _ = watcher.kill();
            let _ = watcher.wait();
        }
        living(|living| living.remove(&self.child.id()));
        self.ended = Some(status);
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills every child that was started here and removes every scratch folder; for signal handlers.
pub fn kill_all() {
    let all = living(std::mem::take);
    for (id, leads_group) in all {
        signal(id, leads_group, Signal::KILL);
    }
    for folder in folders(std::mem::take) {
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// Kills the child with this process id, as a power cut would, from any thread. Its owner still has to collect it.
pub fn kill(id: u32) {
    // An id that is not known is no longer ours, and may be another's.
    if let Some(leads_group) = living(|living| living.get(&id).copied()) {
        signal(id, leads_group, Signal::KILL);
    }
}

fn spawn(name: &str, command: &mut Command) -> Result<Child> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.spawn().with_context(|| {
        format!("cannot start {name} ({program}); `cargo xtask setup` installs what is missing")
    })
}

fn living<T>(work: impl FnOnce(&mut BTreeMap<u32, bool>) -> T) -> T {
    let mut living = LIVING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    work(&mut living)
}

fn folders<T>(work: impl FnOnce(&mut BTreeSet<PathBuf>) -> T) -> T {
    let mut folders = FOLDERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    work(&mut folders)
}

fn signal(id: u32, group: bool, signal: Signal) {
    let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) else { return };
    let _ = if group {
        rustix::process::kill_process_group(pid, signal)
    } else {
        rustix::process::kill_process(pid, signal)
    };
}

/// A folder with a short path (socket names are limited to about a hundred octets) that vanishes with its owner.
#[derive(Debug)]
pub struct ScratchDir {
    path: PathBuf,
}

impl ScratchDir {
    /// Makes an empty folder that only this user can enter.
    ///
    /// # Errors
    /// When the temporary folder cannot be written.
    pub fn new() -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("stargate-{}-{number}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    folders(|folders| folders.insert(path.clone()));
                    return Ok(Self { path });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("cannot make {}", path.display())),
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
        folders(|folders| folders.remove(&self.path));
    }
}

/// A TCP port on the loopback interface that was free a moment ago.
///
/// # Errors
/// When no port can be had.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_with_children_of_its_own_dies_as_a_whole() {
        let scratch = ScratchDir::new().expect("temporary folder");
        let mark = scratch.path().join("grandchild");
        let script = format!("sleep 300 & echo $! >{}; wait", mark.display());
        let mut shell =
            Supervised::start("shell", Command::new("sh").args(["-c", &script])).expect("there is a shell");
        let deadline = Instant::now() + Duration::from_secs(10);
        let grandchild = loop {
            let text = std::fs::read_to_string(&mark).unwrap_or_default();
            if let Ok(id) = text.trim().parse::<u32>() {
                break id;
            }
            assert!(Instant::now() < deadline, "the shell did not start");
            std::thread::sleep(Duration::from_millis(10));
        };
        shell.kill();
        let gone = || {
            std::fs::read_to_string(format!("/proc/{grandchild}/stat"))
                .map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
        };
        while !gone() {
            assert!(Instant::now() < deadline, "the grandchild lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn program_that_ends_by_itself_is_seen() {
        let mut child = Supervised::start("true", &mut Command::new("true")).expect("there is `true`");
        let status = child.wait_for(Duration::from_secs(10)).expect("the system answers");
        assert!(status.expect("it ended").success());
    }
}
