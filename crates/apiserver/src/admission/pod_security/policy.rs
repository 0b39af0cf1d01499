//! Which level of the Pod Security Standards a namespace asks for, by its labels.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

use crate::status::Cause;

/// Of the labels, and of annotations in the audit log.
pub(super) const PREFIX: &str = "pod-security.kubernetes.io/";

/// How much a pod may do on its node, from everything to little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// As which release of Kubernetes the standards are read: a minor of version 1, or always the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Minor(u32),
    Latest,
}

/// One level as one release reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LevelVersion {
    pub(super) level: Level,
    pub(super) version: Version,
}

/// What a namespace wants refused, noted in the audit log, and warned about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) enforce: LevelVersion,
    pub(super) audit: LevelVersion,
    pub(super) warn: LevelVersion,
}

impl Level {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "privileged" => Some(Self::Privileged),
            "baseline" => Some(Self::Baseline),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        })
    }
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        if text == "latest" {
            return Some(Self::Latest);
        }
        let digits = text.strip_prefix("v1.")?;
        let is_number = digits.bytes().all(|b| b.is_ascii_digit());
        let is_padded = digits.len() > 1 && digits.starts_with('0');
        if !is_number || is_padded {
            return None;
        }
        digits.parse().ok().map(Self::Minor)
    }

    /// Whether the rules that came with this minor hold.
    pub(super) fn has(self, minor: u32) -> bool {
        match self {
            Self::Latest => true,
            Self::Minor(own) => own >= minor,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Minor(minor) => write!(f, "v1.{minor}"),
        }
    }
}

impl LevelVersion {
    const OPEN: Self = Self {
        level: Level::Privileged,
        version: Version::Latest,
    };
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level, self.version)
    }
}

impl Policy {
    /// What the labels say. A label that cannot be read is a cause; enforcement then closes, the other two open.
    pub(super) fn of(labels: &Value) -> (Self, Vec<Cause>) {
        let mut reader = Reader {
            labels,
            causes: Vec::new(),
        };
        let open = LevelVersion::OPEN;
        let enforced = reader.level("enforce");
        let enforce = LevelVersion {
            level: match enforced {
                Said::Nothing => Level::Privileged,
                Said::Rubbish => Level::Restricted,
                Said::Value(level) => level,
            },
            version: reader.version("enforce-version").or(open.version),
        };
        let audit = LevelVersion {
            level: reader.level("audit").or(open.level),
            version: reader.version("audit-version").or(open.version),
        };
        let (level, version) = (reader.level("warn"), reader.version("warn-version"));
        let mut warn = LevelVersion {
            level: level.or(open.level),
            version: version.or(open.version),
        };
        // Who says only what is refused gets warned of the same.
        if let (Said::Nothing, Said::Value(enforced)) = (level, enforced)
            && enforced > warn.level
        {
            warn.level = enforced;
            if matches!(version, Said::Nothing) {
                warn.version = enforce.version;
            }
        }
        let policy = Self {
            enforce,
            audit,
            warn,
        };
        (policy, reader.causes)
    }

    /// Whether nothing at all is asked of pods.
    pub(super) fn is_open(&self) -> bool {
        [self.enforce, self.audit, self.warn]
            .iter()
            .all(|part| part.level == Level::Privileged)
    }

    /// Whether pods that were fine under `old` may break what is enforced now.
    pub(super) fn tightens(&self, old: &Self) -> bool {
        let (new, old) = (self.enforce, old.enforce);
        let is_relaxed =
            new.version == old.version && new.level.cmp(&old.level) != Ordering::Greater;
        new != old && new.level != Level::Privileged && !is_relaxed
    }
}

/// What a label says.
#[derive(Clone, Copy)]
enum Said<T> {
    Nothing,
    Rubbish,
    Value(T),
}

impl<T> Said<T> {
    fn or(self, other: T) -> T {
        match self {
            Self::Value(value) => value,
            Self::Nothing | Self::Rubbish => other,
        }
    }
}

struct Reader<'a> {
    labels: &'a Value,
    causes: Vec<Cause>,
}

impl Reader<'_> {
    fn level(&mut self, name: &str) -> Said<Level> {
        self.read(
            name,
            Level::parse,
            "must be one of privileged, baseline, restricted",
        )
    }

    fn version(&mut self, name: &str) -> Said<Version> {
        self.read(name, Version::parse, "must be \"latest\" or \"v1.x\"")
    }

    fn read<T>(&mut self, name: &str, parse: impl Fn(&str) -> Option<T>, rule: &str) -> Said<T> {
        let key = format!("{PREFIX}{name}");
        let Some(text) = self.labels[&key].as_str() else {
            return Said::Nothing;
        };
        if let Some(value) = parse(text) {
            return Said::Value(value);
        }
        self.causes.push(Cause::invalid(
            format!("metadata.labels[{key}]"),
            &text.into(),
            rule,
        ));
        Said::Rubbish
    }
}
