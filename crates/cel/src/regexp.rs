//! Patterns in the syntax of RE2, which Kubernetes uses everywhere, for the crate `regex`: in expressions, and in the schemas of
//! those who use this library.

/// Rewrites what differs: `\d \s \w` mean ASCII, `\Q…\E` quotes, and `[`, `&&`, `--`, `~~` inside a class are literal.
#[must_use]
pub fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('Q') if !in_class => quote(&mut chars, &mut out),
                Some('E') if !in_class => {}
                Some(escaped) => escape(escaped, in_class, &mut out),
                None => out.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A first `]` is literal.
                if chars.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            '[' if chars.peek() == Some(&':') => {
                // A named class, `[:alpha:]`.
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' => out.push_str("\\["),
            ']' => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            '-' if in_class && chars.peek() == Some(&'-') => {
                chars.next();
                out.push_str("\\--");
            }
            _ => out.push(c),
        }
    }
    out
}

fn quote(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'E').is_some() {
            break;
        }
        text.push(c);
    }
    out.push_str(&regex::escape(&text));
}

fn escape(escaped: char, in_class: bool, out: &mut String) {
    let class = match escaped {
        'd' | 'D' => "0-9",
        'w' | 'W' => "0-9A-Za-z_",
        's' | 'S' => r"\t\n\x0C\r ",
        _ => {
            out.push('\\');
            out.push(escaped);
            return;
        }
    };
    match (escaped.is_ascii_uppercase(), in_class) {
        (false, true) => out.push_str(class),
        (false, false) => out.push_str(&format!("[{class}]")),
        (true, _) => out.push_str(&format!("[^{class}]")),
    }
}
