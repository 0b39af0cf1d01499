//! Versions of CoreDNS: which may follow which, and what its configuration has to be then. Pure.

use std::fmt;
use std::ops::RangeInclusive;

use crate::meta::labels::SKIP_COREDNS;

/// Minor versions whose configuration is known. Before them plugins came and went; Kubernetes v1.21 already had 1.8.
const KNOWN: RangeInclusive<u64> = 8..=14;

/// A version of CoreDNS, as the tag of its image names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CoreDnsVersion {
    pub major: u64,
    pub minor: u64,
    pub patch: u64,
}

impl fmt::Display for CoreDnsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl CoreDnsVersion {
    /// Reads the tag of an image: `v1.12.4`, `1.12.4`, or with what somebody has put after it, as in `1.12.4-eks.1` and `1.12.4_build`.
    #[must_use]
    pub fn parse(tag: &str) -> Option<Self> {
        let tag = tag.strip_prefix('v').unwrap_or(tag);
        let core = tag.split(['-', '_', '+']).next().unwrap_or_default();
        let mut numbers = core.split('.').map(|number| {
            let is_digits = number.bytes().all(|byte| byte.is_ascii_digit());
            number.parse::<u64>().ok().filter(|_| is_digits)
        });
        let major = numbers.next()??;
        let minor = numbers.next().unwrap_or(Some(0))?;
        let patch = numbers.next().unwrap_or(Some(0))?;
        numbers.next().is_none().then_some(Self {
            major,
            minor,
            patch,
        })
    }

    fn is_known(self) -> bool {
        self.major == 1 && KNOWN.contains(&self.minor)
    }

    /// Whether `to` may follow this version.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn check_upgrade(self, to: Self) -> Result<(), String> {
        if self == to {
            return Ok(());
        }
        if to < self {
            return Err(format!("cannot go back from {self} to {to}"));
        }
        let unknown = [self, to].into_iter().find(|version| !version.is_known());
        match unknown {
            None => Ok(()),
            Some(unknown) => Err(format!(
                "cannot go from {self} to {to}: the configuration of {unknown} is not known (1.{} to 1.{} are); upgrade CoreDNS yourself, and say so by the annotation {SKIP_COREDNS}",
                KNOWN.start(),
                KNOWN.end()
            )),
        }
    }
}

/// The Corefile for the later one of two known versions. Between those nothing has gone but all URLs after the first in the option
/// `endpoint` of `kubernetes`, which have no effect. Plugins that nobody here knows stay: an image may have more than the usual ones.
#[must_use]
pub fn migrate(corefile: &str) -> String {
    let mut blocks: Vec<&str> = vec![];
    let mut migrated = String::with_capacity(corefile.len());
    for line in corefile.split_inclusive('\n') {
        let words: Vec<&str> = words(line);
        let is_endpoint = words.first() == Some(&"endpoint") && words.len() > 2;
        if is_endpoint && blocks.last() == Some(&"kubernetes") {
            let indent = &line[..line.len() - line.trim_start().len()];
            migrated += &format!("{indent}endpoint {}\n", words[1]);
        } else {
            migrated += line;
        }
        for (at, word) in words.iter().enumerate() {
            match *word {
                "{" => blocks.push(if at == 0 { "" } else { words[0] }),
                "}" => drop(blocks.pop()),
                _ => {}
            }
        }
    }
    migrated
}

/// The words of a line, without its comment.
fn words(line: &str) -> Vec<&str> {
    let words = line.split_whitespace();
    words.take_while(|word| !word.starts_with('#')).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn tags_are_read_with_all_that_is_around_the_version() {
        let read = |tag: &str| CoreDnsVersion::parse(tag).map(|version| version.to_string());
        let tags = [
            "v1.12.4",
            "1.8.0",
            "1.9",
            "1.12.4-eks.1",
            "v1.12.4_build.7",
            "1.2.3.4",
            "latest",
            "",
            "v",
            "1.x.2",
            "+1.2.3",
        ];
        let all: Vec<String> = tags
            .iter()
            .map(|tag| format!("{tag:?}: {:?}", read(tag)))
            .collect();
        expect![[r#"
            "v1.12.4": Some("1.12.4")
            "1.8.0": Some("1.8.0")
            "1.9": Some("1.9.0")
            "1.12.4-eks.1": Some("1.12.4")
            "v1.12.4_build.7": Some("1.12.4")
            "1.2.3.4": None
            "latest": None
            "": None
            "v": None
            "1.x.2": None
            "+1.2.3": None"#]]
        .assert_eq(&all.join("\n"));
    }

    #[test]
    fn versions_go_forward_and_are_known() {
        let check = |from: &str, to: &str| {
            let parse = |tag: &str| CoreDnsVersion::parse(tag).unwrap();
            parse(from)
                .check_upgrade(parse(to))
                .err()
                .unwrap_or_default()
        };
        let all = [
            ("1.8.0", "1.14.2"),
            ("1.12.4", "1.12.4"),
            ("1.6.7", "1.6.7"),
            ("1.12.4", "1.12.3"),
            ("1.7.1", "1.12.4"),
            ("1.12.4", "1.15.0"),
            ("1.12.4", "2.0.0"),
        ];
        let all: Vec<String> = all
            .iter()
            .map(|(from, to)| format!("{from} → {to}: {}", check(from, to)))
            .collect();
        expect![[r#"
            1.8.0 → 1.14.2: 
            1.12.4 → 1.12.4: 
            1.6.7 → 1.6.7: 
            1.12.4 → 1.12.3: cannot go back from 1.12.4 to 1.12.3
            1.7.1 → 1.12.4: cannot go from 1.7.1 to 1.12.4: the configuration of 1.7.1 is not known (1.8 to 1.14 are); upgrade CoreDNS yourself, and say so by the annotation controlplane.cluster.x-k8s.io/skip-coredns
            1.12.4 → 1.15.0: cannot go from 1.12.4 to 1.15.0: the configuration of 1.15.0 is not known (1.8 to 1.14 are); upgrade CoreDNS yourself, and say so by the annotation controlplane.cluster.x-k8s.io/skip-coredns
            1.12.4 → 2.0.0: cannot go from 1.12.4 to 2.0.0: the configuration of 2.0.0 is not known (1.8 to 1.14 are); upgrade CoreDNS yourself, and say so by the annotation controlplane.cluster.x-k8s.io/skip-coredns"#]].assert_eq(&all.join("\n"));
    }

    #[test]
    fn what_has_no_effect_any_more_goes_and_all_else_stays() {
        let corefile = "\
.:53 {
    errors
    kubernetes cluster.local in-addr.arpa { # endpoint a b {
        endpoint https://a https://b
        pods insecure
    }
    ours {
        endpoint a b
    }
    forward . /etc/resolv.conf
}
";
        let wanted = corefile.replace("https://a https://b", "https://a");
        assert_eq!(migrate(corefile), wanted);
        assert_eq!(migrate(&wanted), wanted);
        assert_eq!(migrate("}}}\nendpoint a b"), "}}}\nendpoint a b");
    }
}
