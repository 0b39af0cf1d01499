//! What a container's command comes to, for the few commands whose end can be told without running them: pure.
//!
//! Known are `true`, `false`, `:`, `echo`, `printf`, `sleep`, `exit`, `exec`, `test` and `[`, alone or in a script of `sh
//! -c` with `;`, `&&`, `||`, `!`, `set -e`, `if`, redirections of output, variables of the container's environment, and
//! `$((a % b))` or `$(expr a % b)`. Of any other command nothing is said, and of a script with one in it neither.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};

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

/// What all containers of the pod come to together: they run as long as the longest, and fail if one fails. `None` if
/// one of them is unknown.
pub(super) fn of(pod: &Pod) -> Option<Run> {
    let containers = &pod.spec.as_ref()?.containers;
    let mut all = Run::Exits {
        after: Duration::ZERO,
        code: 0,
    };
    for container in containers {
        all = match (all, run(pod, container)?) {
            (
                Run::Exits { after, code },
                Run::Exits {
                    after: next,
                    code: other,
                },
            ) => Run::Exits {
                after: after.max(next),
                code: if code == 0 { other } else { code },
            },
            (Run::Stays, _) | (_, Run::Stays) => Run::Stays,
        };
    }
    (!containers.is_empty()).then_some(all)
}

fn run(pod: &Pod, container: &Container) -> Option<Run> {
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
    let environment = environment(pod, container);
    let mut shell = Shell::default();
    let result = match script(&words) {
        Some((script, stops_at_errors)) => {
            shell.stops_at_errors = stops_at_errors;
            shell.run(script, &environment)
        }
        None => shell.simple(&words).map(|(code, _)| code),
    };
    match result {
        Ok(code) => Some(Run::Exits {
            after: shell.elapsed,
            code,
        }),
        Err(Stop::Never) => Some(Run::Stays),
        Err(Stop::Unknown) => None,
    }
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
            "test" => i32::from(!test(rest)?),
            "[" => match rest.split_last() {
                Some((&"]", rest)) => i32::from(!test(rest)?),
                _ => return Err(Stop::Unknown),
            },
            _ => return Err(Stop::Unknown),
        };
        Ok((code, false))
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
        ["!", rest @ ..] => Ok(!test(rest)?),
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

/// `a + b` and the like.
fn arithmetic(text: &str) -> Result<String, Stop> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |word: &str| word.parse::<i64>().map_err(|_| Stop::Unknown);
    let result = match words.as_slice() {
        [only] => Some(number(only)?),
        [left, operator, right] => {
            let (left, right) = (number(left)?, number(right)?);
            match *operator {
                "+" => left.checked_add(right),
                "-" => left.checked_sub(right),
                "*" | "\\*" => left.checked_mul(right),
                "/" => left.checked_div(right),
                "%" => left.checked_rem(right),
                _ => None,
            }
        }
        _ => None,
    };
    result.map(|n| n.to_string()).ok_or(Stop::Unknown)
}

/// Reads the tokens of a script, with the values of its variables.
struct Lexer<'a> {
    rest: &'a str,
    environment: &'a HashMap<String, String>,
    tokens: Vec<Token>,
    word: Option<(String, bool)>,
}

impl<'a> Lexer<'a> {
    fn new(script: &'a str, environment: &'a HashMap<String, String>) -> Self {
        Self {
            rest: script,
            environment,
            tokens: vec![],
            word: None,
        }
    }

    fn tokens(mut self) -> Result<Vec<Token>, Stop> {
        while let Some(c) = self.rest.chars().next() {
            match c {
                ' ' | '\t' => self.end_word(),
                '\n' | ';' => self.operator(Token::Next),
                '#' if self.word.is_none() => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.rest = &self.rest[end..];
                    continue;
                }
                '&' if self.rest.starts_with("&&") => self.operator(Token::And),
                '|' if self.rest.starts_with("||") => self.operator(Token::Or),
                '>' => {
                    self.redirection()?;
                    continue;
                }
                '\'' => {
                    let end = self.rest[1..].find('\'').ok_or(Stop::Unknown)?;
                    let text = self.rest[1..=end].to_owned();
                    self.push(&text, true);
                    self.rest = &self.rest[end + 1..];
                }
                '"' => {
                    self.quoted()?;
                    continue;
                }
                '$' => {
                    let value = self.expansion()?;
                    if !value.is_empty() {
                        self.push(&value, false);
                    }
                    continue;
                }
                '&' | '|' | '<' | '`' | '(' | ')' | '{' | '}' | '*' | '?' | '\\' | '~' => {
                    return Err(Stop::Unknown);
                }
                '=' if self.word.as_ref().is_some_and(|(text, _)| text != "=") => {
                    return Err(Stop::Unknown);
                }
                _ => self.push(c.encode_utf8(&mut [0; 4]), false),
            }
            let length = self.rest.chars().next().map_or(0, char::len_utf8);
            self.rest = &self.rest[length..];
        }
        self.end_word();
        Ok(self.tokens)
    }

    fn push(&mut self, text: &str, is_quoted: bool) {
        let word = self.word.get_or_insert_default();
        word.0.push_str(text);
        word.1 |= is_quoted;
    }

    fn end_word(&mut self) {
        if let Some((text, is_quoted)) = self.word.take() {
            self.tokens.push(Token::Word { text, is_quoted });
        }
    }

    fn operator(&mut self, token: Token) {
        self.end_word();
        if token != Token::Next {
            // The second of its two letters goes with the next step.
            self.rest = &self.rest[1..];
        }
        self.tokens.push(token);
    }

    /// Where output goes changes no exit code.
    fn redirection(&mut self) -> Result<(), Stop> {
        if self
            .word
            .as_ref()
            .is_some_and(|(text, is_quoted)| matches!(text.as_str(), "1" | "2") && !is_quoted)
        {
            self.word = None;
        }
        self.end_word();
        let rest = self.rest.trim_start_matches('>').trim_start_matches('&');
        let rest = rest.trim_start_matches([' ', '\t']);
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c)))
            .unwrap_or(rest.len());
        if end == 0 {
            return Err(Stop::Unknown);
        }
        self.rest = &rest[end..];
        Ok(())
    }

    /// What is between double quotes.
    fn quoted(&mut self) -> Result<(), Stop> {
        self.rest = &self.rest[1..];
        self.push("", true);
        loop {
            match self.rest.chars().next() {
                None | Some('\\' | '`') => return Err(Stop::Unknown),
                Some('"') => {
                    self.rest = &self.rest[1..];
                    return Ok(());
                }
                Some('$') => {
                    let value = self.expansion()?;
                    self.push(&value, true);
                }
                Some(c) => {
                    self.push(c.encode_utf8(&mut [0; 4]), true);
                    self.rest = &self.rest[c.len_utf8()..];
                }
            }
        }
    }

    /// The value of a `$…`; what is not known has none.
    fn expansion(&mut self) -> Result<String, Stop> {
        let rest = &self.rest[1..];
        if let Some(inner) = rest.strip_prefix("((") {
            let (text, rest) = inner.split_once("))").ok_or(Stop::Unknown)?;
            self.rest = rest;
            return arithmetic(&self.variables(text)?);
        }
        if let Some(inner) = rest.strip_prefix('(') {
            let (text, rest) = inner.split_once(')').ok_or(Stop::Unknown)?;
            self.rest = rest;
            let text = text.trim().strip_prefix("expr ").ok_or(Stop::Unknown)?;
            return arithmetic(&self.variables(text)?);
        }
        let (name, rest) = name(rest).ok_or(Stop::Unknown)?;
        self.rest = rest;
        self.environment.get(name).cloned().ok_or(Stop::Unknown)
    }

    /// The text with its variables replaced.
    fn variables(&self, text: &str) -> Result<String, Stop> {
        let (mut result, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            result.push_str(before);
            let (name, after) = name(after).ok_or(Stop::Unknown)?;
            result.push_str(self.environment.get(name).ok_or(Stop::Unknown)?);
            rest = after;
        }
        result.push_str(rest);
        Ok(result)
    }
}

/// The name that `NAME` or `{NAME}` begins with, and what comes after it.
fn name(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = match text.strip_prefix('{') {
        Some(inner) => inner.split_once('}')?,
        None => {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()))
        }
    };
    let is_valid = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().next().is_some_and(|c| !c.is_ascii_digit());
    is_valid.then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(container: Value, expected: &str) {
        let pod = json!({
            "metadata": {"name": "p", "labels": {"index": "3"}},
            "spec": {"containers": [container]},
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let found = match of(&pod) {
            None => "unknown".to_owned(),
            Some(Run::Stays) => "stays".to_owned(),
            Some(Run::Exits { after, code }) if after.is_zero() => code.to_string(),
            Some(Run::Exits { after, code }) => format!("{code} after {after:?}"),
        };
        assert_eq!(found, expected, "{}", pod.spec.unwrap().containers[0].name);
    }

    fn command(words: &[&str], expected: &str) {
        check(json!({"name": words.join(" "), "command": words}), expected);
    }

    fn sh(script: &str, expected: &str) {
        let env = json!([
            {"name": "N", "value": "4"},
            {"name": "INDEX", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['index']"}}},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ]);
        let container =
            json!({"name": script, "command": ["/bin/sh", "-c"], "args": [script], "env": env});
        check(container, expected);
    }

    #[test]
    fn commands_without_a_shell() {
        command(&["true"], "0");
        command(&["/bin/false"], "1");
        command(&["sleep", "90"], "0 after 90s");
        command(&["sleep", "1.5m"], "0 after 90s");
        command(&["sleep", "infinity"], "stays");
        command(&["sleep", "x"], "unknown");
        command(&["exit", "3"], "3");
        command(&["/app/serve", "--port=80"], "unknown");
        check(json!({"name": "a", "image": "nginx"}), "unknown");
        check(
            json!({"name": "a", "image": "registry.k8s.io/pause:3.10"}),
            "stays",
        );
    }

    #[test]
    fn scripts() {
        sh("exit 3", "3");
        sh("exit 257", "1");
        sh("exit", "0");
        sh("echo hello && exit 7", "7");
        sh("false || exit 2; exit 3", "2");
        sh("true || exit 2; false", "1");
        sh("! false", "0");
        sh("false; true", "0");
        sh("set -e\nfalse\ntrue", "1");
        sh("set -e; false || true; exit 5", "5");
        sh("sleep 5; sleep 2; exit 1", "1 after 7s");
        sh("exec sleep 3", "0 after 3s");
        sh("echo 'it; failed' > /dev/termination-log; exit 42", "42");
        sh("echo \"no $N\" 2>&1 >&2; exit 1", "1");
        sh("# nothing\n  exit 9 # at all", "9");
        sh("exit $(( $INDEX % 2 ))", "1");
        sh("exit $(expr ${N} % 2)", "0");
    }

    #[test]
    fn conditions() {
        let by_index = |index: &str| {
            format!("\n if [ ${{INDEX}} -ne {index} ]; then\n exit 1\n else\n exit 0\n fi\n")
        };
        sh(&by_index("3"), "0");
        sh(&by_index("4"), "1");
        sh(
            "if false; then exit 1; elif test $N = 4; then exit 2; else exit 3; fi",
            "2",
        );
        sh("if [ \"$N\" == 5 ]; then exit 1; fi; exit 8", "8");
        sh("set -e; if false; then :; fi; exit 6", "6");
        sh("[ $INDEX -gt 2 ] && exit 5", "5");
    }

    #[test]
    fn of_what_is_not_known_nothing_is_said() {
        for script in [
            "./migrate.sh",
            "make && exit 0",
            "echo $HOME",
            "echo $KEY",
            "exit $(date +%s)",
            "cat < file",
            "true | false",
            "X=1; exit $X",
            "if true; then exit 1",
            "for i in 1 2; do exit 1; done",
            "exit x",
            "[[ -r /data ]] && exit 0",
            "echo \"open",
            "",
        ] {
            let expected = if script.is_empty() { "0" } else { "unknown" };
            sh(script, expected);
        }
        // What is never reached need not be known.
        sh("exit 1; ./migrate.sh", "1");
        sh("true || ./migrate.sh", "0");
    }
}
