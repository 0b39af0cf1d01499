//! Reads a cloud-init document. Pure.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Hardware;

/// The most that a compressed file may become.
const FILE_MAX: u64 = 16 << 20;
/// Files in a document.
const FILES_MAX: usize = 1000;

/// A document, as far as a simulated machine follows it.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) files: Files,
    pub(super) commands: Vec<Command>,
    /// Sections that don't matter here.
    pub(super) ignored: Vec<String>,
}

/// One command of `runcmd`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Kubeadm {
        verb: String,
        config: String,
    },
    /// `echo TEXT > PATH`.
    Echo {
        text: String,
        path: String,
    },
    Other(String),
}

/// Files on the machine.
#[derive(Debug, Default)]
pub(super) struct Files(BTreeMap<String, File>);

#[derive(Debug, Default)]
struct File {
    content: Vec<u8>,
    permissions: String,
}

impl Files {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The content of a file, if it is there and text.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(&self.0.get(path)?.content).ok()
    }

    /// What must never be shown: words that look like keys, in files that only root may read.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let closed = self.0.values().filter(|f| f.permissions.ends_with("00"));
        let texts = closed.filter_map(|f| std::str::from_utf8(&f.content).ok());
        let words = texts.flat_map(|text| text.split(|c: char| c.is_whitespace() || c == '"'));
        words.filter(|word| {
            let has = |is_it: fn(&u8) -> bool| word.as_bytes().iter().any(is_it);
            let is_base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=_-".contains(&b);
            word.bytes().all(is_base64)
                && has(u8::is_ascii_uppercase)
                && has(u8::is_ascii_lowercase)
                && has(|b| !b.is_ascii_alphabetic())
        })
    }

    /// Paths that begin with a prefix, in order.
    pub(super) fn below(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let paths = self.0.keys().map(String::as_str);
        paths.filter(move |path| path.starts_with(prefix))
    }

    /// The permissions of a file, as the document gave them.
    #[cfg(test)]
    pub(super) fn permissions(&self, path: &str) -> Option<&str> {
        Some(&self.0.get(path)?.permissions)
    }

    pub(super) fn write(&mut self, path: &str, text: String) {
        let file = File {
            content: text.into_bytes(),
            permissions: "0644".to_owned(),
        };
        self.0.insert(path.to_owned(), file);
    }
}

/// Reads a document: a line that says it is a Jinja template, if it is one, then `#cloud-config` and YAML.
pub(super) fn parse(text: &str, hardware: &Hardware) -> Result<Document, String> {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let is_template = first.trim_end() == "## template: jinja";
    let body = if is_template {
        render(rest, hardware)
    } else {
        text.to_owned()
    };
    if body.lines().next().map(str::trim_end) != Some("#cloud-config") {
        return Err(
            "the bootstrap data is no cloud-init document: it does not begin with #cloud-config"
                .to_owned(),
        );
    }
    let parsed: Value =
        crate::yaml::parse(&body).map_err(|error| format!("the bootstrap data is {error}"))?;
    let Value::Object(sections) = parsed else {
        return Err("the bootstrap data is no mapping".to_owned());
    };
    let mut document = Document {
        files: Files::default(),
        commands: vec![],
        ignored: vec![],
    };
    for (name, section) in &sections {
        match name.as_str() {
            "write_files" => document.files = files(section)?,
            "runcmd" => document.commands = commands(section)?,
            other => document.ignored.push(other.to_owned()),
        }
    }
    document.ignored.sort();
    Ok(document)
}

/// Replaces what a document may ask of the machine's metadata. What isn't known is shown as cloud-init shows it.
fn render(text: &str, hardware: &Hardware) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((expression, after)) = after.split_once("}}") else {
            out.push_str("{{");
            rest = after;
            continue;
        };
        let variable = expression.trim();
        let name = variable
            .strip_prefix("ds.meta_data.")
            .or(variable.strip_prefix("v1."));
        match name {
            Some("local_hostname" | "local-hostname" | "hostname" | "name") => {
                out.push_str(&hardware.name);
            }
            Some("instance_id" | "instance-id") => out.push_str(&hardware.provider_id),
            Some("local_ipv4" | "local-ipv4") => out.push_str(&hardware.address),
            _ => {
                out.push_str("CI_MISSING_JINJA_VAR/");
                out.push_str(name.unwrap_or(variable));
            }
        }
        rest = after;
    }
    out + rest
}

fn files(section: &Value) -> Result<Files, String> {
    let list = section.as_array().ok_or("write_files is no list")?;
    if list.len() > FILES_MAX {
        return Err(format!(
            "write_files has {} entries, more than {FILES_MAX}",
            list.len()
        ));
    }
    let mut files = Files::default();
    for (i, entry) in list.iter().enumerate() {
        let path = entry["path"]
            .as_str()
            .ok_or_else(|| format!("write_files[{i}] has no path"))?;
        let content = match &entry["content"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let encoding = entry["encoding"].as_str().unwrap_or_default();
        let content = decode(&content, encoding)
            .map_err(|why| format!("write_files[{i}] ({path}): {why}"))?;
        let permissions = match &entry["permissions"] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => "0644".to_owned(),
        };
        let file = files.0.entry(path.to_owned()).or_default();
        if entry["append"] == true {
            file.content.extend(content);
        } else {
            file.content = content;
        }
        file.permissions = permissions;
    }
    Ok(files)
}

fn decode(content: &str, encoding: &str) -> Result<Vec<u8>, String> {
    let base64 = |text: &str| {
        let plain: String = text.split_whitespace().collect();
        STANDARD
            .decode(plain)
            .map_err(|_| "the content is not base64".to_owned())
    };
    match encoding {
        "" | "text/plain" => Ok(content.as_bytes().to_vec()),
        "b64" | "base64" => base64(content),
        "gz" | "gzip" => gunzip(content.as_bytes()),
        "gz+base64" | "gzip+base64" | "gz+b64" | "gzip+b64" => gunzip(&base64(content)?),
        other => Err(format!("the encoding {other:?} is unknown")),
    }
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = vec![];
    let mut reader = flate2::read::GzDecoder::new(bytes).take(FILE_MAX + 1);
    reader
        .read_to_end(&mut out)
        .map_err(|_| "the content is not gzip".to_owned())?;
    if out.len() as u64 > FILE_MAX {
        return Err(format!(
            "the content is larger than {FILE_MAX} bytes when unpacked"
        ));
    }
    Ok(out)
}

fn commands(section: &Value) -> Result<Vec<Command>, String> {
    let list = section.as_array().ok_or("runcmd is no list")?;
    let mut commands = vec![];
    for (i, entry) in list.iter().enumerate() {
        match entry {
            Value::String(line) => commands.extend(line.split("&&").map(command)),
            Value::Array(words) => {
                let words: Vec<_> = words
                    .iter()
                    .map(|w| w.as_str().map_or_else(|| w.to_string(), str::to_owned))
                    .collect();
                commands.push(command(&words.join(" ")));
            }
            _ => return Err(format!("runcmd[{i}] is neither text nor a list")),
        }
    }
    Ok(commands)
}

fn command(text: &str) -> Command {
    let words: Vec<_> = text.split_whitespace().collect();
    match words.as_slice() {
        ["kubeadm", verb @ ("init" | "join"), options @ ..] => match config_option(options) {
            Some(config) => Command::Kubeadm {
                verb: (*verb).to_owned(),
                config: config.to_owned(),
            },
            None => Command::Other(text.trim().to_owned()),
        },
        ["echo", words @ .., ">", path] => Command::Echo {
            text: format!("{}\n", words.join(" ")),
            path: (*path).to_owned(),
        },
        _ => Command::Other(text.trim().to_owned()),
    }
}

fn config_option<'a>(options: &[&'a str]) -> Option<&'a str> {
    let after = options
        .iter()
        .position(|o| *o == "--config")
        .and_then(|i| options.get(i + 1))
        .copied();
    after.or_else(|| options.iter().find_map(|o| o.strip_prefix("--config=")))
}
