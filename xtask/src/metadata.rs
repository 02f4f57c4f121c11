//! What cargo knows of the workspace.

use crate::commands::lint::host_cargo;
use crate::step;
use anyhow::{Context as _, Result};
use serde_json::Value;

/// The workspace and everything that it brings in.
pub struct Metadata {
    /// Our own packages.
    pub members: Vec<Member>,
    /// Everybody else's.
    pub foreign: Vec<Foreign>,
}

/// A package of the workspace.
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its folder, relative to the workspace.
    pub folder: String,
    /// What it uses: name, and whether only its tests do.
    pub dependencies: Vec<(String, bool)>,
}

/// A package from outside.
pub struct Foreign {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence, as an SPDX expression.
    pub licence: Option<String>,
    /// Where it comes from; `None` for a folder outside the workspace.
    pub source: Option<String>,
}

impl Metadata {
    /// Asks cargo.
    ///
    /// # Errors
    /// When cargo does not answer.
    pub fn read() -> Result<Self> {
        let text = step::output(host_cargo().args(["metadata", "--format-version", "1"]))?;
        let json: Value = serde_json::from_str(&text).context("cargo metadata")?;
        let root = format!("{}/", json["workspace_root"].as_str().context("no workspace")?);
        let ours: Vec<&str> = array(&json["workspace_members"]).filter_map(Value::as_str).collect();
        let (mut members, mut foreign) = (Vec::new(), Vec::new());
        for package in array(&json["packages"]) {
            let name = text_of(&package["name"]);
            if package["id"].as_str().is_some_and(|id| ours.contains(&id)) {
                let manifest = text_of(&package["manifest_path"]);
                let folder =
                    manifest.strip_prefix(&root).unwrap_or(&manifest).trim_end_matches("/Cargo.toml");
                let dependencies = array(&package["dependencies"])
                    .map(|dependency| (text_of(&dependency["name"]), dependency["kind"] == "dev"))
                    .collect();
                members.push(Member { name, folder: folder.to_owned(), dependencies });
            } else {
                foreign.push(Foreign {
                    name,
                    version: text_of(&package["version"]),
                    licence: package["license"].as_str().map(str::to_owned),
                    source: package["source"].as_str().map(str::to_owned),
                });
            }
        }
        Ok(Self { members, foreign })
    }
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
