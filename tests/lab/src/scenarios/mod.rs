//! The table of scenarios, by the rows of the requirements.

use crate::scenario::{Runs, Scenario, State};

mod everyday;

/// Writes the table, and a test for each row that plays it on the simulator; what is pending is an ignored test.
macro_rules! scenarios {
    ($($row:literal $name:ident $title:literal: $state:ident $(($why:literal))? $(, $runs:ident $(($alone:literal))?, $tell:path)?;)*) => {
        /// Every scenario, in the order of the rows.
        pub static ALL: &[Scenario] = &[$(
            Scenario {
                row: $row,
                name: stringify!($name),
                title: $title,
                state: State::$state $(($why))?,
                runs: one_of!($(Runs::$runs $(($alone))?)?; Runs::Everywhere),
                tell: one_of!($(|world| Box::pin($tell(world)))?; |_| Box::pin(async {})),
            },
        )*];

        #[cfg(test)]
        mod told {
            $(test! { $state $(($why))? $name })*
        }
    };
}

/// The first expression, or the second if there is no first.
macro_rules! one_of {
    ($first:expr; $second:expr) => {
        $first
    };
    (; $second:expr) => {
        $second
    };
}

#[cfg(test)]
macro_rules! test {
    (Pending($why:literal) $name:ident) => {
        #[test]
        #[ignore = $why]
        fn $name() {
            panic!("pending: {}", $why);
        }
    };
    ($state:ident $(($why:literal))? $name:ident) => {
        #[test]
        fn $name() {
            crate::simulator::play_in_test(stringify!($name));
        }
    };
}

scenarios! {
    "0.27" r0_27_queue_is_empty_when_all_works "after a day's mail the queue is empty and the log tells of it":
        Ready, Everywhere, everyday::queue_is_empty_when_all_works;
    "0.22" r0_22_next_hop_by_mx_without_ourselves "the next hop is found by MX, ourselves removed":
        Pending("MX discovery");
}

/// The scenario of that name, or the only one whose name begins with it or whose row it is.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    let exact = ALL.iter().find(|scenario| scenario.name == name || scenario.row == name);
    exact.or_else(|| ALL.iter().find(|scenario| scenario.name.starts_with(name)))
}
