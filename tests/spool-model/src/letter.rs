//! A message as plain data, what can happen to it, and how it is read from a spool.

use std::rc::Rc;

use embedded_storage_async::nor_flash::NorFlash;
use envelope::QueueId;
use limits::spool::{ATTEMPTS_LOGGED_MAX, PAGE_RECIPIENTS_COUNT};
use spool::{ArrivalInfo, Attempt, MessageState, RecipientState, Spool};

/// What never changes about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// Its content.
    pub content: Vec<u8>,
    /// Envelope and circumstances.
    pub arrival: ArrivalInfo,
    /// What the scanner found.
    pub facts: Vec<u8>,
    /// Addresses and their parameters.
    pub recipients: Vec<(String, Vec<u8>)>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// What never changes.
    pub fixed: Rc<Fixed>,
    /// Where each recipient stands.
    pub states: Vec<RecipientState>,
    /// The recipe.
    pub recipe: Option<Rc<Vec<u8>>>,
    /// Whether it is held.
    pub held: bool,
    /// Attempts so far.
    pub attempts: u16,
    /// The latest of them.
    pub log: Vec<Attempt>,
    /// Whether the sender was told of the delay.
    pub warned: bool,
    /// Reports that were made.
    pub reports: u16,
    /// Why it waits.
    pub reason: String,
}

/// The smallest thing that happens to a message wholly or not at all.
#[derive(Clone, Debug)]
pub enum Step {
    /// It begins to exist.
    Commit(Letter),
    /// A page of states is written.
    Page(Page),
    /// The recipe is written.
    Recipe(Rc<Vec<u8>>),
    /// It ends.
    End,
}

/// What is written to a page of states.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Which page.
    pub page: u32,
    /// New states.
    pub states: Vec<(u16, RecipientState)>,
    /// What happens to every state of the page besides.
    pub each: Option<fn(&mut RecipientState)>,
    /// Page 0: an attempt.
    pub attempt: Option<Attempt>,
    /// Page 0: whether it is held from now on.
    pub held: Option<bool>,
    /// Page 0: the sender was told of the delay.
    pub warned: bool,
    /// Page 0: reports that were made.
    pub reports: u16,
    /// Page 0: why, if that changes.
    pub reason: Option<String>,
}

/// What becomes of a recipient when its message is released.
pub fn release(state: &mut RecipientState) {
    match state {
        RecipientState::Failed(_) => *state = RecipientState::Pending,
        RecipientState::Deferred { next_try, .. } => *next_try = 0,
        _ => {}
    }
}

/// What becomes of a recipient when the sender has been told.
pub fn told(state: &mut RecipientState) {
    match state {
        RecipientState::Failed(status) => *state = RecipientState::Closed(status.clone()),
        RecipientState::Relayed(_) => *state = RecipientState::Delivered,
        _ => {}
    }
}

/// What a step replaces: of two steps with the same key only the later can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The life of the message.
    Life,
    /// A page of states.
    Page(u32),
    /// The recipe.
    Recipe,
}

impl Step {
    /// What it replaces.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Commit(_) | Self::End => Key::Life,
            Self::Page(page) => Key::Page(page.page),
            Self::Recipe(_) => Key::Recipe,
        }
    }

    /// The message after the step.
    #[must_use]
    pub fn apply(&self, before: Option<Letter>) -> Option<Letter> {
        match self {
            Self::Commit(letter) => Some(letter.clone()),
            Self::End => None,
            Self::Recipe(recipe) => before.map(|letter| Letter { recipe: Some(Rc::clone(recipe)), ..letter }),
            Self::Page(page) => before.map(|mut letter| {
                for (index, state) in &page.states {
                    letter.states[usize::from(*index)] = state.clone();
                }
                let first = page.page as usize * PAGE_RECIPIENTS_COUNT;
                let of_page = letter.states.iter_mut().skip(first).take(PAGE_RECIPIENTS_COUNT);
                if let Some(each) = page.each {
                    of_page.for_each(each);
                }
                if page.page == 0 {
                    if let Some(attempt) = &page.attempt {
                        letter.attempts += 1;
                        letter.log.push(attempt.clone());
                        letter.log.drain(..letter.log.len().saturating_sub(ATTEMPTS_LOGGED_MAX));
                    }
                    letter.held = page.held.unwrap_or(letter.held);
                    letter.warned |= page.warned;
                    letter.reports = letter.reports.max(page.reports);
                    if let Some(reason) = &page.reason {
                        letter.reason.clone_from(reason);
                    }
                }
                letter
            }),
        }
    }
}

/// The page that holds a recipient.
#[must_use]
pub fn page_of(recipient: u16) -> u32 {
    u32::from(recipient) / PAGE_RECIPIENTS_COUNT as u32
}

/// Reads everything that the spool tells about a message.
///
/// # Errors
/// What could not be read, or contradicts something else.
pub async fn read<F: NorFlash>(spool: &Spool<F>, id: QueueId) -> Result<Letter, String> {
    let brief = spool.brief(id).ok_or("not listed")?;
    let told = |what: &str, error| format!("{what}: {error}");
    let arrival = spool.arrival(id).await.map_err(|e| told("envelope", e))?;
    let mut content = vec![0; brief.size as usize];
    let count = spool.read(id, 0, &mut content).await.map_err(|e| told("content", e))?;
    let mut facts = Vec::new();
    spool.facts(id, &mut facts).await.map_err(|e| told("facts", e))?;
    let (mut recipients, mut states, mut page) = (Vec::new(), Vec::new(), Vec::new());
    while states.len() < usize::from(brief.recipients) {
        spool.recipients(id, states.len() as u16, &mut page).await.map_err(|e| told("recipients", e))?;
        if page.is_empty() {
            return Err("fewer recipients than told".into());
        }
        for recipient in page.drain(..) {
            recipients.push((recipient.address.as_str().into(), recipient.extra.to_vec()));
            states.push(recipient.state);
        }
    }
    let mut recipe = Vec::new();
    let has_recipe = spool.recipe(id, &mut recipe).await.map_err(|e| told("recipe", e))?;
    let before = id.0.checked_sub(1).map(QueueId);
    let summary = spool.next_summary(before).await.map_err(|e| told("summary", e))?.ok_or("no summary")?;
    let history = spool.history(id).await.map_err(|e| told("attempts", e))?;
    let open = states.iter().filter(|state: &&RecipientState| state.is_open()).count();
    let unreported = states.iter().filter(|state| state.is_unreported()).count();
    let agree = [
        ("size", count == content.len()),
        ("content_size", spool.content_size(id) == Some(brief.size)),
        ("envelope", arrival.id == id && arrival.size == brief.size && arrival.time == brief.time),
        ("number of recipients", arrival.recipients == brief.recipients),
        ("class", arrival.class == brief.class),
        ("moment", arrival.moment == brief.moment),
        ("open recipients", usize::from(brief.recipients_open) == open),
        ("recipients to be reported", usize::from(brief.recipients_unreported) == unreported),
        ("sender", summary.sender == arrival.sender),
        ("first recipient", recipients.first().is_some_and(|(to, _)| *to == summary.recipient.as_str())),
        ("certainty", !brief.uncertain),
        ("recipe", brief.has_recipe == has_recipe),
        ("line", summary.brief == brief),
    ];
    if let Some((what, _)) = agree.iter().find(|(_, agree)| !agree) {
        return Err(format!("two answers about its {what}: {brief:?} {arrival:?}"));
    }
    let held = match brief.state {
        MessageState::Queued => false,
        MessageState::Held => true,
        MessageState::Damaged => return Err("damaged".into()),
    };
    Ok(Letter {
        fixed: Rc::new(Fixed { content, arrival, facts, recipients }),
        states,
        recipe: has_recipe.then(|| Rc::new(recipe)),
        held,
        attempts: brief.attempts,
        log: history.to_vec(),
        warned: brief.warned,
        reports: brief.reports,
        reason: summary.reason.as_str().into(),
    })
}
