//! Reads what the table needs of a Go package: its structs with tags and markers, its named types, its constants.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};

/// The declarations of one package.
pub(super) struct Package {
    /// Import path, e.g. `k8s.io/api/core/v1`.
    pub path: String,
    /// First words of its type names in OpenAPI, e.g. `io.k8s.api.core.v1`.
    pub name: String,
    pub(super) structs: BTreeMap<String, Struct>,
    /// Other named types and what they stand for.
    pub named: BTreeMap<String, Named>,
    /// Alias of each import and its path; all files of these packages use the same ones.
    pub imports: BTreeMap<String, String>,
}

/// `type X Y`.
pub(super) struct Named {
    pub target: String,
    pub markers: Vec<String>,
    /// Values of the constants of this type.
    pub constants: Vec<String>,
}

/// `type X struct`.
pub(super) struct Struct {
    pub markers: Vec<String>,
    pub fields: Vec<Field>,
}

/// One member of a struct.
pub(super) struct Field {
    /// Type as written.
    pub ty: String,
    pub tags: BTreeMap<String, String>,
    /// Comment lines that begin with `+`, without it.
    pub markers: Vec<String>,
}

impl Field {
    /// Value of marker `name=value`.
    pub(super) fn marker(&self, name: &str) -> Option<&str> {
        marker(&self.markers, name)
    }

    /// All values of a marker that may be repeated.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.markers
            .iter()
            .filter_map(move |m| m.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Value of marker `name=value` in `markers`.
pub(super) fn marker<'a>(markers: &'a [String], name: &str) -> Option<&'a str> {
    markers
        .iter()
        .find_map(|m| m.strip_prefix(name)?.strip_prefix('='))
}

impl Package {
    /// Reads the hand-written `types*.go` files in `dir`.
    pub(super) fn read(dir: &Path, path: &str, name: &str) -> anyhow::Result<Self> {
        let mut package = Self {
            path: path.into(),
            name: name.into(),
            structs: BTreeMap::new(),
            named: BTreeMap::new(),
            imports: BTreeMap::new(),
        };
        let mut files: Vec<_> = std::fs::read_dir(dir)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|file| {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("types")
                    && name.ends_with(".go")
                    && !name.ends_with("_test.go")
                    && !name.contains("swagger")
            })
            .collect();
        files.sort();
        if files.is_empty() {
            bail!("no types*.go");
        }
        let mut constants = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(&file)?;
            package
                .parse(&without_block_comments(&text), &mut constants)
                .with_context(|| format!("parsing {}", file.display()))?;
        }
        for (ty, value) in constants {
            if let Some(named) = package.named.get_mut(&ty)
                && !named.constants.contains(&value)
            {
                named.constants.push(value);
            }
        }
        Ok(package)
    }

    fn parse(&mut self, text: &str, constants: &mut Vec<(String, String)>) -> anyhow::Result<()> {
        let mut markers = Vec::new();
        let mut block = "";
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let trimmed = line.trim();
            if let Some(comment) = trimmed.strip_prefix("//") {
                if let Some(marker) = comment.trim().strip_prefix('+') {
                    markers.push(marker.trim().to_owned());
                }
                continue;
            }
            match (block, trimmed) {
                ("", "import (") => block = "import",
                ("", "const (") => block = "const",
                ("import" | "const", ")") => block = "",
                ("import", _) => self.import(trimmed),
                ("const", _) => constants.extend(constant(trimmed)),
                _ => {}
            }
            if let Some(single) = trimmed.strip_prefix("import ") {
                self.import(single);
            }
            if let Some(single) = trimmed.strip_prefix("const ") {
                constants.extend(constant(single));
            }
            if block.is_empty()
                && let Some(declaration) = line.strip_prefix("type ")
            {
                let (name, target) = declaration
                    .split_once(' ')
                    .with_context(|| format!("unreadable declaration: {line}"))?;
                let markers = std::mem::take(&mut markers);
                if target.starts_with("struct") {
                    let fields = if target.ends_with('}') {
                        Vec::new()
                    } else {
                        fields(&mut lines)?
                    };
                    self.structs.insert(name.into(), Struct { markers, fields });
                } else {
                    let target = target.trim_start_matches("= ").trim().to_owned();
                    let named = Named {
                        target,
                        markers,
                        constants: Vec::new(),
                    };
                    self.named.insert(name.into(), named);
                }
            }
            // Markers of a type may stand one paragraph above its description.
            if !trimmed.is_empty() {
                markers.clear();
            }
        }
        Ok(())
    }

    fn import(&mut self, line: &str) {
        let Some((alias, path)) = line.trim_end_matches('"').split_once('"') else {
            return;
        };
        let alias = match alias.trim() {
            "" => path.rsplit('/').next().unwrap_or_default(),
            alias => alias,
        };
        self.imports.insert(alias.into(), path.into());
    }
}

/// The text without `/* … */`, which the packages use for licences and historical notes.
fn without_block_comments(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        // `//*`-like sequences and globs in line comments are not block comments.
        let line = before.rsplit('\n').next().unwrap_or_default();
        if line.contains("//") {
            kept.push_str(before);
            kept.push_str("/ *");
            rest = after;
            continue;
        }
        kept.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}

/// `Name Type = "value"` gives `(Type, value)`.
fn constant(line: &str) -> Option<(String, String)> {
    let (left, right) = line.split_once('=')?;
    let mut words = left.split_whitespace();
    words.next()?;
    let ty = words.next()?;
    let value = right.trim().strip_prefix('"')?.split('"').next()?;
    Some((ty.into(), value.into()))
}

/// The members up to the closing brace.
fn fields<'a>(lines: &mut impl Iterator<Item = &'a str>) -> anyhow::Result<Vec<Field>> {
    let mut fields = Vec::new();
    let mut markers = Vec::new();
    for line in lines {
        if line == "}" {
            return Ok(fields);
        }
        let line = line.trim();
        if let Some(comment) = line.strip_prefix("//") {
            if let Some(marker) = comment.trim().strip_prefix('+') {
                markers.push(marker.trim().to_owned());
            }
            continue;
        }
        if line.is_empty() {
            markers.clear();
            continue;
        }
        let markers = std::mem::take(&mut markers);
        let mut parts = line.splitn(3, '`');
        let head = parts.next().unwrap_or_default().trim();
        let tags = tags(parts.next().unwrap_or_default());
        // An embedded struct has a type but no name.
        let ty = head
            .split_once(char::is_whitespace)
            .map_or(head, |(_, ty)| ty.trim());
        fields.push(Field {
            ty: ty.into(),
            tags,
            markers,
        });
    }
    bail!("a struct without end")
}

fn tags(text: &str) -> BTreeMap<String, String> {
    let mut rest = text;
    let mut tags = BTreeMap::new();
    while let Some((key, after)) = rest.split_once(":\"") {
        let Some((value, after)) = after.split_once('"') else {
            break;
        };
        tags.insert(key.trim().to_owned(), value.to_owned());
        rest = after;
    }
    tags
}
