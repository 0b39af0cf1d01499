//! Reads a cloud-init document. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Hardware;
use super::document::{
    Command, Document, FILES_MAX, Files, command, commands_of, gunzip, nothing_to_do,
};

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
        tool: "cloud-init",
        files: Files::default(),
        commands: vec![],
        skipped: vec![],
    };
    for (name, section) in &sections {
        match name.as_str() {
            "write_files" => document.files = files(section)?,
            "runcmd" => document.commands = commands(section)?,
            other => document
                .skipped
                .push(nothing_to_do(&format!("section {other}"))),
        }
    }
    document.skipped.sort();
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
        files.put(path, content, permissions, entry["append"] == true);
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

fn commands(section: &Value) -> Result<Vec<Command>, String> {
    let list = section.as_array().ok_or("runcmd is no list")?;
    let mut commands = vec![];
    for (i, entry) in list.iter().enumerate() {
        match entry {
            Value::String(line) => commands.extend(commands_of(line)),
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
