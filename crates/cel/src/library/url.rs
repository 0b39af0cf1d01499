//! URLs, read as Go's `ParseRequestURI` does: absolute, or only an absolute path.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Function, Outcome, no_such_overload};
use crate::budget::Meter;
use crate::error::EvalError;
use crate::value::{Text, Value};

/// A URL and its parts, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    host: String,
    path: String,
    query: String,
    text: String,
}

pub(super) fn function(name: &str) -> Option<Function> {
    Some(match name {
        "url" => |meter, args| match args {
            [Value::String(text)] => {
                meter.make(text.len() as u64 * 2)?;
                parse(text)
                    .map(|url| Value::Url(Arc::new(url)))
                    .map_err(|why| {
                        EvalError::other(format!(
                            "URL parse error during conversion from string: {why}"
                        ))
                    })
            }
            _ => no_such_overload(),
        },
        "isURL" => |meter, args| match args {
            [Value::String(text)] => {
                meter.make(text.len() as u64 * 2)?;
                Ok(Value::Bool(parse(text).is_ok()))
            }
            _ => no_such_overload(),
        },
        "getScheme" => |meter, args| part(meter, args, |url| url.scheme.clone()),
        "getHost" => |meter, args| part(meter, args, |url| url.host.clone()),
        "getHostname" => |meter, args| part(meter, args, |url| split_host(&url.host).0.to_owned()),
        "getPort" => |meter, args| part(meter, args, |url| split_host(&url.host).1.to_owned()),
        "getEscapedPath" => |meter, args| part(meter, args, |url| escape_path(&url.path)),
        "getQuery" => |meter, args| match args {
            [Value::Url(url)] => {
                meter.make(url.query.len() as u64)?;
                Ok(query(&url.query))
            }
            _ => no_such_overload(),
        },
        _ => return None,
    })
}

fn part<'a>(meter: &mut Meter, args: &[Value<'a>], of: fn(&Url) -> String) -> Outcome<'a> {
    match args {
        [Value::Url(url)] => {
            meter.make(url.text.len() as u64)?;
            Ok(Value::text(of(url)))
        }
        _ => no_such_overload(),
    }
}

/// Reads a URL.
///
/// # Errors
/// Go's message.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let wrong = |why: &str| Err(format!("parse {text:?}: {why}"));
    if text.is_empty() {
        return wrong("empty url");
    }
    if text.chars().any(|c| c.is_ascii_control()) {
        return wrong("net/url: invalid control character in URL");
    }
    let (scheme, rest) = match scheme(text) {
        Some(Ok(found)) => found,
        Some(Err(why)) => return wrong(why),
        None => ("", text),
    };
    if !rest.starts_with('/') {
        if scheme.is_empty() {
            return wrong("invalid URI for request");
        }
        // `mailto:x`: nothing but a scheme is known.
        return Ok(Url {
            scheme: scheme.to_ascii_lowercase(),
            host: String::new(),
            path: String::new(),
            query: String::new(),
            text: text.to_owned(),
        });
    }
    let without_fragment = rest.split('#').next().unwrap_or_default();
    let (before, query) = without_fragment
        .split_once('?')
        .unwrap_or((without_fragment, ""));
    let (host, path) = match before.strip_prefix("//") {
        Some(authority) if !scheme.is_empty() || !before.starts_with("///") => {
            let end = authority.find('/').unwrap_or(authority.len());
            (&authority[..end], &authority[end..])
        }
        _ => ("", before),
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if let Err(why) = check_host(host) {
        return wrong(&why);
    }
    if let Some(bad) = bad_escape(path) {
        return wrong(&format!("invalid URL escape {bad:?}"));
    }
    Ok(Url {
        scheme: scheme.to_ascii_lowercase(),
        host: host.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        text: text.to_owned(),
    })
}

type Scheme<'t> = Result<(&'t str, &'t str), &'static str>;

/// The scheme, and what follows its colon.
fn scheme(text: &str) -> Option<Scheme<'_>> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Some(Err("missing protocol scheme")),
            ':' => return Some(Ok((&text[..at], &text[at + 1..]))),
            _ => return None,
        }
    }
    None
}

fn check_host(host: &str) -> Result<(), String> {
    let port = match host.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            Some((_, after)) => after,
            None => return Err("missing ']' in host".into()),
        },
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let is_port = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    if !is_port {
        return Err(format!("invalid port {port:?} after host"));
    }
    match host.chars().find(|c| {
        matches!(
            c,
            ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}'
        )
    }) {
        Some(bad) => Err(format!(
            "invalid character {:?} in host name",
            bad.to_string()
        )),
        None => Ok(()),
    }
}

/// Name and port.
fn split_host(host: &str) -> (&str, &str) {
    if let Some(inner) = host.strip_prefix('[') {
        let (name, after) = inner.split_once(']').unwrap_or((inner, ""));
        return (name, after.strip_prefix(':').unwrap_or(""));
    }
    match host.rsplit_once(':') {
        Some((name, port)) => (name, port),
        None => (host, ""),
    }
}

/// A `%` that no two hexadecimal digits follow.
fn bad_escape(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    for at in 0..bytes.len() {
        if bytes[at] == b'%' {
            let digits = bytes.get(at + 1..at + 3);
            if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                let end = (at + 3).min(bytes.len());
                return Some(String::from_utf8_lossy(&bytes[at..end]).into_owned());
            }
        }
    }
    None
}

/// The path with everything escaped that must be; what is escaped stays so.
fn escape_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*".contains(&byte);
        if is_plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Names and their values.
fn query<'a>(text: &str) -> Value<'a> {
    let mut found: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
    for pair in text
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.contains(';'))
    {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(name), Some(value)) = (decode(name), decode(value)) {
            found.entry(name).or_default().push(Value::text(value));
        }
    }
    let entries = found.into_iter();
    Value::map(entries.map(|(name, values)| (Text::from(name), Value::list(values))))
}

fn decode(text: &str) -> Option<String> {
    if bad_escape(text).is_some() {
        return None;
    }
    let mut out = vec![];
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |b: Option<u8>| char::from(b.unwrap_or(b'0')).to_digit(16).unwrap_or(0);
                let value = digit(bytes.next()) * 16 + digit(bytes.next());
                out.push(u8::try_from(value).unwrap_or(0));
            }
            other => out.push(other),
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}
