//! The appliance as a person sees it: a console, a power switch, a cable.

use crate::net::Later;

/// An appliance. Its addresses are those of [`crate::plan`].
pub trait Gateway {
    /// Switches it on if it is off, and waits until it listens and the console asks for a command. Nothing is typed.
    fn power_on(&self) -> Later<'_, ()>;
    /// Cuts the power at once. It stays off.
    fn pull_plug(&self);
    /// Types a command and returns what the console shows until it asks for the next, without CR.
    fn command<'a>(&'a self, line: &'a str) -> Later<'a, String>;
    /// Types a command that asks for lines, those lines, and the dot that ends them.
    fn paste<'a>(&'a self, command: &'a str, lines: &'a str) -> Later<'a, String>;
    /// Everything that was shown since it was switched on, for the report of a failure.
    fn shown(&self) -> String;
}
