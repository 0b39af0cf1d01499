//! `strconv.Quote` and `strconv.Unquote`.

use super::text;
use std::fmt::Write;

/// True if Go's `unicode.IsPrint` holds, for everything that is in use.
pub(crate) fn is_print(c: char) -> bool {
    if c == ' ' {
        return true;
    }
    let format = matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}');
    let private = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}');
    let unassigned = u32::from(c) & 0xfffe == 0xfffe || matches!(c, '\u{fdd0}'..='\u{fdef}');
    !(c.is_control() || c.is_whitespace() || format || private || unassigned)
}

/// `strconv.Quote(s)`.
pub(crate) fn quote(s: &str) -> String {
    quote_with(s, '"', false)
}

/// `strconv.QuoteRune(c)`.
pub(crate) fn quote_rune(c: char) -> String {
    quote_with(c.encode_utf8(&mut [0; 4]), '\'', false)
}

/// Quotes with the given quote character, in ASCII only if asked.
pub(crate) fn quote_with(s: &str, mark: char, ascii: bool) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push(mark);
    for c in s.chars() {
        escape_into(&mut out, c, mark, ascii);
    }
    out.push(mark);
    out
}

fn escape_into(out: &mut String, c: char, mark: char, ascii: bool) {
    // Writing to a String cannot fail.
    let _ = match c {
        _ if c == mark => write!(out, "\\{c}"),
        '\\' => out.write_str("\\\\"),
        '\u{7}' => out.write_str("\\a"),
        '\u{8}' => out.write_str("\\b"),
        '\u{c}' => out.write_str("\\f"),
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        '\u{b}' => out.write_str("\\v"),
        _ => match text::escaped_byte(c) {
            Some(byte) => write!(out, "\\x{byte:02x}"),
            None if is_print(c) && (!ascii || c.is_ascii()) => out.write_char(c),
            None if u32::from(c) < 0x80 => write!(out, "\\x{:02x}", u32::from(c)),
            None if u32::from(c) < 0x1_0000 => write!(out, "\\u{:04x}", u32::from(c)),
            None => write!(out, "\\U{:08x}", u32::from(c)),
        },
    };
}

/// `strconv.Unquote` of a string in double quotes or back quotes.
pub(crate) fn unquote(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('`').and_then(|s| s.strip_suffix('`')) {
        return Some(raw.replace('\r', ""));
    }
    let body = literal.strip_prefix('"')?.strip_suffix('"')?;
    unescape(body, '"')
}

/// The character of a literal in single quotes.
pub(crate) fn unquote_rune(literal: &str) -> Option<char> {
    let body = literal.strip_prefix('\'')?.strip_suffix('\'')?;
    let text = unescape(body, '\'')?;
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}

fn unescape(body: &str, mark: char) -> Option<String> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut chars = body.chars();
    let mut buffer = [0; 4];
    while let Some(c) = chars.next() {
        if c == mark || c == '\n' {
            return None;
        }
        if c != '\\' {
            bytes.extend_from_slice(&text::encode(c.encode_utf8(&mut buffer)));
            continue;
        }
        let escape = chars.next()?;
        let simple = match escape {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' => b'\\',
            '\'' | '"' if escape == mark => u8::try_from(escape).ok()?,
            'x' => u8::try_from(hex(&mut chars, 2)?).ok()?,
            'u' | 'U' => {
                let c = char::from_u32(hex(&mut chars, if escape == 'u' { 4 } else { 8 })?)?;
                bytes.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
                continue;
            }
            '0'..='7' => {
                let mut value = escape.to_digit(8)?;
                for _ in 0..2 {
                    value = value * 8 + chars.next()?.to_digit(8)?;
                }
                u8::try_from(value).ok()?
            }
            _ => return None,
        };
        bytes.push(simple);
    }
    Some(text::decode(&bytes))
}

fn hex(chars: &mut std::str::Chars<'_>, count: usize) -> Option<u32> {
    let mut value = 0u32;
    for _ in 0..count {
        value = value.checked_mul(16)? + chars.next()?.to_digit(16)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_back() {
        for (text, quoted) in [
            ("a \"b\" \\ c\n\t", r#""a \"b\" \\ c\n\t""#),
            (
                "\u{1}\u{7f}é\u{200b}🎉\u{feff}",
                r#""\x01\x7fé\u200b🎉\ufeff""#,
            ),
        ] {
            assert_eq!(quote(text), quoted);
            assert_eq!(unquote(quoted).as_deref(), Some(text));
        }
        assert_eq!(
            unquote(r#""\xff\101""#).map(|s| quote(&s)).as_deref(),
            Some(r#""\xffA""#)
        );
        assert_eq!(unquote(r#""\q""#), None);
        assert_eq!(unquote_rune("'x'"), Some('x'));
    }
}
