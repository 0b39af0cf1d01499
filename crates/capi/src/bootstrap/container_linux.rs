//! Container Linux configs: YAML that people write, as the Ignition JSON that machines read, and what of it is merged into another document.
//! Pure.
//!
//! What translates plainly is translated. What would need the network, a platform or a program of the machine's is refused by name, because a
//! machine that boots without it is worse than none.

use serde_json::{Map, Value, json};

use super::ignition::data_url;

/// What a member of a mapping holds.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Flag,
    Number,
    Texts,
    /// A user or a group, by name or number.
    Identity,
    /// What is in a file.
    Contents,
    /// Additions to a unit.
    Dropins,
    /// Known, but refused, and what to do instead.
    Refused(&'static str),
}

/// Members of a mapping: their names here, their names in Ignition, and what they hold.
type Members = &'static [(&'static str, &'static str, Kind)];

const FILE: Members = &[
    ("filesystem", "filesystem", Kind::Text),
    ("path", "path", Kind::Text),
    ("overwrite", "overwrite", Kind::Flag),
    ("append", "append", Kind::Flag),
    ("mode", "mode", Kind::Number),
    ("contents", "contents", Kind::Contents),
    ("user", "user", Kind::Identity),
    ("group", "group", Kind::Identity),
];
const DIRECTORY: Members = &[
    ("filesystem", "filesystem", Kind::Text),
    ("path", "path", Kind::Text),
    ("overwrite", "overwrite", Kind::Flag),
    ("mode", "mode", Kind::Number),
    ("user", "user", Kind::Identity),
    ("group", "group", Kind::Identity),
];
const LINK: Members = &[
    ("filesystem", "filesystem", Kind::Text),
    ("path", "path", Kind::Text),
    ("overwrite", "overwrite", Kind::Flag),
    ("target", "target", Kind::Text),
    ("hard", "hard", Kind::Flag),
    ("user", "user", Kind::Identity),
    ("group", "group", Kind::Identity),
];
const UNIT: Members = &[
    ("name", "name", Kind::Text),
    ("enable", "enable", Kind::Flag),
    ("enabled", "enabled", Kind::Flag),
    ("mask", "mask", Kind::Flag),
    ("contents", "contents", Kind::Text),
    ("dropins", "dropins", Kind::Dropins),
];
const NETWORK_UNIT: Members = &[
    ("name", "name", Kind::Text),
    ("contents", "contents", Kind::Text),
    ("dropins", "dropins", Kind::Dropins),
];
const DROPIN: Members = &[
    ("name", "name", Kind::Text),
    ("contents", "contents", Kind::Text),
];
const USER: Members = &[
    ("name", "name", Kind::Text),
    ("password_hash", "passwordHash", Kind::Text),
    ("ssh_authorized_keys", "sshAuthorizedKeys", Kind::Texts),
    ("uid", "uid", Kind::Number),
    ("gecos", "gecos", Kind::Text),
    ("home_dir", "homeDir", Kind::Text),
    ("no_create_home", "noCreateHome", Kind::Flag),
    ("primary_group", "primaryGroup", Kind::Text),
    ("groups", "groups", Kind::Texts),
    ("no_user_group", "noUserGroup", Kind::Flag),
    ("system", "system", Kind::Flag),
    ("no_log_init", "noLogInit", Kind::Flag),
    ("shell", "shell", Kind::Text),
    (
        "create",
        "",
        Kind::Refused("its members belong into the user itself"),
    ),
];
const GROUP: Members = &[
    ("name", "name", Kind::Text),
    ("gid", "gid", Kind::Number),
    ("password_hash", "passwordHash", Kind::Text),
    ("system", "system", Kind::Flag),
];
const IDENTITY: Members = &[("id", "id", Kind::Number), ("name", "name", Kind::Text)];
const CONTENTS: Members = &[
    ("inline", "inline", Kind::Text),
    ("remote", "", Kind::Refused("use inline")),
    ("local", "", Kind::Refused("use inline")),
];

/// A list of the document: its section, its name, what its entries hold, and what they must hold.
struct List {
    section: &'static str,
    name: &'static str,
    members: Members,
    required: &'static [&'static str],
    /// By what entries are the same in two documents.
    keys: &'static [&'static str],
    /// Whether an entry takes the place of the same one, or only its members do.
    is_whole: bool,
}

const fn list(section: &'static str, name: &'static str, members: Members) -> List {
    List {
        section,
        name,
        members,
        required: &["name"],
        keys: &["name"],
        is_whole: false,
    }
}

const fn node(name: &'static str, members: Members, required: &'static [&'static str]) -> List {
    List {
        section: "storage",
        name,
        members,
        required,
        keys: &["filesystem", "path"],
        is_whole: true,
    }
}

const LISTS: &[List] = &[
    list("passwd", "users", USER),
    list("passwd", "groups", GROUP),
    node("files", FILE, &["path"]),
    node("directories", DIRECTORY, &["path"]),
    node("links", LINK, &["path", "target"]),
    list("systemd", "units", UNIT),
    list("networkd", "units", NETWORK_UNIT),
];

/// Sections, and lists of sections, that are known but refused.
const REFUSED: &[(&str, &str)] = &[
    ("docker", "write its files and units instead"),
    ("etcd", "kubeadm runs etcd"),
    ("flannel", "install a network add-on in the cluster"),
    ("ignition", "a machine reads one document"),
    ("locksmith", "write its files and units instead"),
    ("storage.disks", "use spec.diskSetup.partitions"),
    ("storage.filesystems", "use spec.diskSetup.filesystems"),
    ("storage.raid", "use a unit that makes it"),
    ("update", "write its files and units instead"),
];

/// Reads one config.
struct Reader {
    is_strict: bool,
}

/// The config as parts of an Ignition document.
///
/// # Errors
/// The field that is wrong, unknown (if `is_strict`) or not supported, and why. Contents of fields are never shown.
pub(super) fn translate(text: &str, is_strict: bool) -> Result<Value, String> {
    let documents = crate::yaml::documents(text)?;
    let [document] = documents.as_slice() else {
        return Err(format!(
            "must be one YAML document, not {}",
            documents.len()
        ));
    };
    let reader = Reader { is_strict };
    let mut out = json!({});
    for (section, members) in mapping(document, "the document")? {
        let known: Vec<_> = LISTS.iter().filter(|l| l.section == section).collect();
        refuse(section)?;
        if known.is_empty() {
            reader.unknown(section)?;
            continue;
        }
        for (name, entries) in mapping(members, section)? {
            let path = format!("{section}.{name}");
            refuse(&path)?;
            let Some(list) = known.iter().find(|l| l.name == name) else {
                reader.unknown(&path)?;
                continue;
            };
            out[section.as_str()][name.as_str()] = reader.list(entries, &path, list)?;
        }
    }
    Ok(out)
}

fn refuse(path: &str) -> Result<(), String> {
    match REFUSED.iter().find(|(name, _)| *name == path) {
        Some((_, instead)) => Err(format!("{path} is not supported: {instead}")),
        None => Ok(()),
    }
}

fn mapping<'a>(value: &'a Value, path: &str) -> Result<Vec<(&'a String, &'a Value)>, String> {
    match value {
        Value::Null => Ok(vec![]),
        Value::Object(members) => Ok(members.iter().filter(|(_, v)| !v.is_null()).collect()),
        _ => Err(format!("{path} must be a mapping")),
    }
}

fn entries<'a>(value: &'a Value, path: &str) -> Result<&'a [Value], String> {
    let entries = value.as_array().map(Vec::as_slice);
    entries.ok_or_else(|| format!("{path} must be a list"))
}

impl Reader {
    fn unknown(&self, path: &str) -> Result<(), String> {
        if self.is_strict {
            return Err(format!("{path} is unknown, and strict is set"));
        }
        Ok(())
    }

    fn list(&self, value: &Value, path: &str, list: &List) -> Result<Value, String> {
        let mut out = vec![];
        for (i, entry) in entries(value, path)?.iter().enumerate() {
            let path = format!("{path}[{i}]");
            let mut node = self.members(entry, &path, list.members, list.required)?;
            if list.is_whole {
                let place = node["path"].as_str().unwrap_or_default();
                if !place.starts_with('/') {
                    return Err(format!("{path}.path must be absolute"));
                }
                if node["filesystem"].is_null() {
                    node["filesystem"] = json!("root");
                }
            }
            if self.is_strict && list.name == "files" && node["mode"].is_null() {
                return Err(format!("{path}.mode is missing, and strict is set"));
            }
            out.push(node);
        }
        Ok(json!(out))
    }

    fn members(
        &self,
        value: &Value,
        path: &str,
        members: Members,
        required: &[&str],
    ) -> Result<Value, String> {
        let mut out = Map::new();
        for (name, value) in mapping(value, path)? {
            let path = format!("{path}.{name}");
            match members.iter().find(|(known, _, _)| known == name) {
                Some((_, name, kind)) => {
                    out.insert((*name).to_owned(), self.member(value, &path, *kind)?);
                }
                None => self.unknown(&path)?,
            }
        }
        if let Some(missing) = required.iter().find(|name| !out.contains_key(**name)) {
            return Err(format!("{path}.{missing} is missing"));
        }
        Ok(Value::Object(out))
    }

    fn member(&self, value: &Value, path: &str, kind: Kind) -> Result<Value, String> {
        let is_right = match kind {
            Kind::Text => value.is_string(),
            Kind::Flag => value.is_boolean(),
            Kind::Number => value.as_u64().is_some_and(|n| u32::try_from(n).is_ok()),
            Kind::Texts => {
                let list = value.as_array();
                list.is_some_and(|l| l.iter().all(Value::is_string))
            }
            Kind::Identity => return self.members(value, path, IDENTITY, &[]),
            Kind::Contents => {
                let contents = self.members(value, path, CONTENTS, &["inline"])?;
                let inline = contents["inline"].as_str().unwrap_or_default();
                return Ok(json!({"source": data_url(inline.as_bytes())}));
            }
            Kind::Dropins => {
                let list = entries(value, path)?.iter().enumerate();
                let dropins = list.map(|(i, dropin)| {
                    self.members(dropin, &format!("{path}[{i}]"), DROPIN, &["name"])
                });
                return dropins.collect::<Result<Vec<_>, _>>().map(Value::Array);
            }
            Kind::Refused(instead) => {
                return Err(format!("{path} is not supported: {instead}"));
            }
        };
        if is_right {
            return Ok(value.clone());
        }
        let wanted = match kind {
            Kind::Flag => "true or false",
            Kind::Number => "a number, modes with a leading 0 as in 0644",
            Kind::Texts => "a list of texts",
            _ => "a text",
        };
        Err(format!("{path} must be {wanted}"))
    }
}

/// Merges parts into a document. An entry that is in both, by its name or path, is as in the parts; lists in units and users come together.
pub(super) fn merge(document: &mut Value, parts: Value) {
    for list in LISTS {
        let Some(additions) = parts[list.section][list.name].as_array() else {
            continue;
        };
        let target = &mut document[list.section][list.name];
        if target.is_null() {
            *target = json!([]);
        }
        let Some(entries) = target.as_array_mut() else {
            continue;
        };
        for addition in additions {
            let is_same = |e: &&mut Value| list.keys.iter().all(|k| e[*k] == addition[*k]);
            match entries.iter_mut().find(is_same) {
                Some(entry) if addition["append"] != true => override_with(entry, addition, list),
                _ => entries.push(addition.clone()),
            }
        }
    }
}

fn override_with(entry: &mut Value, addition: &Value, list: &List) {
    if list.is_whole {
        *entry = addition.clone();
        return;
    }
    let Some(entry) = entry.as_object_mut() else {
        return;
    };
    for (name, value) in addition.as_object().into_iter().flatten() {
        match (entry.get_mut(name), value) {
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more.iter().cloned()),
            _ => drop(entry.insert(name.clone(), value.clone())),
        }
    }
}
