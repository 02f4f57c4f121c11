//! What the queue must hold: certain after an operation has returned, one of several outcomes while it runs.

use std::collections::BTreeMap;

use envelope::QueueId;
use spool::SpoolError;

use crate::letter::{Key, Letter, Step};

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It returned, and the world relies on it.
    Acknowledged,
    /// It returned an error.
    Refused(SpoolError),
    /// Its future was dropped.
    Dropped,
}

/// An operation that ran, and what it meant to do to one message.
#[derive(Clone, Debug)]
pub struct Done {
    /// For people.
    pub what: String,
    /// The message and the steps; `None` if it did not get so far, or touches none.
    pub message: Option<(QueueId, Vec<Step>)>,
    /// Operations of the flash before it ended. (All operations of a batch begin before the first of them.)
    pub to: usize,
    /// How it ended.
    pub outcome: Outcome,
}

/// Steps of one operation on one message as seen from one moment.
struct Track<'a> {
    steps: &'a [Step],
    min: usize,
    max: usize,
    /// From an earlier batch.
    early: bool,
    /// What is left of it may still be found by a restart.
    lasting: bool,
}

/// What the queue must hold.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The messages.
    pub letters: BTreeMap<QueueId, Letter>,
    /// Steps of operations that failed on the device: not seen by now, but a restart may find them.
    pub ghosts: BTreeMap<QueueId, Vec<Step>>,
}

/// One thing that a message may be, and the steps that are not in it.
struct Candidate {
    letter: Option<Letter>,
    progress: Vec<usize>,
}

impl Model {
    fn tracks<'a>(&'a self, id: QueueId, done: &'a [Done], cut: usize) -> Vec<Track<'a>> {
        let ghosts = self.ghosts.get(&id).map_or(&[][..], Vec::as_slice);
        let mut tracks: Vec<Track<'_>> = ghosts
            .iter()
            .map(|step| Track {
                steps: std::slice::from_ref(step),
                min: 0,
                max: 1,
                early: true,
                lasting: true,
            })
            .collect();
        for one in done {
            let Some((owner, steps)) = &one.message else { continue };
            if *owner != id {
                continue;
            }
            let all = steps.len();
            let (min, max) = match one.outcome {
                Outcome::Acknowledged if one.to <= cut => (all, all),
                // Whatever failed on the device may be found later; a message that ended meanwhile is gone.
                Outcome::Acknowledged
                | Outcome::Dropped
                | Outcome::Refused(SpoolError::Flash | SpoolError::NoSuchMessage) => (0, all),
                Outcome::Refused(_) => (0, 0),
            };
            // What a dropped future left is settled by the next operation; what a failing block holds is not known.
            let lasting = one.outcome == Outcome::Refused(SpoolError::Flash);
            tracks.push(Track { steps, min, max, early: false, lasting });
        }
        tracks
    }

    /// Everything that a message may be: the steps in all orders.
    fn candidates(&self, id: QueueId, tracks: &[Track<'_>]) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        let mut open = vec![(vec![0; tracks.len()], self.letters.get(&id).cloned())];
        while let Some((progress, letter)) = open.pop() {
            let done = tracks.iter().zip(&progress).all(|(track, steps)| *steps >= track.min);
            let known = |c: &Candidate| c.progress == progress && c.letter == letter;
            if done && !found.iter().any(known) {
                found.push(Candidate { letter: letter.clone(), progress: progress.clone() });
            }
            for (number, track) in tracks.iter().enumerate() {
                let next = progress[number];
                let allowed = next < track.max;
                if allowed {
                    let mut further = progress.clone();
                    further[number] += 1;
                    open.push((further, track.steps[next].apply(letter.clone())));
                }
            }
        }
        found
    }

    fn touched(&self, done: &[Done]) -> Vec<QueueId> {
        let mut ids: Vec<_> = self.ghosts.keys().copied().collect();
        ids.extend(done.iter().filter_map(|one| one.message.as_ref().map(|(id, _)| *id)));
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Compares what a restart after a cut at position `cut` finds with what it may find, and returns the model
    /// from there on.
    ///
    /// # Errors
    /// What was lost, changed, or came back.
    pub fn restart(
        &self,
        done: &[Done],
        cut: usize,
        found: BTreeMap<QueueId, Letter>,
    ) -> Result<Self, String> {
        let touched = self.touched(done);
        for id in &touched {
            let candidates = self.candidates(*id, &self.tracks(*id, done, cut));
            let now = found.get(id);
            if !candidates.iter().any(|candidate| candidate.letter.as_ref() == now) {
                let allowed: Vec<_> = candidates.iter().map(|c| describe(c.letter.as_ref())).collect();
                let running: Vec<_> = done.iter().map(|d| (&d.what, d.to, d.outcome)).collect();
                return Err(format!(
                    "message {id} is {}\nmay be: {}\noperations: {running:?}\ncut at {cut}",
                    describe(now),
                    allowed.join("\n   or: ")
                ));
            }
        }
        self.same_but(&touched, &found)?;
        Ok(Self { letters: found, ghosts: BTreeMap::new() })
    }

    /// Messages that nobody touched are as they were, and there are no others.
    fn same_but(&self, touched: &[QueueId], found: &BTreeMap<QueueId, Letter>) -> Result<(), String> {
        let touched = |id: &QueueId| touched.binary_search(id).is_ok();
        for (id, letter) in self.letters.iter().filter(|(id, _)| !touched(id)) {
            let now = found.get(id);
            if now != Some(letter) {
                return Err(format!("message {id} is {}\nmust be {}", describe(now), describe(Some(letter))));
            }
        }
        match found.keys().find(|id| !touched(id) && !self.letters.contains_key(id)) {
            Some(id) => Err(format!("message {id} is there and must not be: {}", describe(found.get(id)))),
            None => Ok(()),
        }
    }

    /// Compares what the running queue shows after all operations have ended, and takes it over.
    ///
    /// # Errors
    /// As [`Self::restart`].
    pub fn settle(&mut self, done: &[Done], found: BTreeMap<QueueId, Letter>) -> Result<(), String> {
        let touched = self.touched(done);
        let mut ghosts = BTreeMap::new();
        for id in &touched {
            let tracks = self.tracks(*id, done, usize::MAX);
            let now = found.get(id);
            let best = self
                .candidates(*id, &tracks)
                .into_iter()
                .filter(|candidate| candidate.letter.as_ref() == now)
                .min_by_key(|candidate| candidate.progress.iter().sum::<usize>());
            let Some(best) = best else {
                let running: Vec<_> = done.iter().map(|d| (&d.what, d.to, d.outcome)).collect();
                return Err(format!("without a cut, message {id} is {}\nafter {running:?}", describe(now)));
            };
            if now.is_none() {
                continue;
            }
            // What was written since hides what was left over before.
            // (What changes nothing is not written.)
            let before = self.letters.get(id);
            let changes = |step: &&Step| step.apply(before.cloned()).as_ref() != before;
            let written: Vec<Key> = tracks
                .iter()
                .flat_map(|track| &track.steps[..track.min])
                .filter(changes)
                .map(Step::key)
                .collect();
            let mut left = Vec::new();
            for (track, progress) in tracks.iter().zip(&best.progress).filter(|(track, _)| track.lasting) {
                let steps = track.steps[*progress..].iter();
                left.extend(steps.filter(|step| !track.early || !written.contains(&step.key())).cloned());
            }
            // A commit in doubt has been undone by the next operation.
            left.retain(|step| !matches!(step, Step::Commit(_)));
            if !left.is_empty() {
                ghosts.insert(*id, left);
            }
        }
        self.same_but(&touched, &found)?;
        (self.letters, self.ghosts) = (found, ghosts);
        Ok(())
    }
}

/// A message in a line.
#[must_use]
pub fn describe(letter: Option<&Letter>) -> String {
    let Some(letter) = letter else { return "not there".into() };
    let sum = flash_log::checksum(&letter.fixed.content);
    format!(
        "{} octets ({sum:08x}), {} recipients {:?}, recipe {:?}, held {}, {} attempts {:?}, warned {}, {} reports, \"{}\"",
        letter.fixed.content.len(),
        letter.states.len(),
        letter.states,
        letter.recipe.as_ref().map(|recipe| (recipe.len(), flash_log::checksum(recipe))),
        letter.held,
        letter.attempts,
        letter.log,
        letter.warned,
        letter.reports,
        letter.reason
    )
}
