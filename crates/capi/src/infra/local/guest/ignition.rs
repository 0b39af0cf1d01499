//! Reads an Ignition document of version 2, and the systemd units in it. Pure.
//!
//! Of a unit that is started this follows what decides whether kubeadm runs: `[Install]`, `ConditionPathExists`, `ExecStartPre` and
//! `ExecStart`, with their drop-ins, and the scripts that are run. The order of units is that of the document.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::document::{
    Command, Document, FILES_MAX, Files, command, commands_of, gunzip, nothing_to_do,
};

/// Bytes of all files together.
const CONTENT_MAX: usize = 32 << 20;
/// Commands that a document runs.
const COMMANDS_MAX: usize = 10_000;
/// The script with the commands of a KubeadmConfig, which are shown.
const KUBEADM_SCRIPT: &str = "/etc/kubeadm.sh";
/// Permissions of a file of which the document says none.
const PERMISSIONS: &str = "0644";

/// Reads a document. What is in it is never quoted: it has keys and tokens.
pub(super) fn parse(text: &str) -> Result<Document, String> {
    let parsed: Value = serde_json::from_str(text)
        .map_err(|error| format!("the bootstrap data is not JSON, see line {}", error.line()))?;
    check_version(&parsed)?;
    let mut document = Document {
        tool: "ignition",
        files: files(&parsed["storage"]["files"])?,
        commands: vec![],
        skipped: vec![],
    };
    for (i, unit) in list(&parsed["systemd"]["units"], "systemd.units")?
        .iter()
        .enumerate()
    {
        let Some(name) = unit["name"].as_str() else {
            return Err(format!("systemd.units[{i}] has no name"));
        };
        match started(name, unit, &document.files)? {
            Ok(commands) => document.commands.extend(commands),
            Err(why) => document.skipped.push(format!("unit {name} {why}")),
        }
        if document.commands.len() > COMMANDS_MAX {
            return Err(format!("the units run more than {COMMANDS_MAX} commands"));
        }
    }
    // The console takes the word after "passwd" for a password.
    for (section, shown) in [("passwd", "users and groups"), ("networkd", "networkd")] {
        if !parsed[section].is_null() {
            document.skipped.push(nothing_to_do(shown));
        }
    }
    let storage = parsed["storage"].as_object().into_iter().flatten();
    for (name, _) in storage.filter(|(name, _)| *name != "files") {
        document
            .skipped
            .push(nothing_to_do(&format!("storage.{name}")));
    }
    Ok(document)
}

fn check_version(document: &Value) -> Result<(), String> {
    let ignition = &document["ignition"];
    let Some(version) = ignition["version"].as_str() else {
        return Err(
            "the bootstrap data is no Ignition document: it has no ignition.version".to_owned(),
        );
    };
    let minor = version.strip_prefix("2.").and_then(|v| v.split('.').next());
    if !minor.is_some_and(|m| matches!(m, "0" | "1" | "2" | "3")) {
        return Err(format!(
            "ignition.version {version:?} is not supported: a simulated machine reads 2.0.0 to 2.3.0"
        ));
    }
    for other in ["append", "replace"] {
        let is_given = match &ignition["config"][other] {
            Value::Array(list) => !list.is_empty(),
            other => !other.is_null(),
        };
        if is_given {
            return Err(format!(
                "ignition.config.{other} names another document: a simulated machine fetches nothing"
            ));
        }
    }
    Ok(())
}

fn list<'a>(value: &'a Value, path: &str) -> Result<&'a [Value], String> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(list) => Ok(list),
        _ => Err(format!("{path} is no list")),
    }
}

fn files(section: &Value) -> Result<Files, String> {
    let list = list(section, "storage.files")?;
    if list.len() > FILES_MAX {
        return Err(format!(
            "storage.files has {} entries, more than {FILES_MAX}",
            list.len()
        ));
    }
    let mut files = Files::default();
    let mut all = 0;
    for (i, entry) in list.iter().enumerate() {
        let path = entry["path"]
            .as_str()
            .filter(|path| path.starts_with('/'))
            .ok_or_else(|| format!("storage.files[{i}] has no absolute path"))?;
        let wrong = |why: String| format!("storage.files[{i}] ({path}): {why}");
        let content = content(&entry["contents"]).map_err(wrong)?;
        all += content.len();
        if all > CONTENT_MAX {
            return Err(format!(
                "the files are larger than {CONTENT_MAX} bytes together when unpacked"
            ));
        }
        let is_more = entry["append"] == true;
        let mode = match &entry["mode"] {
            Value::Null => files
                .permissions(path)
                .filter(|_| is_more)
                .unwrap_or(PERMISSIONS)
                .to_owned(),
            other => {
                let mode = other.as_u64().filter(|mode| *mode <= 0o7777);
                let mode =
                    mode.ok_or_else(|| wrong("the mode is no number of permissions".to_owned()))?;
                format!("{mode:04o}")
            }
        };
        files.put(path, content, mode, is_more);
    }
    Ok(files)
}

fn content(contents: &Value) -> Result<Vec<u8>, String> {
    let source = contents["source"].as_str().unwrap_or_default();
    if source.is_empty() {
        return Ok(vec![]);
    }
    let bytes = match source.split_once(':') {
        Some(("data", url)) => data(url)?,
        Some((scheme, _)) => {
            return Err(format!(
                "the source is a URL of {scheme}: a simulated machine fetches nothing, only data URLs are read"
            ));
        }
        None => return Err("the source is no URL".to_owned()),
    };
    match contents["compression"].as_str().unwrap_or_default() {
        "" => Ok(bytes),
        "gzip" => gunzip(&bytes),
        other => Err(format!("the compression {other:?} is unknown")),
    }
}

/// What follows `data:`; RFC 2397.
fn data(url: &str) -> Result<Vec<u8>, String> {
    let (kind, escaped) = url
        .split_once(',')
        .ok_or("the data URL has no comma before its data")?;
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || u8::try_from(char::from(rest.next()?).to_digit(16)?).ok();
        match (digit(), digit()) {
            (Some(high), Some(low)) => bytes.push(high * 16 + low),
            _ => return Err("the data URL has a % without two hexadecimal digits".to_owned()),
        }
    }
    if kind.ends_with(";base64") {
        return STANDARD
            .decode(&bytes)
            .map_err(|_| "the data URL is not base64".to_owned());
    }
    Ok(bytes)
}

/// A unit with its drop-ins: sections, settings and values, in order.
struct Unit(Vec<(String, String, String)>);

impl Unit {
    fn of(unit: &Value) -> Self {
        let mut settings = vec![];
        let dropins = unit["dropins"].as_array().into_iter().flatten();
        let texts = std::iter::once(unit).chain(dropins);
        for text in texts.filter_map(|t| t["contents"].as_str()) {
            let mut section = String::new();
            for line in whole_lines(text) {
                let line = line.trim();
                if line.starts_with(['#', ';']) {
                    continue;
                }
                let name = line.strip_prefix('[').and_then(|l| l.strip_suffix(']'));
                if let Some(name) = name {
                    name.clone_into(&mut section);
                } else if let Some((key, value)) = line.split_once('=') {
                    let [key, value] = [key, value].map(|t| t.trim().to_owned());
                    settings.push((section.clone(), key, value));
                }
            }
        }
        Self(settings)
    }

    /// Values of a setting; an empty one takes back those before it.
    fn all(&self, section: &str, key: &str) -> Vec<&str> {
        let mut values = vec![];
        for (_, _, value) in self.0.iter().filter(|(s, k, _)| s == section && k == key) {
            if value.is_empty() {
                values.clear();
            } else {
                values.push(value.as_str());
            }
        }
        values
    }
}

/// Lines of a text, those that end with a backslash together with the next.
fn whole_lines(text: &str) -> Vec<String> {
    let mut lines = vec![];
    let mut line = String::new();
    for part in text.lines() {
        match part.strip_suffix('\\') {
            Some(part) => {
                line.push_str(part);
                line.push(' ');
            }
            None => {
                line.push_str(part);
                lines.push(std::mem::take(&mut line));
            }
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// What a unit runs at boot, or why it does nothing here.
///
/// # Errors
/// Why the unit fails.
fn started(
    name: &str,
    unit: &Value,
    files: &Files,
) -> Result<Result<Vec<Command>, String>, String> {
    let is_on = |flag: &str| unit[flag] == true;
    if is_on("mask") {
        return Ok(Err("skipped: it is masked".to_owned()));
    }
    if !is_on("enabled") && !is_on("enable") {
        return Ok(Err("skipped: it is not enabled".to_owned()));
    }
    if unit["contents"].as_str().is_none_or(str::is_empty) || !name.ends_with(".service") {
        return Ok(Err(
            "skipped, there is nothing to do on a simulated machine".to_owned(),
        ));
    }
    let settings = Unit::of(unit);
    let is_wanted = ["WantedBy", "RequiredBy"]
        .iter()
        .any(|key| !settings.all("Install", key).is_empty());
    if !is_wanted {
        return Ok(Err("skipped: its [Install] has no WantedBy".to_owned()));
    }
    for condition in settings.all("Unit", "ConditionPathExists") {
        let (path, is_there) = match condition.strip_prefix('!') {
            Some(path) => (path, false),
            None => (condition, true),
        };
        if files.contains(path) != is_there {
            return Ok(Err(format!(
                "skipped: ConditionPathExists={condition} is not met"
            )));
        }
    }
    let before = settings.all("Service", "ExecStartPre");
    let lines = before
        .into_iter()
        .chain(settings.all("Service", "ExecStart"));
    let mut commands = vec![];
    for line in lines {
        let run = execute(line, files);
        commands.extend(run.map_err(|why| format!("unit {name}: {why}"))?);
        if commands.len() > COMMANDS_MAX {
            return Err(format!(
                "unit {name} runs more than {COMMANDS_MAX} commands"
            ));
        }
    }
    Ok(Ok(commands))
}

/// What a line of `ExecStart` comes to.
fn execute(line: &str, files: &Files) -> Result<Vec<Command>, String> {
    let line = line.trim_start_matches(['-', '@', ':', '+', '!']);
    let words: Vec<_> = line.split_whitespace().collect();
    let shells = ["/bin/bash", "/usr/bin/bash", "/bin/sh", "/usr/bin/sh"];
    match words.as_slice() {
        [shell, path, ..] if shells.contains(shell) && !path.starts_with('-') => {
            script(path, files)
        }
        [path, ..] if files.contains(path) => {
            let mode = files.permissions(path).unwrap_or_default();
            let is_executable = mode.bytes().rev().take(3).any(|digit| digit & 1 == 1);
            if !is_executable {
                return Err(format!("{path}: permission denied, its mode is {mode}"));
            }
            script(path, files)
        }
        [program, rest @ ..] => {
            let name = program.rsplit('/').next().unwrap_or(program);
            let is_kubeadm = name == "kubeadm";
            let program = if is_kubeadm { name } else { program };
            Ok(vec![command(&format!("{program} {}", rest.join(" ")))])
        }
        [] => Ok(vec![]),
    }
}

/// Commands of a shell script. Documents in it are passed over, so that nothing in them is taken for a command.
fn script(path: &str, files: &Files) -> Result<Vec<Command>, String> {
    let text = files
        .text(path)
        .ok_or_else(|| format!("{path}: no such file"))?;
    let mut commands = vec![];
    let lines = whole_lines(text);
    let mut next = 0;
    while let Some(line) = lines.get(next) {
        next += 1;
        if commands.len() > COMMANDS_MAX {
            return Err(format!("{path} has more than {COMMANDS_MAX} commands"));
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with("set ") {
            continue;
        }
        // Without the line that ends it, it is none: a shift in arithmetic, say.
        let end = here_document(line);
        let end = end.and_then(|end| lines[next..].iter().position(|l| l.trim() == end));
        match end {
            Some(rest) => {
                commands.push(Command::Other(line.to_owned()));
                next += rest + 1;
            }
            None => commands.extend(commands_of(line)),
        }
    }
    if path != KUBEADM_SCRIPT {
        // Whatever is in it may come from a Secret, and nothing of it is done: the console says no more than that.
        for command in &mut commands {
            if let Command::Other(text) = command {
                *text = format!("a command of {path}");
            }
        }
    }
    Ok(commands)
}

/// The word that ends the document which begins after this line.
fn here_document(line: &str) -> Option<&str> {
    let (_, after) = line.split_once("<<")?;
    let word = after.strip_prefix('-').unwrap_or(after).trim_start();
    let word = word.split_whitespace().next()?;
    let word = word.trim_matches(['"', '\'', '\\']);
    (!word.is_empty() && !word.starts_with('<')).then_some(word)
}
