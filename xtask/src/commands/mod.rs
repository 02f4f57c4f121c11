//! One file per command.

pub mod bench;
pub mod build;
pub mod ci;
pub mod demo;
pub mod lab;
pub mod lint;
pub mod run;
pub mod setup;
pub mod sim;
pub mod test;
pub mod tidy;

/// Lets Ctrl-C, a closed terminal and `kill` take the children along.
pub fn kill_children_on_signals() {
    // Fails only when it was set before, and then everything is in order.
    let _ = ctrlc::set_handler(|| {
        harness::process::kill_all();
        eprintln!("\nstopped");
        std::process::exit(130);
    });
}
