//! What people see: data on standard output, talk on standard error, colour only where it helps.

use std::io::{self, IsTerminal, Write};

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    #[value(alias = "table")]
    Text,
    /// For programs; one document, or one a line while something is under way.
    Json,
    /// For programs and people; one document, or several while something is under way.
    Yaml,
}

/// The terminal.
pub struct Ui {
    format: Format,
    color: bool,
    is_terminal: bool,
}

/// The role of a piece of text; roles become colours on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Good,
    Waiting,
    Bad,
    Faint,
}

impl Ui {
    /// `color` is off when standard output is no terminal or `NO_COLOR` is set (which `config` reads).
    #[must_use]
    pub fn new(format: Format, no_color: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self {
            format,
            color: !no_color && is_terminal,
            is_terminal,
        }
    }

    /// Whether lines can be written over: people look at a terminal.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.is_terminal && self.format == Format::Text
    }

    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Prints one line of data. A reader that went away is no error.
    pub fn line(&self, text: &str) {
        let mut out = io::stdout().lock();
        if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
            tracing::debug!("standard output is closed");
        }
    }

    /// Prints a document, in YAML if that is asked for, else as one line of JSON.
    pub fn document(&self, document: &serde_json::Value) {
        match self.format {
            Format::Yaml => self.line(render::yaml::to_string(document).trim_end()),
            Format::Text | Format::Json => self.line(&document.to_string()),
        }
    }

    /// Prints one of several documents.
    pub fn event(&self, event: &serde_json::Value) {
        if self.format == Format::Yaml {
            self.line("---");
        }
        self.document(event);
    }

    /// Prints one line of talk.
    pub fn note(&self, text: &str) {
        let mut out = io::stderr().lock();
        if writeln!(out, "{text}").is_err() {
            tracing::debug!("standard error is closed");
        }
    }

    /// `text` in the colour of its role.
    #[must_use]
    pub fn paint(&self, role: Role, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match role {
            Role::Good => "32",
            Role::Waiting => "33",
            Role::Bad => "31",
            Role::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// `0.6 s`, `12 s`, `3 min 20 s`.
#[must_use]
pub fn seconds(duration: std::time::Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..120 => format!("{whole} s"),
        _ => format!("{} min {} s", whole / 60, whole % 60),
    }
}
