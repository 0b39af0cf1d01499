//! Patterns as Go's RE2 reads them, for an engine that reads a few things otherwise.

use cel::regexp::translate;
use regex::{Regex, RegexBuilder};

/// Largest compiled pattern in bytes.
const MAX_SIZE: usize = 4 << 20;

/// Compiles a pattern of an OpenAPI schema.
///
/// # Errors
/// What is wrong with the pattern.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(&translate(pattern))
        .size_limit(MAX_SIZE)
        .dfa_size_limit(MAX_SIZE)
        .nest_limit(100)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "expression too large".into(),
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                last.trim_start_matches("error: ").to_owned()
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_go_means() {
        for (pattern, yes, no) in [
            (r"^\d+$", "12", "١٢"),
            (r"^[\w.]+$", "a_1.", "é"),
            (r"^[\D]+$", "abc", "1"),
            (r"^[[a]+$", "[a", "]"),
            (r"^[]a]+$", "]a", "b"),
            (r"^\Qa.b\E$", "a.b", "axb"),
            (r"^[a&&b]+$", "a&b", "c"),
            (r"^[[:alpha:]_]+$", "a_", "1"),
            (
                r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.[a-z0-9]+)*$",
                "a-b.c",
                "A",
            ),
            (r"^[\/a]+\z", "/a", "b"),
            (r"^[\S]+$", "abc", " "),
        ] {
            let regex = compile(pattern).unwrap();
            assert!(regex.is_match(yes), "{pattern} {yes}");
            assert!(!regex.is_match(no), "{pattern} {no}");
        }
        assert!(compile("(").is_err());
        assert!(compile("(?=a)").is_err());
        assert!(compile(&"(a{1000}){1000}".repeat(3)).is_err());
    }
}
