//! What is wrong with a text that is no JSON, in the words of Go's decoder: clients show them, and people search for them.

/// The end of the text came too early.
const END: &str = "unexpected end of JSON input";
/// Nesting at which Go's decoder gives up.
const MAX_DEPTH: usize = 10_000;

/// What is wrong with `bytes`; `None` if nothing is that Go would see.
pub(crate) fn json_error(bytes: &[u8]) -> Option<String> {
    let mut scan = Scan { bytes, at: 0 };
    scan.document().err()
}

/// A position in a text.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What is open around a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    List,
    Object,
}

impl Scan<'_> {
    fn next(&mut self) -> Result<u8, String> {
        let byte = self.bytes.get(self.at).ok_or(END)?;
        self.at += 1;
        Ok(*byte)
    }

    /// The next byte that is no space.
    fn next_word(&mut self) -> Result<u8, String> {
        loop {
            let byte = self.next()?;
            if !is_space(byte) {
                return Ok(byte);
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn document(&mut self) -> Result<(), String> {
        // What is open around the current place; no recursion, because texts may be nested deeply.
        let mut open = Vec::new();
        let first = self.next_word()?;
        let mut is_fresh = self.value(first, &mut open)?;
        while let Some(around) = open.last().copied() {
            let byte = self.next_word()?;
            let ends = matches!((around, byte), (Open::List, b']') | (Open::Object, b'}'));
            if ends {
                open.pop();
                is_fresh = false;
                continue;
            }
            let first = match (is_fresh, around, byte) {
                (true, ..) => byte,
                (false, _, b',') => self.next_word()?,
                (false, Open::List, _) => return Err(unexpected(byte, "after array element")),
                (false, Open::Object, _) => {
                    return Err(unexpected(byte, "after object key:value pair"));
                }
            };
            is_fresh = match around {
                Open::List => self.value(first, &mut open)?,
                Open::Object => self.member(first, &mut open)?,
            };
        }
        while let Some(byte) = self.peek() {
            self.at += 1;
            if !is_space(byte) {
                return Err(unexpected(byte, "after top-level value"));
            }
        }
        Ok(())
    }

    /// A key, and its value as [`Scan::value`] reads it.
    fn member(&mut self, first: u8, open: &mut Vec<Open>) -> Result<bool, String> {
        if first != b'"' {
            return Err(unexpected(
                first,
                "looking for beginning of object key string",
            ));
        }
        self.string()?;
        let colon = self.next_word()?;
        if colon != b':' {
            return Err(unexpected(colon, "after object key"));
        }
        let first = self.next_word()?;
        self.value(first, open)
    }

    /// A value that begins with `first`; tells whether it is a list or an object, which is only opened.
    fn value(&mut self, first: u8, open: &mut Vec<Open>) -> Result<bool, String> {
        match first {
            b'{' | b'[' => {
                if open.len() == MAX_DEPTH {
                    return Err("exceeded max depth".into());
                }
                open.push(if first == b'{' {
                    Open::Object
                } else {
                    Open::List
                });
                return Ok(true);
            }
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(first),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => Err(unexpected(first, "looking for beginning of value")),
        }?;
        Ok(false)
    }

    fn string(&mut self) -> Result<(), String> {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let digit = self.next()?;
                            if !digit.is_ascii_hexdigit() {
                                return Err(unexpected(
                                    digit,
                                    "in \\u hexadecimal character escape",
                                ));
                            }
                        }
                    }
                    other => return Err(unexpected(other, "in string escape code")),
                },
                byte if byte < 0x20 => return Err(unexpected(byte, "in string literal")),
                _ => {}
            }
        }
    }

    fn number(&mut self, first: u8) -> Result<(), String> {
        let mut first = first;
        if first == b'-' {
            first = self.next()?;
            if !first.is_ascii_digit() {
                return Err(unexpected(first, "in numeric literal"));
            }
        }
        if first != b'0' {
            self.digits();
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        Ok(())
    }

    fn digit(&mut self, place: &str) -> Result<(), String> {
        let byte = self.next()?;
        if byte.is_ascii_digit() {
            return Ok(());
        }
        Err(unexpected(byte, place))
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), String> {
        for wanted in word.bytes().skip(1) {
            let byte = self.next()?;
            if byte != wanted {
                let wanted = char::from(wanted);
                let place = format!("in literal {word} (expecting '{wanted}')");
                return Err(unexpected(byte, &place));
            }
        }
        Ok(())
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn unexpected(byte: u8, place: &str) -> String {
    let shown = match byte {
        b'\'' => "\\'".into(),
        b'\\' => "\\\\".into(),
        0x07 => "\\a".into(),
        0x08 => "\\b".into(),
        0x0b => "\\v".into(),
        0x0c => "\\f".into(),
        b'\n' => "\\n".into(),
        b'\r' => "\\r".into(),
        b'\t' => "\\t".into(),
        0..=0x1f | 0x7f => format!("\\x{byte:02x}"),
        0x80..=0x9f => format!("\\u{byte:04x}"),
        _ => char::from(byte).to_string(),
    };
    format!("invalid character '{shown}' {place}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use proptest::prelude::*;

    const BROKEN: &[&str] = &[
        "",
        " ",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "[1,",
        "\"a",
        "tru",
        "-",
        "1.",
        "i",
        "]",
        "{a:1}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\"}",
        "{\"a\":1,}",
        "[1 2]",
        "[1,]",
        "{} x",
        "trux",
        "nul!",
        "-x",
        "01",
        "1.x",
        "1e+",
        "1ex",
        "\"\n\"",
        "\"\\q\"",
        "\"\\u00g0\"",
        "'a'",
        "é",
        "[[[]",
        "[]]",
    ];

    #[test]
    fn errors_have_gos_words() {
        let shown: Vec<String> = BROKEN
            .iter()
            .map(|text| {
                let error = json_error(text.as_bytes());
                format!("{text:?} {}", error.unwrap_or_default())
            })
            .collect();
        expect![[r#"
            "" unexpected end of JSON input
            " " unexpected end of JSON input
            "{" unexpected end of JSON input
            "{\"a\"" unexpected end of JSON input
            "{\"a\":" unexpected end of JSON input
            "{\"a\":1" unexpected end of JSON input
            "{\"a\":1," unexpected end of JSON input
            "[1," unexpected end of JSON input
            "\"a" unexpected end of JSON input
            "tru" unexpected end of JSON input
            "-" unexpected end of JSON input
            "1." unexpected end of JSON input
            "i" invalid character 'i' looking for beginning of value
            "]" invalid character ']' looking for beginning of value
            "{a:1}" invalid character 'a' looking for beginning of object key string
            "{\"a\" 1}" invalid character '1' after object key
            "{\"a\":1 \"b\"}" invalid character '"' after object key:value pair
            "{\"a\":1,}" invalid character '}' looking for beginning of object key string
            "[1 2]" invalid character '2' after array element
            "[1,]" invalid character ']' looking for beginning of value
            "{} x" invalid character 'x' after top-level value
            "trux" invalid character 'x' in literal true (expecting 'e')
            "nul!" invalid character '!' in literal null (expecting 'l')
            "-x" invalid character 'x' in numeric literal
            "01" invalid character '1' after top-level value
            "1.x" invalid character 'x' after decimal point in numeric literal
            "1e+" unexpected end of JSON input
            "1ex" invalid character 'x' in exponent of numeric literal
            "\"\n\"" invalid character '\n' in string literal
            "\"\\q\"" invalid character 'q' in string escape code
            "\"\\u00g0\"" invalid character 'g' in \u hexadecimal character escape
            "'a'" invalid character '\'' looking for beginning of value
            "é" invalid character 'Ã' looking for beginning of value
            "[[[]" unexpected end of JSON input
            "[]]" invalid character ']' after top-level value"#]]
        .assert_eq(&shown.join("\n"));
        let deep = "[".repeat(MAX_DEPTH + 1);
        assert_eq!(json_error(deep.as_bytes()).unwrap(), "exceeded max depth");
    }

    proptest! {
        #[test]
        fn what_is_json_has_no_error(text in "[\\[\\]{}\", :0-9a-]{0,12}") {
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(is_json, json_error(text.as_bytes()).is_none());
        }
    }
}
