//! Named formats: `format.dns1123Label().validate(x)`.

use std::sync::LazyLock;

use ::regex::Regex;

use super::{Function, no_such_overload};
use crate::value::Value;

/// Largest pattern that estimates assume.
pub(crate) const MAX_REGEX_SIZE: u64 = 128;

/// A format that text can be validated against.
#[derive(Debug)]
pub struct Format {
    pub(crate) name: &'static str,
    /// Size of the pattern that costs assume.
    pub(crate) regex_size: u64,
    check: fn(&str) -> Vec<String>,
}

static FORMATS: [Format; 13] = [
    Format {
        name: "dns1123Label",
        regex_size: 30,
        check: |text| dns1123_label(text),
    },
    Format {
        name: "dns1123Subdomain",
        regex_size: 60,
        check: |text| dns1123_subdomain(text),
    },
    Format {
        name: "dns1035Label",
        regex_size: 30,
        check: |text| dns1035_label(text),
    },
    Format {
        name: "qualifiedName",
        regex_size: 60,
        check: |text| qualified_name(text),
    },
    Format {
        name: "dns1123LabelPrefix",
        regex_size: 30,
        check: |text| dns1123_label(&prefix(text)),
    },
    Format {
        name: "dns1123SubdomainPrefix",
        regex_size: 60,
        check: |text| dns1123_subdomain(&prefix(text)),
    },
    Format {
        name: "dns1035LabelPrefix",
        regex_size: 30,
        check: |text| dns1035_label(&prefix(text)),
    },
    Format {
        name: "labelValue",
        regex_size: 40,
        check: |text| label_value(text),
    },
    Format {
        name: "uri",
        regex_size: 1103,
        check: |text| super::url::parse(text).err().into_iter().collect(),
    },
    Format {
        name: "uuid",
        regex_size: 70,
        check: |text| simple(is_uuid(text), "does not match the UUID format"),
    },
    Format {
        name: "byte",
        regex_size: 84,
        check: |text| simple(is_base64(text), "invalid base64"),
    },
    Format {
        name: "date",
        regex_size: 71,
        check: |text| simple(is_date(text), "invalid date"),
    },
    Format {
        name: "datetime",
        regex_size: 71,
        check: |text| simple(is_datetime(text), "invalid datetime"),
    },
];

/// The format of that name.
fn named(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

macro_rules! constant {
    ($index:expr) => {
        |_, args| match args {
            [] => Ok(Value::Format(&FORMATS[$index])),
            _ => no_such_overload(),
        }
    };
}

pub(super) fn function(name: &str) -> Option<Function> {
    if let Some(name) = name.strip_prefix("format.")
        && let Some(index) = FORMATS.iter().position(|format| format.name == name)
    {
        const CONSTANTS: [Function; 13] = [
            constant!(0),
            constant!(1),
            constant!(2),
            constant!(3),
            constant!(4),
            constant!(5),
            constant!(6),
            constant!(7),
            constant!(8),
            constant!(9),
            constant!(10),
            constant!(11),
            constant!(12),
        ];
        return CONSTANTS.get(index).copied();
    }
    Some(match name {
        "format.named" => |_, args| match args {
            [Value::String(name)] => Ok(Value::Optional(
                named(name).map(|format| Value::Format(format).into()),
            )),
            _ => no_such_overload(),
        },
        "validate" => |meter, args| match args {
            [Value::Format(format), Value::String(text)] => {
                meter.work(text.len())?;
                let problems = (format.check)(text);
                if problems.is_empty() {
                    return Ok(Value::Optional(None));
                }
                let problems = problems.into_iter().map(Value::text).collect();
                Ok(Value::some(Value::list(problems)))
            }
            _ => no_such_overload(),
        },
        _ => return None,
    })
}

fn simple(is_valid: bool, problem: &str) -> Vec<String> {
    if is_valid {
        vec![]
    } else {
        vec![problem.to_owned()]
    }
}

/// A prefix of names: a trailing dash stands for what is generated.
fn prefix(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => format!("{rest}a"),
        _ => text.to_owned(),
    }
}

fn is_label(text: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.starts_with(is_edge)
        && text.ends_with(is_edge)
        && text.chars().all(|c| is_edge(c) || c == '-')
}

fn too_long(text: &str, most: usize) -> Option<String> {
    (text.len() > most).then(|| format!("must be no more than {most} bytes"))
}

fn dns1123_label(text: &str) -> Vec<String> {
    let mut problems: Vec<String> = too_long(text, 63).into_iter().collect();
    if !is_label(text) {
        problems.push(if text.split('.').all(is_label) {
            "must not contain dots".into()
        } else {
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')".into()
        });
    }
    problems
}

fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut problems: Vec<String> = too_long(text, 253).into_iter().collect();
    if !text.split('.').all(is_label) {
        problems.push("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')".into());
    }
    problems
}

fn dns1035_label(text: &str) -> Vec<String> {
    let mut problems: Vec<String> = too_long(text, 63).into_iter().collect();
    if !is_label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        problems.push("a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')".into());
    }
    problems
}

/// A word of labels: letters, digits, `-`, `_` and `.`, and letters or digits at both ends.
fn is_word(text: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(is_edge)
        && text.ends_with(is_edge)
        && text
            .chars()
            .all(|c| is_edge(c) || matches!(c, '-' | '_' | '.'))
}

fn qualified_name(text: &str) -> Vec<String> {
    const RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let mut problems = vec![];
    let name = match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                problems.push("prefix part must be non-empty".into());
            } else {
                let wrong = dns1123_subdomain(prefix).into_iter();
                problems.extend(wrong.map(|problem| format!("prefix part {problem}")));
            }
            *name
        }
        _ => {
            let rule = RULE.replace("must consist", "a qualified name must consist");
            return vec![format!(
                "{rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".into());
    } else if name.len() > 63 {
        problems.push("name part must be no more than 63 bytes".into());
    }
    if !is_word(name) {
        problems.push(format!("name part {RULE}"));
    }
    problems
}

fn label_value(text: &str) -> Vec<String> {
    let mut problems: Vec<String> = too_long(text, 63).into_iter().collect();
    if !text.is_empty() && !is_word(text) {
        problems.push("a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')".into());
    }
    problems
}

fn is_uuid(text: &str) -> bool {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new("(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$").ok()
    });
    PATTERN
        .as_ref()
        .is_some_and(|pattern| pattern.is_match(text))
}

fn is_base64(text: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .is_ok()
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

fn is_datetime(text: &str) -> bool {
    super::time::parse_json_time(text).is_ok() && text.len() > 10
}
