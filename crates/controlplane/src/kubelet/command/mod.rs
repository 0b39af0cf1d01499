//! What a container's command comes to, for the few commands whose end can be told without running them: pure.
//!
//! Known are `true`, `false`, `:`, `echo`, `printf`, `sleep`, `exit`, `exec`, `touch`, `test`, `[` and `[[`, alone or in a
//! script of `sh -c` with `;`, `&&`, `||`, `!`, `set -e`, `if`, redirections of output, variables of the container's
//! environment, and `$((a % b))` or `$(expr a % b)`. What is touched in an emptyDir is there when the container runs the
//! next time. Of any other command nothing is said, and of a script with one in it neither.

mod lexer;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};

use lexer::Lexer;

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    Exits {
        after: Duration,
        code: i32,
    },
    /// Until it is stopped.
    Stays,
}

/// Longer scripts are not read.
const SCRIPT_MAX: usize = 16 * 1024;
/// How deep `if`s may be in one another.
const DEPTH_MAX: u32 = 16;

/// Runs of a container that are played to find which files it has left; what has not settled then never does.
const RUNS_MAX: i32 = 16;

/// What a container comes to in its run after so many restarts. `None` if it is unknown.
pub(super) fn run(pod: &Pod, container: &Container, restarts: i32) -> Option<Run> {
    let command = container.command.as_ref().filter(|c| !c.is_empty());
    let Some(command) = command else {
        // The one image of which everybody knows what it does.
        let image = container.image.as_deref().unwrap_or_default();
        let name = image.rsplit('/').next().unwrap_or_default();
        let name = name.split([':', '@']).next().unwrap_or_default();
        return (name == "pause").then_some(Run::Stays);
    };
    let words: Vec<&str> = command
        .iter()
        .chain(container.args.iter().flatten())
        .map(String::as_str)
        .collect();
    let mut files = BTreeSet::new();
    for _ in 0..restarts.clamp(0, RUNS_MAX) {
        let before = files.clone();
        play(pod, container, &words, &mut files);
        if files == before {
            break;
        }
    }
    play(pod, container, &words, &mut files)
}

/// What a program comes to that is run beside a container, as probes and hooks are.
pub(super) fn beside(pod: &Pod, container: &Container, command: &[String]) -> Option<Run> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    play(pod, container, &words, &mut BTreeSet::new())
}

fn play(
    pod: &Pod,
    container: &Container,
    words: &[&str],
    files: &mut BTreeSet<String>,
) -> Option<Run> {
    let environment = environment(pod, container);
    let mut shell = Shell {
        files: std::mem::take(files),
        volumes: volumes(pod, container),
        ..Shell::default()
    };
    let result = match script(words) {
        Some((script, stops_at_errors)) => {
            shell.stops_at_errors = stops_at_errors;
            shell.run(script, &environment)
        }
        None => shell.simple(words).map(|(code, _)| code),
    };
    *files = shell.files;
    match result {
        Ok(code) => Some(Run::Exits {
            after: shell.elapsed,
            code,
        }),
        Err(Stop::Never) => Some(Run::Stays),
        Err(Stop::Unknown) => None,
    }
}

/// Where the container sees emptyDirs: what is in them is known from the start, and stays when it restarts.
fn volumes(pod: &Pod, container: &Container) -> Vec<String> {
    let all = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    let empty: Vec<&str> = all
        .filter(|volume| volume.empty_dir.is_some())
        .map(|volume| volume.name.as_str())
        .collect();
    // Only where no other container writes.
    let is_shared = |name: &str| {
        let spec = pod.spec.iter();
        let containers = spec.flat_map(|spec| {
            spec.containers
                .iter()
                .chain(spec.init_containers.iter().flatten())
        });
        let mut others = containers.filter(|other| other.name != container.name);
        others.any(|other| {
            let mut mounts = other.volume_mounts.iter().flatten();
            mounts.any(|mount| mount.name == name)
        })
    };
    let mounts = container.volume_mounts.iter().flatten();
    mounts
        .filter(|mount| empty.contains(&mount.name.as_str()) && !is_shared(&mount.name))
        .map(|mount| format!("{}/", mount.mount_path.trim_end_matches('/')))
        .collect()
}

/// The script of `sh -c <script>`, and whether it ends at the first error.
fn script<'a>(words: &[&'a str]) -> Option<(&'a str, bool)> {
    let (shell, rest) = words.split_first()?;
    let name = shell.rsplit('/').next()?;
    if !matches!(name, "sh" | "bash" | "ash" | "dash") {
        return None;
    }
    let mut stops_at_errors = false;
    for (at, word) in rest.iter().enumerate() {
        let flags = word.strip_prefix('-')?;
        stops_at_errors |= flags.contains('e');
        if flags.contains('c') {
            return rest.get(at + 1).map(|script| (*script, stops_at_errors));
        }
    }
    None
}

/// The variables whose values are known.
fn environment(pod: &Pod, container: &Container) -> HashMap<String, String> {
    let mut known = HashMap::new();
    for variable in container.env.iter().flatten() {
        let source = variable.value_from.as_ref();
        let field = source.and_then(|source| source.field_ref.as_ref());
        let value = match (field, source) {
            (Some(field), _) => self::field(pod, &field.field_path),
            (None, Some(_)) => None,
            (None, None) => {
                let value = variable.value.clone().unwrap_or_default();
                // References to others are not followed.
                (!value.contains("$(")).then_some(value)
            }
        };
        match value {
            Some(value) => known.insert(variable.name.clone(), value),
            None => known.remove(&variable.name),
        };
    }
    known
}

fn field(pod: &Pod, path: &str) -> Option<String> {
    let meta = &pod.metadata;
    let key = |prefix: &str| {
        let key = path.strip_prefix(prefix)?.strip_prefix("['")?;
        key.strip_suffix("']")
    };
    match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        _ => {
            let label = key("metadata.labels").and_then(|key| meta.labels.as_ref()?.get(key));
            let found = label.or_else(|| {
                key("metadata.annotations").and_then(|key| meta.annotations.as_ref()?.get(key))
            });
            found.cloned()
        }
    }
}

/// Why a script has no end that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Unknown,
    /// It sleeps for ever.
    Never,
}

/// A part of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word {
        text: String,
        is_quoted: bool,
    },
    /// `;` or a new line.
    Next,
    And,
    Or,
}

/// A script being played.
#[derive(Default)]
struct Shell {
    tokens: Vec<Token>,
    at: usize,
    elapsed: Duration,
    stops_at_errors: bool,
    depth: u32,
    /// What was made in the volumes.
    files: BTreeSet<String>,
    /// Paths below which it is known what there is.
    volumes: Vec<String>,
    /// The script has ended with this code; what follows is read only.
    exited: Option<i32>,
}

impl Shell {
    fn run(&mut self, script: &str, environment: &HashMap<String, String>) -> Result<i32, Stop> {
        if script.len() > SCRIPT_MAX {
            return Err(Stop::Unknown);
        }
        self.tokens = Lexer::new(script, environment).tokens()?;
        let code = self.list(&[], true, false)?;
        Ok(self.exited.unwrap_or(code))
    }

    fn keyword(&self) -> Option<&str> {
        match self.tokens.get(self.at)? {
            Token::Word {
                text,
                is_quoted: false,
            } => Some(text),
            _ => None,
        }
    }

    fn expect(&mut self, keyword: &str) -> Result<(), Stop> {
        if self.keyword() != Some(keyword) {
            return Err(Stop::Unknown);
        }
        self.at += 1;
        Ok(())
    }

    /// Commands one after the other, up to one of the keywords `ends`.
    fn list(&mut self, ends: &[&str], live: bool, is_condition: bool) -> Result<i32, Stop> {
        let mut code = 0;
        loop {
            while self.tokens.get(self.at) == Some(&Token::Next) {
                self.at += 1;
            }
            let is_end = self.at >= self.tokens.len();
            if is_end && ends.is_empty() {
                return Ok(code);
            }
            if is_end {
                return Err(Stop::Unknown);
            }
            if self.keyword().is_some_and(|word| ends.contains(&word)) {
                return Ok(code);
            }
            let is_live = live && self.exited.is_none();
            let (next, is_tested) = self.chain(is_live)?;
            if is_live && self.exited.is_none() {
                code = next;
                if code != 0 && self.stops_at_errors && !is_condition && !is_tested {
                    self.exited = Some(code);
                }
            }
        }
    }

    /// Commands with `&&` and `||`; whether the last one that ran was a mere test of what follows.
    fn chain(&mut self, live: bool) -> Result<(i32, bool), Stop> {
        let (mut code, mut is_tested) = self.command(live)?;
        loop {
            let is_and = match self.tokens.get(self.at) {
                Some(Token::And) => true,
                Some(Token::Or) => false,
                Some(Token::Next | Token::Word { .. }) | None => return Ok((code, is_tested)),
            };
            self.at += 1;
            let goes_on = live && self.exited.is_none() && (code == 0) == is_and;
            let (next, is_negated) = self.command(goes_on)?;
            if goes_on {
                (code, is_tested) = (next, is_negated);
            } else {
                is_tested = true;
            }
        }
    }

    /// One command or `if`; whether its code is negated.
    fn command(&mut self, live: bool) -> Result<(i32, bool), Stop> {
        match self.keyword() {
            Some("!") => {
                self.at += 1;
                let (code, _) = self.command(live)?;
                Ok((i32::from(code == 0), true))
            }
            Some("if") => {
                self.at += 1;
                Ok((self.condition(live)?, false))
            }
            _ => {
                let mut words = vec![];
                while let Some(Token::Word { text, .. }) = self.tokens.get(self.at) {
                    words.push(text.clone());
                    self.at += 1;
                }
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                if !live {
                    return Ok((0, false));
                }
                let (code, exits) = self.simple(&words)?;
                if exits {
                    self.exited = Some(code);
                }
                Ok((code, false))
            }
        }
    }

    /// What follows `if` or `elif`.
    fn condition(&mut self, live: bool) -> Result<i32, Stop> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Stop::Unknown);
        }
        let test = self.list(&["then"], live, true)?;
        self.expect("then")?;
        let live = live && self.exited.is_none();
        let mut code = self.list(&["elif", "else", "fi"], live && test == 0, false)?;
        let is_open = live && test != 0;
        match self.keyword() {
            Some("elif") => {
                self.at += 1;
                let other = self.condition(is_open)?;
                self.depth -= 1;
                return Ok(if is_open { other } else { code });
            }
            Some("else") => {
                self.at += 1;
                let other = self.list(&["fi"], is_open, false)?;
                code = if is_open { other } else { code };
            }
            _ => {}
        }
        self.expect("fi")?;
        self.depth -= 1;
        Ok(code)
    }

    /// A command without structure: its exit code, and whether it ends the script.
    fn simple(&mut self, words: &[&str]) -> Result<(i32, bool), Stop> {
        let Some((command, rest)) = words.split_first() else {
            return Err(Stop::Unknown);
        };
        let name = command.rsplit('/').next().unwrap_or_default();
        let code = match name {
            "true" | ":" | "echo" | "printf" => 0,
            "false" => 1,
            "sleep" => {
                self.elapsed = self.elapsed.saturating_add(sleep(rest)?);
                0
            }
            "exit" => {
                let code = rest.first().map_or(Ok(0), |code| code.parse::<i32>());
                return Ok((code.map_err(|_| Stop::Unknown)? & 0xff, true));
            }
            "exec" => return self.simple(rest).map(|(code, _)| (code, true)),
            "set" => {
                for flags in rest {
                    let flags = flags.strip_prefix('-').ok_or(Stop::Unknown)?;
                    self.stops_at_errors |= flags.starts_with('e');
                }
                0
            }
            "touch" => {
                let known = rest.iter().filter(|path| self.knows(path));
                let made: Vec<String> = known.map(|path| (*path).to_owned()).collect();
                self.files.extend(made);
                0
            }
            "test" => i32::from(!self.test(rest)?),
            "[" | "[[" => match rest.split_last() {
                Some((&"]", rest)) if name == "[" => i32::from(!self.test(rest)?),
                Some((&"]]", rest)) if name == "[[" => i32::from(!self.test(rest)?),
                _ => return Err(Stop::Unknown),
            },
            _ => return Err(Stop::Unknown),
        };
        Ok((code, false))
    }
}

impl Shell {
    /// Whether it is known what is at this path.
    fn knows(&self, path: &str) -> bool {
        let mut volumes = self.volumes.iter();
        volumes.any(|volume| path.starts_with(volume)) && !path.contains("/..")
    }

    /// A comparison, or whether there is a file.
    fn test(&self, words: &[&str]) -> Result<bool, Stop> {
        match words {
            ["!", rest @ ..] => Ok(!self.test(rest)?),
            ["-e" | "-f" | "-r" | "-w", path] if self.knows(path) => Ok(self.files.contains(*path)),
            _ => test(words),
        }
    }
}

fn sleep(words: &[&str]) -> Result<Duration, Stop> {
    let mut total = Duration::ZERO;
    for word in words {
        if matches!(*word, "infinity" | "inf") {
            return Err(Stop::Never);
        }
        let (number, unit) = match word.find(|c: char| c.is_ascii_alphabetic()) {
            Some(at) => word.split_at(at),
            None => (*word, "s"),
        };
        let factor = match unit {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return Err(Stop::Unknown),
        };
        let seconds: f64 = number.parse().map_err(|_| Stop::Unknown)?;
        let time = Duration::try_from_secs_f64(seconds * factor).map_err(|_| Stop::Unknown)?;
        total = total.saturating_add(time);
    }
    Ok(total)
}

/// A comparison of two numbers or texts.
fn test(words: &[&str]) -> Result<bool, Stop> {
    let number = |word: &str| word.parse::<i64>().map_err(|_| Stop::Unknown);
    match words {
        ["-n", text] => Ok(!text.is_empty()),
        ["-z", text] => Ok(text.is_empty()),
        [left, "=" | "==", right] => Ok(left == right),
        [left, "!=", right] => Ok(left != right),
        [left, operator, right] => {
            let order = number(left)?.cmp(&number(right)?);
            match *operator {
                "-eq" => Ok(order.is_eq()),
                "-ne" => Ok(order.is_ne()),
                "-lt" => Ok(order.is_lt()),
                "-le" => Ok(order.is_le()),
                "-gt" => Ok(order.is_gt()),
                "-ge" => Ok(order.is_ge()),
                _ => Err(Stop::Unknown),
            }
        }
        _ => Err(Stop::Unknown),
    }
}
