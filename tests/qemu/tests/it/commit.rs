//! No `250` before the message is on flash.
//!
//! The machine stands still at a chosen write. What the client has heard then, it heard before that write; and what is on
//! flash then is looked at with the spool itself, mounted on this machine.

use anyhow::{Context as _, Result, bail, ensure};
use harness::{
    message::{Kind, Message, message},
    rng::{Rng, seed_of_this_run},
};
use qemu::{PATIENCE, PLAIN_SENDER, RECIPIENT, Rig, prove, queue};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// How long the client listens while the machine stands still. What the machine had sent is in a buffer of this machine
/// already, so this need not be long; and nobody waits for anything to happen.
const LISTEN: Duration = Duration::from_millis(100);
/// Sizes of the messages: commit record with the whole content, with the tail of it, and many chunks before it.
const SIZES: [usize; 3] = [1_024, 20_000, 150_000];
/// Writes at the end of a message's arrival of which each is held.
const HELD_AT_END: u64 = 9;
/// How long a write is waited for that may not come: how many there are differs when a block becomes full.
const LONGEST: Duration = Duration::from_secs(4);

#[test]
fn no_250_goes_out_before_the_commit_is_on_flash() {
    let claim = "with each write of a message's arrival held back there is no 250 while the message is not on flash, and \
                 it comes when the write is let go";
    prove(claim, || {
        let mut rng = Rng::new(seed_of_this_run("commit"));
        let mut rig = Rig::set_up_served("commit", |_| Ok(()))?;
        // Nothing else writes: the next hop is down, and senders without identity are held.
        rig.sink.go_down();
        for size in SIZES {
            let new = |name: &str, rng: &mut Rng| {
                message(Kind::Sized(size), &format!("s{size}{name}"), PLAIN_SENDER, RECIPIENT, rng)
            };
            settle(&mut rig)?;
            let before = rig.bank()?.operations();
            let reply = rig.client()?.hand_in(&new("whole", &mut rng))?;
            ensure!(reply.code == 250, "{reply}");
            settle(&mut rig)?;
            let writes = rig.bank()?.operations() - before;
            // Every one of few; of many the last ones, where the commit is, and some of the others.
            let held = (1..=writes).filter(|write| write + HELD_AT_END > writes || rng.below(writes) < 5);
            let (mut early, mut late, mut past) = (0, 0, 0);
            for write in held.collect::<Vec<_>>() {
                let message = new(&format!("w{write}"), &mut rng);
                let seen = hold(&mut rig, &message, write)
                    .with_context(|| format!("{size} octets, write {write}"))?;
                match seen {
                    Some(Seen { answered: true, on_flash: false }) => {
                        bail!(
                            "{size} octets: 250 was out while write {write} was held and nothing was on flash"
                        )
                    }
                    Some(Seen { on_flash: false, .. }) => early += 1,
                    Some(Seen { on_flash: true, .. }) => late += 1,
                    None => past += 1,
                }
            }
            println!(
                "{size:6} octets, {writes} writes: none of {early} that were held before the commit let a 250 out; {late} \
                 were behind it, {past} did not happen"
            );
            ensure!(early > 0 && late > 0, "the commit was not found");
        }
        Ok(())
    });
}

#[test]
fn a_cut_at_a_held_write_loses_only_what_was_not_answered() {
    prove(
        "the power goes while the commit is held: that message is gone, every one before it is there",
        || {
            let mut rng = Rng::new(seed_of_this_run("commit-cut"));
            let mut rig = Rig::set_up_served("commit-cut", |_| Ok(()))?;
            rig.sink.go_down();
            let mut known = 0;
            for write in 1..=4 {
                let first =
                    message(Kind::Sized(2_000), &format!("kept{write}"), PLAIN_SENDER, RECIPIENT, &mut rng);
                let reply = rig.client()?.hand_in(&first)?;
                ensure!(reply.code == 250, "{reply}");
                known += 1;
                // Until its decision has been written, too, the next write would be that one.
                settle(&mut rig)?;
                let lost =
                    message(Kind::Sized(2_000), &format!("lost{write}"), PLAIN_SENDER, RECIPIENT, &mut rng);
                let mut client = rig.client()?;
                rig.bank()?.hold_after(write);
                start(&mut client, &lost)?;
                let held = rig.bank()?.wait_until_stopped(PATIENCE, || false)?.context("nothing is held")?;
                let answered = heard(&mut client)?;
                rig.cut_power()?;
                known += usize::from(answered);
                rig.power_on()?;
                rig.machine()?.wait_for_greeting(25, PATIENCE)?;
                let there = count(&rig.data())?;
                ensure!(
                    there == known,
                    "{there} messages after a cut at {held:?}, {known} were answered with 250"
                );
            }
            Ok(())
        },
    );
}

/// What was to be seen while a write was held.
struct Seen {
    answered: bool,
    on_flash: bool,
}

/// Sends a message and holds its `write`-th write; looks, lets go, and wants the 250. `None` if there was no such write.
fn hold(rig: &mut Rig, message: &Message, write: u64) -> Result<Option<Seen>> {
    settle(rig)?;
    let before = count(&rig.data())?;
    let mut client = rig.client()?;
    rig.bank()?.hold_after(write);
    start(&mut client, message)?;
    let asked = Instant::now();
    let stopped = rig.bank()?.wait_until_stopped(PATIENCE, || asked.elapsed() > LONGEST)?;
    if stopped.is_none() && rig.bank()?.forget_plan() {
        return Ok(None);
    }
    let answered = heard(&mut client)?;
    let on_flash = count(&rig.data())? > before;
    rig.bank()?.let_go()?;
    if !answered {
        client.patience(PATIENCE)?;
        let reply = client.reply()?;
        ensure!(reply.code == 250, "after the write was let go: {reply}");
    }
    ensure!(count(&rig.data())? > before, "250, and not on flash");
    Ok(Some(Seen { answered, on_flash }))
}

/// Sends everything up to the end of the content, and reads every reply but the last.
fn start(client: &mut harness::smtp_client::SmtpClient, message: &Message) -> Result<()> {
    client.send(format!("MAIL FROM:<{}>\r\nRCPT TO:<{}>\r\nDATA\r\n", message.sender, message.recipient));
    for code in ["250", "250", "354"] {
        client.expect(code)?;
    }
    client.send([&harness::smtp_client::stuffed(&message.content)[..], b".\r\n"].concat());
    Ok(())
}

/// Whether the reply to the content has come.
fn heard(client: &mut harness::smtp_client::SmtpClient) -> Result<bool> {
    client.patience(LISTEN)?;
    match client.reply() {
        Ok(reply) => {
            ensure!(reply.code == 250, "{reply}");
            Ok(true)
        }
        Err(_) => Ok(false),
    }
}

/// Waits until nothing is written any more.
fn settle(rig: &mut Rig) -> Result<()> {
    let mut last = 0;
    loop {
        let now = rig.bank()?.operations();
        if now == last {
            return Ok(());
        }
        last = now;
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Messages that a start on this flash would find.
fn count(data: &Path) -> Result<usize> {
    queue::look(data, |queue| Ok(queue::ids(queue).len()))
}
