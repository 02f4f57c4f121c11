//! The guides for operators: every line that they tell to paste is one that an appliance takes.

use sim::gateway::Gateway;
use sim::world::story;

const GUIDES: [(&str, &str); 4] = [
    ("exchange-online.md", include_str!("../../../../hw-docs/operator/exchange-online.md")),
    ("exchange-onpremises.md", include_str!("../../../../hw-docs/operator/exchange-onpremises.md")),
    ("several-domains.md", include_str!("../../../../hw-docs/operator/several-domains.md")),
    ("application-relay.md", include_str!("../../../../hw-docs/operator/application-relay.md")),
];

/// The lines of the blocks marked `console`.
fn console_lines(guide: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in guide.lines() {
        match line.strip_prefix("```") {
            Some(mark) => inside = !inside && mark == "console",
            None if inside => lines.push(line),
            None => {}
        }
    }
    lines
}

/// Commands whose output says that they were carried out.
fn expected(line: &str) -> Option<&'static str> {
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["save"] => Some("Saved."),
        ["peer" | "domain" | "route" | "action", "add", ..] => Some("Added, in force now: "),
        ["peer" | "domain" | "route" | "action", "remove", ..] => Some("Removed, in force now."),
        ["peer", "source", ..] => Some("In force now: "),
        _ => None,
    }
}

#[test]
fn every_line_of_the_guides_is_taken_by_an_appliance() {
    for (name, guide) in GUIDES {
        let lines = console_lines(guide);
        assert!(lines.len() > 10, "{name}");
        story(|world| async move {
            let gateway = Gateway::new(&world);
            assert!(gateway.boot().await);
            for line in lines {
                assert!(line.len() <= 512, "{name}: {line}");
                let shown = gateway.console(line).await;
                let rows: Vec<&str> = shown.lines().collect();
                let answer = rows.get(1..rows.len().saturating_sub(1)).unwrap_or_default().join("\n");
                if line == "show relay" {
                    assert!(answer.contains("X-Stargate-Loop"), "{name}: {answer}");
                }
                if let Some(part) = expected(line) {
                    assert!(answer.contains(part), "{name}: {line}\n{answer}");
                } else if line.starts_with("set ") {
                    assert!(answer.is_empty(), "{name}: {line}\n{answer}");
                } else if !line.starts_with("log tail") && line != "diag" {
                    for part in
                        ["is not a", "cannot do", "cannot be shown", "is missing", "too many", "is no "]
                    {
                        assert!(!answer.contains(part), "{name}: {line}\n{answer}");
                    }
                    assert!(!answer.is_empty(), "{name}: {line}");
                }
                let wide = answer.lines().find(|row| row.len() > 80);
                let is_whole = line.starts_with("log tail") || line == "show config";
                assert!(is_whole || wide.is_none(), "{name}: {line}\n{answer}");
            }
        });
    }
}

#[test]
fn what_show_config_prints_clones_an_appliance() {
    story(|world| async move {
        for (name, guide) in GUIDES {
            let first = Gateway::new(&world);
            assert!(first.boot().await);
            for line in console_lines(guide) {
                first.console(line).await;
            }
            let config = first.console("show config").await;
            let lines: Vec<&str> = config.lines().collect();
            let lines = lines.get(1..lines.len().saturating_sub(1)).unwrap_or_default();
            first.terminal.type_text("factory-reset\rerase\r");
            assert!(world.wait_until(60, || !first.is_on()).await, "{name}");
            assert!(first.boot().await, "{name}");
            assert!(first.console("show peers").await.contains("Everybody: may send nothing."), "{name}");
            for line in lines {
                first.console(line).await;
            }
            assert_eq!(first.console("show config").await, config, "{name}");
        }
    });
}
