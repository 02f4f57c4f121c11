//! What a scenario is, and how the table of them is written.

use crate::net::Later;
use crate::world::World;

/// Where a scenario can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// On the simulator and on the real image.
    Everywhere,
    /// On the simulator only, for the reason given (days must pass, for example).
    Simulator(&'static str),
}

/// Whether a scenario can be told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It shows what its row asks.
    Ready,
    /// It shows a part; the text says what comes later.
    Partly(&'static str),
    /// The product lacks what it needs; the text says what. It is not played.
    Pending(&'static str),
}

/// One story about the appliance and its peers.
pub struct Scenario {
    /// The row of the requirements that it shows, `0.27` for example.
    pub row: &'static str,
    /// The name to call it by.
    pub name: &'static str,
    /// What happens, in one line.
    pub title: &'static str,
    /// Whether it can be told.
    pub state: State,
    /// Where.
    pub runs: Runs,
    /// The story. The appliance is blank and off when it begins.
    pub tell: fn(World) -> Later<'static, ()>,
}

impl Scenario {
    /// Tells the story and looks at what holds at the end of each.
    ///
    /// # Panics
    /// When the scenario fails.
    pub async fn play(&'static self, world: World) {
        (self.tell)(world.clone()).await;
        world.expect_good_end();
    }
}
