//! `cargo xtask tidy`: rules of this project that no compiler knows.
//!
//! Each rule is a function that returns complaints; a complaint names the place and what would be right.

use super::lint;
use crate::failures::Failures;
use crate::layers;
use crate::metadata::Metadata;
use crate::{project, step};
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines that a source file may have.
const FILE_LINES_MAX: usize = 1_000;

/// Options of `tidy`.
#[derive(clap::Args)]
pub struct Options {}

/// Checks every rule and reports all complaints at the end.
///
/// # Errors
/// When any rule is broken.
pub fn run(_: &Options) -> Result<()> {
    let mut failures = Failures::new();
    collect(&mut failures);
    failures.report("tidy")
}

/// As [`run`], adding to the failures of a larger run.
pub fn collect(failures: &mut Failures) {
    step::headline("Tidy");
    let (metadata, sources) = match (Metadata::read(), Sources::read()) {
        (Ok(metadata), Ok(sources)) => (metadata, sources),
        (metadata, sources) => {
            let error =
                metadata.err().or(sources.err()).unwrap_or_else(|| anyhow::anyhow!("nothing to check"));
            failures.attempt("tidy", "cargo xtask tidy", || Err(error));
            return;
        }
    };
    let rules: [(&str, Vec<String>); 10] = [
        ("directions between crates", directions(&metadata)),
        ("one door per danger", doors(&metadata)),
        (concat!("un", "safe only under board/"), unsafe_places(&sources)),
        ("portable crates say so", portable(&metadata, &sources)),
        ("leftover markers", leftovers(&sources)),
        ("paths of one machine", machine_paths(&sources)),
        ("length of files", lengths(&sources)),
        ("a reason for each dependency", reasons(&sources)),
        ("numbers in hw-docs", documented_numbers(&sources)),
        ("licences and sources", licences(&metadata, &sources)),
    ];
    for (rule, complaints) in rules {
        failures.attempt(rule, "cargo xtask tidy", || verdict(rule, &complaints));
    }
    failures.attempt("std is for few", "cargo xtask tidy", || {
        step::run("std is for few", &mut lint::target_check("check")?)
            .map(drop)
            .context("a crate of the firmware other than the ones named in xtask/src/layers.rs needs std")
    });
}

fn verdict(rule: &str, complaints: &[String]) -> Result<()> {
    if complaints.is_empty() {
        step::note(&format!("{rule}: kept"));
        return Ok(());
    }
    for complaint in complaints {
        eprintln!("     {complaint}");
    }
    bail!("{} complaints", complaints.len())
}

/// All text files of the project.
struct Sources {
    files: Vec<(String, String)>,
}

impl Sources {
    fn read() -> Result<Self> {
        let mut files = Vec::new();
        for path in listed()? {
            // Binary test data is none of our business.
            if let Ok(text) = fs::read_to_string(project::root().join(&path)) {
                files.push((path.display().to_string(), text));
            }
        }
        Ok(Self { files })
    }

    fn rust(&self) -> impl Iterator<Item = &(String, String)> {
        self.files.iter().filter(|(path, _)| path.ends_with(".rs"))
    }

    fn get(&self, wanted: &str) -> Option<&str> {
        self.files.iter().find(|(path, _)| path == wanted).map(|(_, text)| text.as_str())
    }
}

/// Every file that git knows or would take; all files where there is no git.
fn listed() -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.current_dir(project::root()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    if let Ok(text) = step::output(&mut git) {
        return Ok(text.lines().map(PathBuf::from).collect());
    }
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(project::root().join(&folder))?.flatten() {
            let path = folder.join(entry.file_name());
            if path == Path::new("target") || path == Path::new(".git") {
                continue;
            }
            if entry.file_type()?.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    Ok(files)
}

/// Crates depend on lower layers only, as `layers.rs` has it.
fn directions(metadata: &Metadata) -> Vec<String> {
    let layer = |name: &str| layers::FIRMWARE.iter().find(|(_, known, _)| *known == name);
    let folder: BTreeMap<&str, &str> =
        metadata.members.iter().map(|member| (member.name.as_str(), member.folder.as_str())).collect();
    let mut complaints = Vec::new();
    for member in &metadata.members {
        for (used, only_in_tests) in &member.dependencies {
            let Some(used_folder) = folder.get(used.as_str()) else { continue };
            let in_tests = used_folder.starts_with("tests/") || used_folder.starts_with("xtask");
            let allowed = if member.folder.starts_with("firmware/") {
                let Some((own, _, same)) = layer(&member.name) else {
                    complaints.push(format!("{} has no layer in xtask/src/layers.rs", member.folder));
                    break;
                };
                if used_folder.starts_with("board/") {
                    layers::USERS_OF_BOARDS.contains(&member.name.as_str())
                } else if in_tests {
                    *only_in_tests
                } else {
                    *only_in_tests
                        || same.contains(&used.as_str())
                        || layer(used).is_some_and(|(theirs, _, _)| theirs < own)
                }
            } else if member.folder.starts_with("board/") {
                used_folder.starts_with("board/")
                    || layers::SEEN_BY_BOARDS.contains(&used.as_str())
                    || (in_tests && *only_in_tests)
            } else {
                true
            };
            if !allowed {
                complaints.push(format!("{} must not use {used}", member.folder));
            }
        }
    }
    complaints
}

/// Third-party crates with one door are used there only.
fn doors(metadata: &Metadata) -> Vec<String> {
    let mut complaints = Vec::new();
    for member in metadata.members.iter().filter(|member| !member.folder.starts_with("tests/")) {
        for (used, only_in_tests) in &member.dependencies {
            let door = layers::DOORS.iter().find(|(name, _)| name == used);
            if let Some((_, users)) = door
                && !users.contains(&member.name.as_str())
                && !only_in_tests
            {
                complaints.push(format!(
                    "{} must not use {used}: that is for {} only",
                    member.folder,
                    users.join(", ")
                ));
            }
        }
    }
    complaints
}

/// The word `unsafe` as code.
fn unsafe_places(sources: &Sources) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in sources.rust().filter(|(path, _)| !path.starts_with("board/")) {
        for (number, line) in text.lines().enumerate() {
            if has_word(&without_literals(code_of(line)), concat!("un", "safe")) {
                complaints.push(format!("{path}:{}: only board/ may do that", number + 1));
            }
        }
    }
    complaints
}

/// Layers below the image build without an operating system and forbid unsafe code themselves.
fn portable(metadata: &Metadata, sources: &Sources) -> Vec<String> {
    let mut complaints = Vec::new();
    for (layer, name, _) in layers::FIRMWARE {
        let Some(member) = metadata.members.iter().find(|member| member.name == *name) else { continue };
        let path = format!("{}/src/lib.rs", member.folder);
        let Some(text) = sources.get(&path).filter(|_| *layer <= layers::PORTABLE_LAYER_MAX) else {
            continue;
        };
        for attribute in ["#![no_std]", concat!("#![forbid(un", "safe_code)]")] {
            if !text.lines().any(|line| line.trim() == attribute) {
                complaints.push(format!("{path}: {attribute} is missing"));
            }
        }
    }
    complaints
}

/// What people leave behind when they mean to come back.
fn leftovers(sources: &Sources) -> Vec<String> {
    let macros = [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("db", "g!")];
    let words = [concat!("FIX", "ME"), concat!("XX", "X"), concat!("TO", "DO"), concat!("HA", "CK")];
    let mut complaints = Vec::new();
    for (path, text) in sources.rust() {
        for (number, line) in text.lines().enumerate() {
            let code = without_literals(code_of(line));
            let left = macros.iter().any(|marker| has_word(&code, marker))
                || words.iter().any(|marker| line.contains("//") && has_word(line, marker));
            if left {
                complaints.push(format!("{path}:{}: finish it or take it out: {}", number + 1, line.trim()));
            }
        }
    }
    complaints
}

/// Paths that exist on one person's machine only.
fn machine_paths(sources: &Sources) -> Vec<String> {
    let roots = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];
    let mut complaints = Vec::new();
    for (path, text) in sources.files.iter().filter(|(path, _)| path != "Cargo.lock") {
        for (number, line) in text.lines().enumerate() {
            let found = roots.iter().any(|root| {
                // Inside a longer path or an address it is not the root of anything.
                line.match_indices(root).any(|(at, _)| {
                    line.get(..at)
                        .and_then(|before| before.chars().last())
                        .is_none_or(|c| !is_word(c) && c != '.' && c != '}')
                })
            });
            if found {
                complaints.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    complaints
}

fn lengths(sources: &Sources) -> Vec<String> {
    let long = sources.rust().filter(|(_, text)| text.lines().count() > FILE_LINES_MAX);
    long.map(|(path, text)| format!("{path}: {} lines; split it by topic", text.lines().count())).collect()
}

/// Each third-party crate has a reason on its line in the root manifest.
fn reasons(sources: &Sources) -> Vec<String> {
    let manifest = sources.get("Cargo.toml").unwrap_or_default();
    let mut complaints = Vec::new();
    let mut inside = false;
    for (number, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
        } else if inside && line.contains('=') && !line.starts_with('#') && !line.contains("path = ") {
            let reason = line.split_once(" # ").map_or("", |(_, reason)| reason).trim();
            if reason.len() < 5 {
                complaints.push(format!("Cargo.toml:{}: why this one? {line}", number + 1));
            }
        }
    }
    complaints
}

/// A row of a table in hw-docs that names a constant in backticks says the same number as the source.
fn documented_numbers(sources: &Sources) -> Vec<String> {
    let constants = constants(sources);
    let mut complaints = Vec::new();
    for (path, text) in sources.files.iter().filter(|(path, _)| path.starts_with("hw-docs/")) {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
            for name in line.split('`').skip(1).step_by(2) {
                let Some(value) = constants.get(name) else {
                    if looks_like_constant(name) {
                        complaints.push(format!("{path}:{}: no constant {name} in the sources", number + 1));
                    }
                    continue;
                };
                if !numbers(line).contains(value) {
                    complaints
                        .push(format!("{path}:{}: {name} is {value} ({value:#x}) in the source", number + 1));
                }
            }
        }
    }
    complaints.extend(documented_addresses(sources, &constants));
    complaints.extend(documented_blocks(sources, &constants));
    complaints
}

/// Every base address of the board's memory map stands in `hw-docs/memory-map.md`.
fn documented_addresses(sources: &Sources, constants: &BTreeMap<String, u64>) -> Vec<String> {
    let (source, page) = ("board/qemu-virt/src/memory_map.rs", "hw-docs/memory-map.md");
    let told: Vec<u64> = sources.get(page).unwrap_or_default().lines().flat_map(numbers).collect();
    let text = sources.get(source).unwrap_or_default();
    constants
        .iter()
        .filter(|(name, _)| name.ends_with("_BASE") && text.contains(&format!("const {name}:")))
        .filter(|(_, address)| !told.contains(address))
        .map(|(name, address)| {
            format!("{page}: {name} is at {address:#010x} in {source}, which the page does not tell")
        })
        .collect()
}

/// Every range of blocks in `limits::flash` has a row in `hw-docs/flash-layout.md` with its blocks, address and size.
fn documented_blocks(sources: &Sources, constants: &BTreeMap<String, u64>) -> Vec<String> {
    let (source, page) = ("firmware/limits/src/flash.rs", "hw-docs/flash-layout.md");
    let mut complaints = Vec::new();
    let (Some(bank), Some(block)) = (constants.get("FLASH1_BASE"), constants.get("FLASH_BLOCK_BYTES")) else {
        return vec!["no FLASH1_BASE and FLASH_BLOCK_BYTES in the board's memory map".to_owned()];
    };
    if constants.get("BLOCK_BYTES") != Some(block) {
        complaints.push(format!("{source}: BLOCK_BYTES is not the board's FLASH_BLOCK_BYTES"));
    }
    for line in sources.get(source).unwrap_or_default().lines() {
        let Some((name, range)) =
            line.strip_prefix("pub const ").and_then(|rest| rest.split_once(": Range<u32> = "))
        else {
            continue;
        };
        let Some((first, end)) = range.trim_end_matches(';').split_once("..") else { continue };
        let (Some(first), Some(end)) = (number(first), number(end)) else { continue };
        let page_text = sources.get(page).unwrap_or_default();
        let row = page_text.lines().find(|row| row.starts_with('|') && row.contains(&format!("`{name}`")));
        let Some(row) = row else {
            complaints.push(format!("{page}: no row for `{name}`"));
            continue;
        };
        let told = numbers(row);
        let blocks = format!("{first}-{}", end - 1);
        let (address, bytes) = (bank + first * block, (end - first) * block);
        if !row.contains(&blocks) || !told.contains(&address) || !told.contains(&bytes) {
            complaints.push(format!(
                "{page}: `{name}` is blocks {blocks} at {address:#010x}, {} KiB, in the source: {row}",
                bytes >> 10
            ));
        }
    }
    complaints
}

fn looks_like_constant(name: &str) -> bool {
    name.len() > 4
        && name.contains('_')
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        && ["_BASE", "_BYTES", "_OFFSET", "_COUNT", "_MAX"].iter().any(|end| name.ends_with(end))
}

/// Constants of the boards and of `limits` whose value can be worked out from the text.
fn constants(sources: &Sources) -> BTreeMap<String, u64> {
    let mut known = BTreeMap::new();
    let files =
        || sources.rust().filter(|(path, _)| path.starts_with("board/") || path.starts_with("firmware/"));
    // A constant may be defined by others that come later: go round until nothing new is found.
    loop {
        let before = known.len();
        for (_, text) in files() {
            for line in text.lines() {
                let Some((_, rest)) = line.trim().split_once("const ") else { continue };
                let Some((name, rest)) = rest.split_once(':') else { continue };
                let Some((_, value)) = rest.split_once('=') else { continue };
                let value = value.split(';').next().unwrap_or(value);
                if let Some(value) = evaluate(value, &known) {
                    known.entry(name.trim().to_owned()).or_insert(value);
                }
            }
        }
        if known.len() == before {
            return known;
        }
    }
}

/// Sums, differences, products and shifts of numbers and known names; `None` for anything else.
fn evaluate(text: &str, known: &BTreeMap<String, u64>) -> Option<u64> {
    let text = text.trim();
    // Weakest binding first; the right operand binds tighter than what stands left of the last operator.
    for operator in ["<<", "+", "-", "*", "/"] {
        if let Some((left, right)) = text.rsplit_once(operator) {
            let (left, right) = (evaluate(left, known)?, evaluate(right, known)?);
            return match operator {
                "<<" => left.checked_shl(u32::try_from(right).ok()?),
                "+" => left.checked_add(right),
                "-" => left.checked_sub(right),
                "*" => left.checked_mul(right),
                _ => left.checked_div(right),
            };
        }
    }
    number(text).or_else(|| known.get(text.rsplit("::").next()?).copied())
}

fn number(text: &str) -> Option<u64> {
    let text = text.replace('_', "");
    let digits = text.trim_end_matches("usize").trim_end_matches("u32").trim_end_matches("u64");
    match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    }
}

/// Every number of a line, with its unit applied.
fn numbers(line: &str) -> Vec<u64> {
    // 4,096 is one number.
    let chars: Vec<char> = line.chars().collect();
    let digit = |index: usize| chars.get(index).is_some_and(char::is_ascii_digit);
    let joined: String = chars
        .iter()
        .enumerate()
        .filter(|(index, c)| **c != ',' || *index == 0 || !digit(index - 1) || !digit(index + 1))
        .map(|(_, c)| *c)
        .collect();
    let words: Vec<&str> = joined
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
        .collect();
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let Some(value) = number(word) else { continue };
        let unit = match words.get(index + 1).copied() {
            Some("KiB") => 1 << 10,
            Some("MiB") => 1 << 20,
            _ => 1,
        };
        found.push(value);
        found.push(value.saturating_mul(unit));
    }
    found
}

/// Licences are the ones that deny.toml allows, and everything comes from the one registry.
fn licences(metadata: &Metadata, sources: &Sources) -> Vec<String> {
    let policy = sources.get("deny.toml").unwrap_or_default();
    let allowed: Vec<&str> = policy
        .lines()
        .skip_while(|line| !line.starts_with("allow = ["))
        .skip(1)
        .take_while(|line| !line.starts_with(']'))
        .filter_map(|line| line.trim().strip_prefix('"')?.split('"').next())
        .collect();
    let mut complaints = Vec::new();
    for package in &metadata.foreign {
        let what = format!("{} {}", package.name, package.version);
        match &package.licence {
            Some(licence) if acceptable(licence, &allowed) => {}
            Some(licence) if policy.lines().any(|line| is_exception(line, &package.name, licence)) => {}
            Some(licence) => complaints.push(format!("{what}: licence {licence} is not in deny.toml")),
            None => complaints.push(format!("{what}: no licence")),
        }
        if !package.source.as_deref().is_some_and(|source| source.starts_with("registry+")) {
            complaints.push(format!("{what}: not from the registry"));
        }
    }
    complaints
}

/// Whether a line of deny.toml is `{ crate = "name", allow = ["licence"] },`.
fn is_exception(line: &str, name: &str, licence: &str) -> bool {
    let line = line.trim();
    line.starts_with(&format!("{{ crate = \"{name}\", ")) && line.contains(&format!("\"{licence}\""))
}

/// Whether an SPDX expression can be met with `allowed`; `AND` binds tighter than `OR`, `/` is an old `OR`.
fn acceptable(expression: &str, allowed: &[&str]) -> bool {
    let expression = expression.replace('/', " OR ");
    let (plain, grouped) = match (expression.find('('), expression.rfind(')')) {
        (Some(open), Some(close)) if open < close => {
            let inner = expression.get(open + 1..close).unwrap_or_default().to_owned();
            (format!("{}GROUP{}", &expression[..open], &expression[close + 1..]), acceptable(&inner, allowed))
        }
        _ => (expression, false),
    };
    plain.split(" OR ").any(|choice| {
        choice
            .split(" AND ")
            .map(str::trim)
            .all(|name| if name == "GROUP" { grouped } else { allowed.contains(&name) })
    })
}

/// A line without its comment.
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// A line of code without what stands in quotation marks.
fn without_literals(code: &str) -> String {
    let (mut kept, mut inside, mut escaped) = (String::new(), false, false);
    for c in code.chars() {
        if c == '"' && !escaped {
            inside = !inside;
        } else if !inside {
            kept.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    kept
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().last());
        let after = text.get(at + word.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(is_word) && (word.ends_with('!') || !after.is_some_and(is_word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole_words() {
        assert!(has_word("{ danger {", "danger"));
        assert!(!has_word("forbid(danger_code)", "danger"));
        assert_eq!(without_literals(r#"a("danger \" {", b) "c" d"#), "a(, b)  d");
    }

    #[test]
    fn licence_expressions() {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0"];
        assert!(acceptable("MIT OR GPL-3.0", &allowed));
        assert!(acceptable("MIT/Apache-2.0", &allowed));
        assert!(acceptable("(MIT OR Apache-2.0) AND Unicode-3.0", &allowed));
        assert!(!acceptable("(MIT OR Apache-2.0) AND GPL-3.0", &allowed));
        assert!(!acceptable("GPL-3.0", &allowed));
    }

    #[test]
    fn constants_are_worked_out() {
        let known = BTreeMap::from([("BLOCK".to_owned(), 256 * 1024)]);
        assert_eq!(evaluate("64 * 1024 * 1024", &known), Some(64 << 20));
        assert_eq!(evaluate("BLOCK + 0x40", &known), Some(262_208));
        assert_eq!(evaluate("1 << 4", &known), Some(16));
        assert_eq!(evaluate("crate::flash::BLOCK / 2", &known), Some(128 * 1024));
        assert_eq!(evaluate("max(1, 2)", &known), None);
    }

    #[test]
    fn documented_sizes_have_units() {
        assert!(numbers("| `A_BYTES` | 256 KiB |").contains(&262_144));
        assert!(numbers("| 0x0004_0000 |").contains(&262_144));
        assert!(numbers("4,096, of which 64").contains(&4_096));
    }
}
