//! snake_case, kebab-case and PascalCase with the word rules of the library that sprig uses.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Number,
    Upper,
    Letters,
    Connector,
    Punctuation,
    Other,
}

fn is_connector(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

fn is_punctuation(c: char) -> bool {
    // Unicode's class P of ASCII, and the usual marks beyond it.
    matches!(c, '!'..='#' | '%'..='*' | ','..='/' | ':' | ';' | '?' | '@' | '['..=']' | '_' | '{' | '}'
        | '¡' | '§' | '«' | '¶' | '·' | '»' | '¿' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}')
}

fn is_lower_letter(c: char) -> bool {
    c.is_alphabetic() && !c.is_uppercase()
}

/// Takes the next word off the front: its kind and its text.
fn word<'a>(rest: &mut &'a str) -> Option<(Kind, &'a str)> {
    let text: &'a str = rest;
    let first = text.chars().next()?;
    let run = |from: usize, of: fn(char) -> bool| {
        from + text[from..].find(|c| !of(c)).unwrap_or(text.len() - from)
    };
    let start = first.len_utf8();
    let (kind, end) = if is_connector(first) {
        (Kind::Connector, run(start, is_connector))
    } else if is_punctuation(first) {
        (Kind::Punctuation, run(start, is_punctuation))
    } else if first.is_uppercase() {
        (Kind::Upper, upper(text, start, run))
    } else if first.is_alphabetic() {
        (Kind::Letters, run(start, is_lower_letter))
    } else if first.is_numeric() {
        (Kind::Number, run(start, char::is_numeric))
    } else {
        let other = |c: char| {
            !(is_connector(c) || c.is_alphabetic() || c.is_numeric() || is_punctuation(c))
        };
        (Kind::Other, run(start, other))
    };
    *rest = &text[end..];
    Some((kind, &text[..end]))
}

/// The end of a word that begins in upper case: "HTTPStatus" is "HTTP" and "Status".
fn upper(text: &str, start: usize, run: impl Fn(usize, fn(char) -> bool) -> usize) -> usize {
    match text[start..].chars().next() {
        Some(c) if c.is_uppercase() => {
            let end = run(start, char::is_uppercase);
            let last = text[..end].chars().next_back().map_or(0, char::len_utf8);
            if text[end..].starts_with(char::is_alphabetic) {
                end - last
            } else {
                end
            }
        }
        Some(c) if c.is_alphabetic() => run(start, is_lower_letter),
        _ => start,
    }
}

/// Words in lower case with a connector between them.
pub(super) fn separated(s: &str, connector: char) -> String {
    let mut out = String::with_capacity(s.len() + 8);
    let mut rest = s;
    let mut current = word(&mut rest);
    while let Some((kind, text)) = current {
        if rest.is_empty() {
            lower(&mut out, kind, text, connector);
            break;
        }
        if kind != Kind::Connector {
            lower(&mut out, kind, text, connector);
        }
        current = word(&mut rest);
        let joins = |next: Option<(Kind, &str)>| {
            next.is_some_and(|(k, _)| !matches!(k, Kind::Punctuation | Kind::Connector))
        };
        match kind {
            Kind::Connector => lower(&mut out, kind, text, connector),
            Kind::Punctuation => {}
            Kind::Number => {
                current = letters_and_numbers(&mut out, current, &mut rest);
                if joins(current) {
                    out.push(connector);
                }
            }
            Kind::Upper | Kind::Letters | Kind::Other => {
                let Some((Kind::Number, number)) = current else {
                    if joins(current) {
                        out.push(connector);
                    }
                    continue;
                };
                if rest.is_empty() {
                    continue;
                }
                current = word(&mut rest);
                if matches!(current, Some((Kind::Letters, _))) {
                    // "HTTP2xx": the number begins a word.
                    out.push(connector);
                    out.push_str(number);
                    current = letters_and_numbers(&mut out, current, &mut rest);
                } else {
                    // "Bld4Floor": the number belongs to the word before it.
                    out.push_str(number);
                }
                if joins(current) {
                    out.push(connector);
                }
            }
        }
    }
    out
}

fn letters_and_numbers<'a>(
    out: &mut String,
    mut current: Option<(Kind, &'a str)>,
    rest: &mut &'a str,
) -> Option<(Kind, &'a str)> {
    while let Some((Kind::Letters | Kind::Number, text)) = current {
        out.push_str(text);
        current = word(rest);
    }
    current
}

fn lower(out: &mut String, kind: Kind, text: &str, connector: char) {
    if !matches!(kind, Kind::Upper | Kind::Connector) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        if is_connector(c) {
            out.push(connector);
        } else {
            out.extend(c.to_lowercase());
        }
    }
}

/// Words with a capital each and nothing between them; connectors at the ends stay.
pub(super) fn pascal(s: &str) -> String {
    let mut chars = s.chars();
    let mut out = String::with_capacity(s.len());
    let mut current = loop {
        let Some(c) = chars.next() else { return out };
        if !is_connector(c) {
            break c.to_uppercase().next().unwrap_or(c);
        }
        out.push(c);
    };
    for mut c in chars {
        let previous = current;
        if is_connector(c) && is_connector(previous) {
            out.push(previous);
        } else if is_connector(previous) {
            c = c.to_uppercase().next().unwrap_or(c);
        } else {
            out.push(previous);
        }
        current = c;
    }
    out.push(current);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found() {
        for (name, snake) in [
            ("FirstName", "first_name"),
            ("HTTPServer", "http_server"),
            ("NoHTTPS", "no_https"),
            ("GO_PATH", "go_path"),
            ("GO PATH", "go_path"),
            ("http2xx", "http_2xx"),
            ("HTTP20xOK", "http_20x_ok"),
            ("Duration2m3s", "duration_2m3s"),
            ("Bld4Floor3rd", "bld4_floor_3rd"),
            ("", ""),
        ] {
            assert_eq!(separated(name, '_'), snake, "{name}");
        }
        for (name, want) in [
            ("some_words", "SomeWords"),
            ("_complex__case_", "_Complex_Case_"),
            ("x", "X"),
            ("__", "__"),
        ] {
            assert_eq!(pascal(name), want, "{name}");
        }
    }
}
