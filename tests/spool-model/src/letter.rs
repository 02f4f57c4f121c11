//! A message as plain data, what can happen to it, and how it is read from a spool.

use std::rc::Rc;

use embedded_storage_async::nor_flash::NorFlash;
use envelope::QueueId;
use limits::spool::PAGE_RECIPIENTS_COUNT;
use spool::{ArrivalInfo, MessageState, RecipientState, Spool};

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
    /// When the next one is due.
    pub next_try: u64,
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
    /// Page 0: whether it counts as an attempt.
    pub attempt: bool,
    /// Page 0: whether it is held from now on.
    pub held: Option<bool>,
    /// Page 0: when the next attempt is due.
    pub next_try: Option<u64>,
    /// Page 0: why.
    pub reason: String,
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
                if page.page == 0 {
                    letter.attempts += u16::from(page.attempt);
                    letter.held = page.held.unwrap_or(letter.held);
                    letter.next_try = page.next_try.unwrap_or(letter.next_try);
                    letter.reason.clone_from(&page.reason);
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
    let open = states.iter().filter(|state: &&RecipientState| state.is_open()).count();
    let agree = [
        ("size", count == content.len()),
        ("content_size", spool.content_size(id) == Some(brief.size)),
        ("envelope", arrival.id == id && arrival.size == brief.size && arrival.time == brief.time),
        ("number of recipients", arrival.recipients == brief.recipients),
        ("class", arrival.class == brief.class),
        ("open recipients", usize::from(brief.recipients_open) == open),
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
        next_try: brief.next_try,
        reason: summary.reason.as_str().into(),
    })
}
