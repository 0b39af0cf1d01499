//! `.helmignore`: which files of a chart's directory belong to the chart.

use super::{File, LoadError};
use std::collections::BTreeSet;

struct Rule {
    pattern: Vec<char>,
    negated: bool,
    directories_only: bool,
    /// Compared with the whole path; else with the last part of it.
    whole_path: bool,
}

/// Leaves out the ignored files, and files in ignored directories.
pub(super) fn filter(files: Vec<File>) -> Result<Vec<File>, LoadError> {
    let mut rules = Vec::new();
    if let Some(file) = files.iter().find(|f| f.name == ".helmignore") {
        let text = String::from_utf8_lossy(&file.data);
        for line in text.trim_start_matches('\u{feff}').lines() {
            rules.extend(Rule::parse(line)?);
        }
    }
    rules.extend(Rule::parse("templates/.?*")?);
    let mut dropped: BTreeSet<String> = BTreeSet::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    Ok(files
        .into_iter()
        .filter(|file| {
            for (at, _) in file.name.match_indices('/') {
                let directory = &file.name[..at];
                if seen.insert(directory.to_string()) && ignored(&rules, directory, true) {
                    dropped.insert(directory.to_string());
                }
                if dropped.contains(directory) {
                    return false;
                }
            }
            !ignored(&rules, &file.name, false)
        })
        .collect())
}

fn ignored(rules: &[Rule], path: &str, directory: bool) -> bool {
    for rule in rules {
        if rule.negated {
            if (rule.directories_only && !directory) || !rule.matches(path) {
                return true;
            }
        } else if (directory || !rule.directories_only) && rule.matches(path) {
            return true;
        }
    }
    false
}

impl Rule {
    fn parse(line: &str) -> Result<Option<Self>, LoadError> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        if line.contains("**") {
            return Err(LoadError("double-star (**) syntax is not supported".into()));
        }
        let (negated, line) = line.strip_prefix('!').map_or((false, line), |l| (true, l));
        let (directories_only, line) = line.strip_suffix('/').map_or((false, line), |l| (true, l));
        let whole_path = line.contains('/');
        let pattern = line.strip_prefix('/').unwrap_or(line).chars().collect();
        Ok(Some(Self {
            pattern,
            negated,
            directories_only,
            whole_path,
        }))
    }

    fn matches(&self, path: &str) -> bool {
        let text = if self.whole_path {
            path
        } else {
            path.rsplit('/').next().unwrap_or(path)
        };
        glob(&self.pattern, &text.chars().collect::<Vec<_>>())
    }
}

/// `filepath.Match`: `*` and `?` stop at slashes.
fn glob(pattern: &[char], text: &[char]) -> bool {
    // Where to go on after a star that took too little.
    let (mut p, mut t, mut star) = (0, 0, None);
    loop {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            None if t == text.len() => return true,
            None => None,
            Some(_) => text.get(t).and_then(|c| one(&pattern[p..], *c)),
        };
        if let Some(length) = step {
            p += length;
            t += 1;
            continue;
        }
        let Some((at, taken)) = star else {
            return false;
        };
        if text.get(taken).is_none_or(|c| *c == '/') {
            return false;
        }
        star = Some((at, taken + 1));
        (p, t) = (at + 1, taken + 1);
    }
}

/// Length of the first element of the pattern, if it takes the character.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern[0] {
        '?' => (c != '/').then_some(1),
        '\\' => (pattern.get(1) == Some(&c)).then_some(2),
        '[' => {
            let end = pattern.iter().skip(2).position(|c| *c == ']')? + 2;
            let (negated, set) = match pattern[1] {
                '^' => (true, &pattern[2..end]),
                _ => (false, &pattern[1..end]),
            };
            let mut hit = false;
            let mut i = 0;
            while i < set.len() {
                if set.get(i + 1) == Some(&'-') && i + 2 < set.len() {
                    hit |= (set[i]..=set[i + 2]).contains(&c);
                    i += 3;
                } else {
                    hit |= set[i] == c;
                    i += 1;
                }
            }
            (hit != negated && c != '/').then_some(end + 1)
        }
        literal => (literal == c).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &str, kept: &[&str], dropped: &[&str]) {
        let mut files = vec![File {
            name: ".helmignore".into(),
            data: rules.as_bytes().to_vec(),
        }];
        files.extend(kept.iter().chain(dropped).map(|n| File {
            name: (*n).to_string(),
            data: Vec::new(),
        }));
        let names: Vec<String> = filter(files).unwrap().into_iter().map(|f| f.name).collect();
        assert!(
            kept.iter().all(|k| names.iter().any(|n| n == k)),
            "{rules}: {names:?}"
        );
        assert!(
            !dropped.iter().any(|d| names.iter().any(|n| n == d)),
            "{rules}: {names:?}"
        );
    }

    #[test]
    fn rules() {
        check("*.txt", &["a.yaml", "b/c.yaml"], &["a.txt", "b/c.txt"]);
        check(
            "/a.txt\nb/*.md\n",
            &["b/a.txt", "c/x.md"],
            &["a.txt", "b/x.md"],
        );
        check("ci/\n# ignore\n", &["ci", "x/ci.yaml"], &["ci/a", "x/ci/b"]);
        check("[a-c]?.x\n", &["dd.x", "a.x"], &["ab.x", "cz.x"]);
        check("", &["templates/a.yaml"], &["templates/.hidden"]);
        assert!(
            filter(vec![File {
                name: ".helmignore".into(),
                data: b"a/**".to_vec()
            }])
            .is_err()
        );
    }
}
