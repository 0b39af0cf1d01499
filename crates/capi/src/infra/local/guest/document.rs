//! Bootstrap data, and what the documents in it come to: files and commands. Pure.

use std::collections::BTreeMap;
use std::io::Read;

use k8s_openapi::api::core::v1::Secret;

use super::{Hardware, cloudinit, ignition};
use crate::secret;

/// The most that a compressed file may become.
const FILE_MAX: u64 = 16 << 20;
/// Files in a document.
pub(super) const FILES_MAX: usize = 1000;

/// The bootstrap data of a machine.
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct BootstrapData {
    /// What the document is: cloud-config or ignition. Empty means cloud-config.
    #[cfg_attr(test, serde(default))]
    pub format: String,
    pub document: String,
}

/// Nothing of the document, which has keys and tokens in it.
impl std::fmt::Debug for BootstrapData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} bytes", self.format, self.document.len())
    }
}

impl BootstrapData {
    /// What a Secret holds, by the contract of bootstrap providers; `None` if it has no text under `value`.
    #[must_use]
    pub fn of(secret: &Secret) -> Option<Self> {
        Some(Self {
            format: secret::text(secret, "format").unwrap_or_default(),
            document: secret::text(secret, "value")?,
        })
    }

    pub(super) fn parse(&self, hardware: &Hardware) -> Result<Document, String> {
        match self.format.as_str() {
            "" | "cloud-config" => cloudinit::parse(&self.document, hardware),
            "ignition" => ignition::parse(&self.document),
            other => Err(format!(
                "the bootstrap data has the format {other:?}: a simulated machine reads cloud-config and ignition"
            )),
        }
    }
}

/// A document, as far as a simulated machine follows it.
#[derive(Debug)]
pub(super) struct Document {
    /// What reads such documents on a real machine.
    pub(super) tool: &'static str,
    pub(super) files: Files,
    pub(super) commands: Vec<Command>,
    /// What is left out, and why.
    pub(super) skipped: Vec<String>,
}

/// One command that a document says.
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
    /// Writes a file as a document says, or adds to one that is there.
    pub(super) fn put(&mut self, path: &str, content: Vec<u8>, permissions: String, append: bool) {
        let file = self.0.entry(path.to_owned()).or_default();
        if append {
            file.content.extend(content);
        } else {
            file.content = content;
        }
        file.permissions = permissions;
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

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

/// What the console says of a part that a simulated machine leaves out.
pub(super) fn nothing_to_do(part: &str) -> String {
    format!("{part} skipped, there is nothing to do on a simulated machine")
}

pub(super) fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
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

/// Commands of one line.
pub(super) fn commands_of(line: &str) -> impl Iterator<Item = Command> {
    line.split("&&").map(command)
}

pub(super) fn command(text: &str) -> Command {
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
