//! Encodings: base64, base32, JSON, YAML, TOML.

use super::args::string;
use super::toml;
use crate::gotemplate::{Budget, Error, Function, Result, Type, Value, text};
use crate::json::{self, Style};
use crate::yaml;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use Type::{Any, Str};

const A: &[Type] = &[Any];
const S: &[Type] = &[Str];
const PLAIN: Style = Style {
    html: true,
    pretty: false,
};
const PRETTY: Style = Style {
    html: true,
    pretty: true,
};
const RAW: Style = Style {
    html: false,
    pretty: false,
};

pub(super) static FUNCTIONS: &[(&str, Function)] = &[
    (
        "b64enc",
        Function::new(S, |rt, a| {
            let s = string(a, 0);
            rt.budget.bytes(s.len() * 2)?;
            Ok(base64(&text::encode(&s)).into())
        }),
    ),
    (
        "b64dec",
        Function::new(S, |rt, a| {
            let s = string(a, 0);
            rt.budget.bytes(s.len())?;
            Ok(match base64_decode(&s) {
                Ok(bytes) => Value::from_bytes(&bytes),
                Err(message) => message.into(),
            })
        }),
    ),
    (
        "b32enc",
        Function::new(S, |rt, a| {
            let s = string(a, 0);
            rt.budget.bytes(s.len() * 2)?;
            Ok(base32(&text::encode(&s)).into())
        }),
    ),
    (
        "b32dec",
        Function::new(S, |_, a| {
            Ok(match base32_decode(&string(a, 0)) {
                Ok(bytes) => Value::from_bytes(&bytes),
                Err(at) => format!("illegal base32 data at input byte {at}").into(),
            })
        }),
    ),
    (
        "toJson",
        Function::new(A, |rt, a| {
            lenient(json::encode(&mut rt.budget, &a[0], PLAIN))
        }),
    ),
    (
        "mustToJson",
        Function::new(A, |rt, a| {
            Ok(json::encode(&mut rt.budget, &a[0], PLAIN)?.into())
        }),
    ),
    (
        "toPrettyJson",
        Function::new(A, |rt, a| {
            lenient(json::encode(&mut rt.budget, &a[0], PRETTY))
        }),
    ),
    (
        "mustToPrettyJson",
        Function::new(A, |rt, a| {
            Ok(json::encode(&mut rt.budget, &a[0], PRETTY)?.into())
        }),
    ),
    (
        "toRawJson",
        Function::new(A, |rt, a| {
            Ok(json::encode(&mut rt.budget, &a[0], RAW)?.into())
        }),
    ),
    (
        "mustToRawJson",
        Function::new(A, |rt, a| {
            Ok(json::encode(&mut rt.budget, &a[0], RAW)?.into())
        }),
    ),
    (
        "fromJson",
        Function::new(S, |rt, a| {
            decoded(
                &mut rt.budget,
                &string(a, 0),
                from_json,
                "map[string]interface {}",
                Json::is_object,
            )
        }),
    ),
    (
        "fromJsonArray",
        Function::new(S, |rt, a| {
            decoded(
                &mut rt.budget,
                &string(a, 0),
                from_json,
                "[]interface {}",
                Json::is_array,
            )
        }),
    ),
    (
        "mustFromJson",
        Function::new(S, |rt, a| {
            let s = string(a, 0);
            spend(&mut rt.budget, &s)?;
            Ok(Value::from_json(&from_json(&s).map_err(Error::new)?))
        }),
    ),
    (
        "toYaml",
        Function::new(A, |rt, a| lenient(to_yaml(&mut rt.budget, &a[0]))),
    ),
    (
        "mustToYaml",
        Function::new(A, |rt, a| Ok(to_yaml(&mut rt.budget, &a[0])?.into())),
    ),
    (
        "toYamlPretty",
        Function::new(A, |rt, a| {
            lenient(yaml::encode_pretty(&mut rt.budget, &a[0]).map(without_line_break))
        }),
    ),
    (
        "fromYaml",
        Function::new(S, |rt, a| {
            decoded(
                &mut rt.budget,
                &string(a, 0),
                from_yaml,
                "map[string]interface {}",
                Json::is_object,
            )
        }),
    ),
    (
        "fromYamlArray",
        Function::new(S, |rt, a| {
            decoded(
                &mut rt.budget,
                &string(a, 0),
                from_yaml,
                "[]interface {}",
                Json::is_array,
            )
        }),
    ),
    (
        "toToml",
        Function::new(A, |rt, a| match toml::encode(&mut rt.budget, &a[0]) {
            Err(e) if !e.is_limit() => Ok(e.text().into()),
            result => Ok(result?.into()),
        }),
    ),
    (
        "mustToToml",
        Function::new(A, |rt, a| Ok(toml::encode(&mut rt.budget, &a[0])?.into())),
    ),
    (
        "fromToml",
        Function::new(S, |rt, a| {
            decoded(
                &mut rt.budget,
                &string(a, 0),
                toml::decode,
                "map[string]interface {}",
                Json::is_object,
            )
        }),
    ),
];

fn without_line_break(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
    }
    text
}

/// Helm's `toYaml`, where it may fail.
pub(crate) fn to_yaml(budget: &mut Budget, value: &Value) -> Result<String> {
    yaml::encode(budget, value).map(without_line_break)
}

/// Failures become empty text, but limits stay failures.
fn lenient(result: Result<String>) -> Result<Value> {
    match result {
        Err(e) if !e.is_limit() => Ok("".into()),
        result => Ok(result?.into()),
    }
}

/// Parsed data takes about this many times the bytes of its text.
fn spend(budget: &mut Budget, text: &str) -> Result<()> {
    budget.bytes(text.len() * 8)
}

fn from_json(text: &str) -> Result<Json, String> {
    serde_json::from_str(text).map_err(|e| match e.classify() {
        serde_json::error::Category::Eof => "unexpected end of JSON input".to_string(),
        _ => e.to_string(),
    })
}

fn from_yaml(text: &str) -> Result<Json, String> {
    yaml::first(text).map_err(|e| format!("error converting YAML to JSON: yaml: {e}"))
}

/// Decodes to a map or a list. Helm puts the message of a failure where the data would be.
fn decoded(
    budget: &mut Budget,
    text: &str,
    decode: fn(&str) -> Result<Json, String>,
    wanted: &str,
    fits: fn(&Json) -> bool,
) -> Result<Value> {
    spend(budget, text)?;
    let list = wanted.starts_with("[]");
    let message = match decode(text) {
        Ok(json) if fits(&json) => return Ok(Value::from_json(&json)),
        // null decodes into nothing.
        Ok(Json::Null) if list => return Ok(Value::list(Vec::new())),
        Ok(Json::Null) => return Ok(Value::from_json(&Json::Object(serde_json::Map::new()))),
        Ok(other) => {
            let got = match other {
                Json::Bool(_) => "bool",
                Json::Number(_) => "number",
                Json::String(_) => "string",
                Json::Array(_) => "array",
                _ => "object",
            };
            format!("json: cannot unmarshal {got} into Go value of type {wanted}")
        }
        Err(message) => message,
    };
    Ok(Value::from_json(&if list {
        serde_json::json!([message])
    } else {
        serde_json::json!({ "Error": message })
    }))
}

/// Standard base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Go's decoder passes over line breaks.
pub(crate) fn base64_decode(s: &str) -> Result<Vec<u8>, String> {
    let cleaned: String = s.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    STANDARD.decode(&cleaned).map_err(|e| {
        let at = match e {
            base64::DecodeError::InvalidByte(at, _)
            | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => {
                cleaned.len() / 4 * 4
            }
        };
        format!("illegal base64 data at input byte {at}")
    })
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 8 / 5 + 8);
    for chunk in bytes.chunks(5) {
        let mut group = [0u8; 8];
        group[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(group);
        let symbols = (chunk.len() * 8).div_ceil(5);
        for i in 0..8 {
            let index = usize::try_from(bits >> (35 - 5 * i) & 31).unwrap_or(0);
            out.push(if i < symbols {
                char::from(BASE32[index])
            } else {
                '='
            });
        }
    }
    out
}

/// The bytes, or where the text is wrong.
fn base32_decode(s: &str) -> Result<Vec<u8>, usize> {
    let cleaned: Vec<u8> = s.bytes().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    let body = cleaned
        .iter()
        .rposition(|b| *b != b'=')
        .map_or(0, |at| at + 1);
    if let Some(at) = cleaned[..body].iter().position(|b| !BASE32.contains(b)) {
        return Err(at);
    }
    if !cleaned.len().is_multiple_of(8) || cleaned.len() - body > 6 {
        return Err(cleaned.len() / 8 * 8);
    }
    let (mut bits, mut count, mut out) = (0u32, 0, Vec::with_capacity(body * 5 / 8));
    for (at, byte) in cleaned[..body].iter().enumerate() {
        let value = BASE32.iter().position(|b| b == byte).ok_or(at)?;
        bits = bits << 5 | u32::try_from(value).unwrap_or(0);
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).unwrap_or(0));
        }
    }
    Ok(out)
}
