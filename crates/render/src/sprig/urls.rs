//! URLs in parts, by Go's reading of RFC 3986.

use super::args::{map, string};
use crate::gotemplate::{Function, Map, Result, Runtime, Type, Value, fail, quote, text};
use std::rc::Rc;

pub(super) static FUNCTIONS: &[(&str, Function)] = &[
    ("urlParse", Function::new(&[Type::Str], parse)),
    (
        "urlJoin",
        Function::new(&[Type::Map], |_, a| join(&map(a, 0))),
    ),
];

fn parse(_: &mut Runtime<'_>, a: &[Value]) -> Result<Value> {
    let url = string(a, 0);
    let refuse = |why: &str| format!("unable to parse url: parse {}: {why}", quote::quote(&url));
    if url.chars().any(|c| c.is_control()) {
        fail!("{}", refuse("net/url: invalid control character in URL"));
    }
    let (rest, fragment) = url.split_once('#').unwrap_or((&url, ""));
    let (scheme, rest) = match scheme(rest) {
        Ok(parts) => parts,
        Err(why) => fail!("{}", refuse(why)),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut opaque, mut authority, mut path) = ("", "", rest);
    if !scheme.is_empty() && !rest.starts_with('/') {
        (opaque, path) = (rest, "");
    } else if let Some(after) = rest.strip_prefix("//") {
        let end = after.find('/').unwrap_or(after.len());
        (authority, path) = after.split_at(end);
    } else if scheme.is_empty()
        && rest
            .split('/')
            .next()
            .is_some_and(|first| first.contains(':'))
    {
        fail!(
            "{}",
            refuse("first path segment in URL cannot contain colon")
        );
    }
    let (userinfo, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let bad = |c: &char| {
        c.is_ascii() && !c.is_ascii_alphanumeric() && !"-_.~!$&'()*+,;=:[]<>\"%".contains(*c)
    };
    if let Some(c) = host.chars().find(bad) {
        fail!(
            "{}",
            refuse(&format!(
                "invalid character {} in host name",
                quote::quote(&c.to_string())
            ))
        );
    }
    let (hostname, port) = hostname(host);
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        fail!(
            "{}",
            refuse(&format!(
                "invalid port {} after host",
                quote::quote(&format!(":{port}"))
            ))
        );
    }
    let (Some(path), Some(fragment)) = (unescape(path), unescape(fragment)) else {
        fail!("{}", refuse("invalid URL escape"));
    };
    let entries: [(&str, Value); 8] = [
        ("scheme", scheme.to_ascii_lowercase().into()),
        ("host", host.into()),
        ("hostname", hostname.into()),
        ("path", path.into()),
        ("query", query.into()),
        ("opaque", opaque.into()),
        ("fragment", fragment.into()),
        ("userinfo", userinfo.into()),
    ];
    Ok(Value::Map(
        entries.into_iter().map(|(k, v)| (Rc::from(k), v)).collect(),
    ))
}

/// Splits the scheme off.
fn scheme(url: &str) -> std::result::Result<(&str, &str), &'static str> {
    for (i, c) in url.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if i > 0 => {}
            ':' if i == 0 => return Err("missing protocol scheme"),
            ':' => return Ok((&url[..i], &url[i + 1..])),
            _ => break,
        }
    }
    Ok(("", url))
}

fn hostname(host: &str) -> (&str, &str) {
    if let Some((name, rest)) = host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        return (name, rest.strip_prefix(':').unwrap_or(rest));
    }
    host.rsplit_once(':').unwrap_or((host, ""))
}

fn unescape(s: &str) -> Option<String> {
    if !s.contains('%') {
        return Some(s.to_string());
    }
    let bytes = s.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == b'%' {
            let code = s.get(i + 1..i + 3)?;
            out.push(u8::from_str_radix(code, 16).ok()?);
            i += 3;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    Some(text::decode(&out))
}

/// Escapes what may not stand in a path or fragment.
fn escape(s: &str, also: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for byte in text::encode(s).iter() {
        let c = char::from(*byte);
        if byte.is_ascii_alphanumeric() || "-_.~$&+,/:;=@".contains(c) || also.contains(c) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn join(parts: &Map) -> Result<Value> {
    let get = |key: &str| -> Result<String> {
        match parts.get(key) {
            None => Ok(String::new()),
            Some(Value::Str(s)) => Ok(s.to_string()),
            Some(other) => fail!(
                "unable to parse {key} key, must be of type string, but {} found",
                other.kind()
            ),
        }
    };
    let (scheme, host, path) = (get("scheme")?, get("host")?, get("path")?);
    let (query, opaque, fragment) = (get("query")?, get("opaque")?, get("fragment")?);
    let userinfo = get("userinfo")?;
    let mut out = String::new();
    if !scheme.is_empty() {
        out.push_str(&format!("{scheme}:"));
    }
    if opaque.is_empty() {
        if !(scheme.is_empty() && host.is_empty() && userinfo.is_empty()) {
            if !host.is_empty() || !path.is_empty() || !userinfo.is_empty() {
                out.push_str("//");
            }
            if !userinfo.is_empty() {
                out.push_str(&format!("{userinfo}@"));
            }
            out.push_str(&host);
        }
        if !path.is_empty() && !path.starts_with('/') && !host.is_empty() {
            out.push('/');
        }
        out.push_str(&escape(&path, "*"));
    } else {
        out.push_str(&opaque);
    }
    if !query.is_empty() {
        out.push_str(&format!("?{query}"));
    }
    if !fragment.is_empty() {
        out.push_str(&format!("#{}", escape(&fragment, "!()*?'")));
    }
    Ok(out.into())
}
