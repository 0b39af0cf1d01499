//! Versions and version ranges as Helm takes them: a leading `v`, missing parts and leading zeros are fine; ranges have
//! `=`, `!=`, `<`, `>`, `<=`, `>=`, `~`, `^`, wildcards, hyphens, commas or spaces for "and" and `||` for "or". A range without
//! a pre-release matches no pre-release.

use std::cmp::Ordering;
use std::fmt;

/// A version.
#[derive(Debug, Clone)]
pub struct Version {
    /// First number.
    pub major: u64,
    /// Second number.
    pub minor: u64,
    /// Third number.
    pub patch: u64,
    /// What follows the dash; empty without.
    pub prerelease: String,
    /// What follows the plus; empty without. It doesn't count in comparisons.
    pub metadata: String,
    original: String,
}

/// What is wrong with a version or range, in the words that Helm's users know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No version.
    #[error("invalid semantic version")]
    Version,
    /// A number that fits into no 64 bits.
    #[error("error parsing version segment: {0:?} is out of range")]
    Segment(String),
    /// A pre-release with a number that begins with zero.
    #[error("version segment starts with 0")]
    LeadingZero,
    /// No range.
    #[error("improper constraint: {0:?}")]
    Range(String),
}

fn is_identifier(s: &str) -> bool {
    !s.is_empty()
        && s.split('.')
            .all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

/// A version text in its parts: numbers, pre-release, metadata.
struct Parts<'a> {
    numbers: Vec<&'a str>,
    prerelease: &'a str,
    metadata: &'a str,
}

/// Splits a version or a version pattern.
fn parts(s: &str) -> Option<Parts<'_>> {
    let body = s.strip_prefix('v').unwrap_or(s);
    let (body, metadata) = body
        .split_once('+')
        .map_or((body, None), |(b, m)| (b, Some(m)));
    let (core, prerelease) = body
        .split_once('-')
        .map_or((body, None), |(b, p)| (b, Some(p)));
    let numbers: Vec<&str> = core.split('.').collect();
    let fits = numbers.len() <= 3
        && numbers.iter().all(|n| !n.is_empty())
        && prerelease.is_none_or(is_identifier)
        && metadata.is_none_or(is_identifier);
    fits.then(|| Parts {
        numbers,
        prerelease: prerelease.unwrap_or_default(),
        metadata: metadata.unwrap_or_default(),
    })
}

impl Version {
    /// Reads a version, also a short one such as `v1.2`.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let parts = parts(text).ok_or(Error::Version)?;
        let mut numbers = [0; 3];
        for (slot, part) in numbers.iter_mut().zip(&parts.numbers) {
            if !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(Error::Version);
            }
            *slot = part
                .parse()
                .map_err(|_| Error::Segment((*part).to_string()))?;
        }
        let zero_first =
            |p: &str| p.len() > 1 && p.starts_with('0') && p.bytes().all(|b| b.is_ascii_digit());
        if parts.prerelease.split('.').any(zero_first) {
            return Err(Error::LeadingZero);
        }
        let [major, minor, patch] = numbers;
        let (prerelease, metadata) = (parts.prerelease.to_string(), parts.metadata.to_string());
        Ok(Self {
            major,
            minor,
            patch,
            prerelease,
            metadata,
            original: text.to_string(),
        })
    }

    /// The text that it was read from.
    pub fn original(&self) -> &str {
        &self.original
    }

    fn core(&self) -> (u64, u64, u64) {
        (self.major, self.minor, self.patch)
    }

    fn bumped(&self, major: u64, minor: u64, patch: u64) -> Self {
        let v = if self.original.starts_with('v') {
            "v"
        } else {
            ""
        };
        let original = format!("{v}{major}.{minor}.{patch}");
        Self {
            major,
            minor,
            patch,
            prerelease: String::new(),
            metadata: String::new(),
            original,
        }
    }

    /// The next major version.
    #[must_use]
    pub fn next_major(&self) -> Self {
        self.bumped(self.major.saturating_add(1), 0, 0)
    }

    /// The next minor version.
    #[must_use]
    pub fn next_minor(&self) -> Self {
        self.bumped(self.major, self.minor.saturating_add(1), 0)
    }

    /// The next patch version; of a pre-release the release.
    #[must_use]
    pub fn next_patch(&self) -> Self {
        let step = u64::from(self.prerelease.is_empty());
        self.bumped(self.major, self.minor, self.patch.saturating_add(step))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.prerelease.is_empty() {
            write!(f, "-{}", self.prerelease)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

fn compare_prerelease(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(x), Some(y)) => match (x.parse::<u64>(), y.parse::<u64>()) {
                (Ok(x), Ok(y)) => x.cmp(&y),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => x.cmp(y),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.core()
            .cmp(&other.core())
            .then_with(|| compare_prerelease(&self.prerelease, &other.prerelease))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    Tilde,
    Caret,
}

/// Longest first.
const OPERATORS: [(&str, Operator); 12] = [
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterEqual),
    ("=>", Operator::GreaterEqual),
    ("<=", Operator::LessEqual),
    ("=<", Operator::LessEqual),
    ("~>", Operator::Tilde),
    ("=", Operator::Equal),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
    ("", Operator::Equal),
];

#[derive(Debug, Clone)]
struct Bound {
    operator: Operator,
    version: Version,
    /// How many numbers are given before a wildcard or the end: 0 to 3.
    given: usize,
}

/// A range of versions.
#[derive(Debug, Clone)]
pub struct Range {
    /// One of these must hold, each with all its bounds.
    any: Vec<Vec<Bound>>,
}

impl Range {
    /// Reads a range.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let any: Result<_, _> = text.split("||").map(all_of).collect();
        Ok(Self { any: any? })
    }

    /// True if the version is in the range.
    pub fn matches(&self, version: &Version) -> bool {
        self.any.iter().any(|all| {
            let prereleases = all.iter().any(|b| !b.version.prerelease.is_empty());
            (prereleases || version.prerelease.is_empty()) && all.iter().all(|b| b.matches(version))
        })
    }
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || c == ','
}

/// Reads the bounds of one alternative.
fn all_of(text: &str) -> Result<Vec<Bound>, Error> {
    let improper = || Error::Range(text.to_string());
    let mut bounds = Vec::new();
    let mut rest = text.trim();
    if rest.is_empty() {
        return if text.is_empty() {
            let version = Version::parse("0.0.0")?;
            Ok(vec![Bound {
                operator: Operator::Equal,
                version,
                given: 0,
            }])
        } else {
            Err(improper())
        };
    }
    while !rest.is_empty() {
        let (sign, operator) = OPERATORS
            .iter()
            .find(|(s, _)| rest.starts_with(s))
            .ok_or_else(improper)?;
        rest = rest[sign.len()..].trim_start();
        let end = rest
            .find(|c: char| is_separator(c) || "=!<>~^".contains(c))
            .unwrap_or(rest.len());
        let (pattern, after) = rest.split_at(end);
        // "1.2 - 1.4" is ">=1.2 <=1.4".
        let hyphen = after
            .trim_start()
            .strip_prefix("- ")
            .filter(|_| sign.is_empty() && after.starts_with(' '));
        if let Some(upper) = hyphen {
            let upper = upper.trim_start();
            let end = upper.find(is_separator).unwrap_or(upper.len());
            bounds.push(Bound::parse(Operator::GreaterEqual, pattern).ok_or_else(improper)?);
            bounds.push(Bound::parse(Operator::LessEqual, &upper[..end]).ok_or_else(improper)?);
            rest = upper[end..].trim_start_matches(is_separator);
            continue;
        }
        bounds.push(Bound::parse(*operator, pattern).ok_or_else(improper)?);
        let next = after.trim_start();
        if !after.is_empty() && !after.starts_with(is_separator) {
            return Err(improper());
        }
        rest = match next.strip_prefix(',') {
            Some(next) if next.trim_start().is_empty() => return Err(improper()),
            Some(next) => next.trim_start(),
            None => next,
        };
    }
    Ok(bounds)
}

impl Bound {
    fn parse(operator: Operator, pattern: &str) -> Option<Self> {
        let parts = parts(pattern)?;
        let wild = |n: &str| matches!(n, "x" | "X" | "*");
        let given = parts.numbers.iter().take_while(|n| !wild(n)).count();
        let known = |n: &&str| wild(n) || n.bytes().all(|b| b.is_ascii_digit());
        if !parts.numbers.iter().all(known) {
            return None;
        }
        let number = |i: usize| if i < given { parts.numbers[i] } else { "0" };
        let mut text = format!("{}.{}.{}", number(0), number(1), number(2));
        if !parts.prerelease.is_empty() {
            text.push_str(&format!("-{}", parts.prerelease));
        }
        Some(Self {
            operator,
            version: Version::parse(&text).ok()?,
            given,
        })
    }

    fn matches(&self, v: &Version) -> bool {
        let c = &self.version;
        let partial = self.given < 3;
        match self.operator {
            Operator::Equal if partial => self.tilde(v),
            Operator::Equal => v == c,
            Operator::NotEqual => match self.given {
                1 => v.major != c.major,
                2 if (v.major, v.minor) == (c.major, c.minor) => {
                    compare_prerelease(&v.prerelease, &c.prerelease).is_ne()
                }
                2 => true,
                _ => v != c,
            },
            Operator::Greater => match self.given {
                // ">11" begins at 12, ">11.1" at 11.2.
                1 => v.major > c.major,
                2 => (v.major, v.minor) > (c.major, c.minor),
                _ => v > c,
            },
            Operator::Less => v < c,
            Operator::GreaterEqual => v >= c,
            Operator::LessEqual => match self.given {
                // "<=11" takes all of 11.
                1 => v.major <= c.major,
                2 => (v.major, v.minor) <= (c.major, c.minor),
                0 => v.major == 0 && v.minor == 0,
                _ => v <= c,
            },
            Operator::Tilde => self.tilde(v),
            Operator::Caret => self.caret(v),
        }
    }

    fn tilde(&self, v: &Version) -> bool {
        let c = &self.version;
        // "~0.0.0" and "*" take everything.
        let everything = c.core() == (0, 0, 0) && matches!(self.given, 0 | 3);
        v >= c && (everything || (v.major == c.major && (self.given == 1 || v.minor == c.minor)))
    }

    fn caret(&self, v: &Version) -> bool {
        let c = &self.version;
        if v < c {
            return false;
        }
        if c.major > 0 || self.given == 1 {
            return v.major == c.major;
        }
        if self.given == 0 {
            return v.core() == (0, 0, 0);
        }
        if v.major > 0 {
            return false;
        }
        if c.minor > 0 || self.given == 2 {
            return v.minor == c.minor;
        }
        v.minor == 0 && v.patch == c.patch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(range: &str, yes: &[&str], no: &[&str]) {
        let parsed = Range::parse(range).unwrap();
        for v in yes {
            assert!(
                parsed.matches(&Version::parse(v).unwrap()),
                "{range} should match {v}"
            );
        }
        for v in no {
            assert!(
                !parsed.matches(&Version::parse(v).unwrap()),
                "{range} should not match {v}"
            );
        }
    }

    #[test]
    fn ranges() {
        check(
            ">=1.19-0",
            &["1.19.0", "v1.36.0", "1.20.0-gke.1", "1.19.0-alpha"],
            &["1.18.9"],
        );
        check(">=1.19", &["1.19.0", "2.0.0"], &["1.18.0", "1.20.0-gke.1"]);
        check("^1.2", &["1.2.0", "1.9.9"], &["2.0.0", "1.1.9"]);
        check("^0.2.3", &["0.2.3", "0.2.9"], &["0.3.0", "0.2.2"]);
        check("^0.0.3", &["0.0.3"], &["0.0.4"]);
        check("~1.2.3", &["1.2.3", "1.2.9"], &["1.3.0"]);
        check("~1", &["1.0.0", "1.9.0"], &["2.0.0"]);
        check(
            "1.x || >=2.5.0, <3",
            &["1.7.0", "2.5.1"],
            &["2.4.0", "3.0.0"],
        );
        check("1.2 - 1.4.5", &["1.2.0", "1.4.5"], &["1.4.6", "1.1.0"]);
        check("*", &["0.1.0", "9.9.9"], &["1.0.0-rc.1"]);
        check("", &["1.2.3"], &[]);
        check("!=1.2.x", &["1.3.0"], &["1.2.5"]);
        check(">11", &["12.0.0"], &["11.5.0"]);
        check("<=11", &["11.5.0", "10.0.0"], &["12.0.0"]);
        check("=1.2.3", &["1.2.3", "v1.2.3+build"], &["1.2.4"]);
        check(">= 1.0.0 < 2.0.0", &["1.5.0"], &["2.0.0"]);
        for bad in ["abc", ">=", "1.2.3.4", ">=1.0 <", "1.0 |", "^^1"] {
            assert!(Range::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions() {
        let v = Version::parse("v1.2").unwrap();
        assert_eq!((v.to_string().as_str(), v.original()), ("1.2.0", "v1.2"));
        assert!(
            Version::parse("1.0.0-alpha.2").unwrap() < Version::parse("1.0.0-alpha.10").unwrap()
        );
        assert!(Version::parse("1.0.0-rc.1").unwrap() < Version::parse("1.0.0").unwrap());
        for bad in ["", "x", "1.2.3.4", "1..2", "1.0.0-", "1.0.0-01"] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
    }
}
