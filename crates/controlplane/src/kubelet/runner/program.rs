//! The programs of simulated containers: `true`, `false`, `exit`, `echo`, `env`, `printenv`, `hostname`, `cat`, `tar cf -` of
//! files (by which `kubectl cp` reads), and a shell that runs one of them (`sh -c 'echo a'`).

use std::io;

use apiserver::runner::{Output, Session};
use bytes::Bytes;

use super::place::Place;

/// What shells say of a program that is not there.
const NOT_FOUND: i32 = 127;
/// What shells say of a line that they do not understand.
const MISUSE: i32 = 2;
/// Characters with which a line is more than words.
const SHELL: &[char] = &['|', '&', ';', '<', '>', '$', '`', '(', ')', '*', '\\', '\n'];

/// Most bytes of a file that are handed on at once: a program waits until its client has taken what it said before.
pub(super) const PIECE: usize = 32 * 1024;

/// Runs a program and tells its exit code. A client that went away ends it.
pub(super) async fn run(command: &[String], place: &Place, mut session: Session) -> i32 {
    let words: Vec<String> = match command {
        [shell, flag, line] if matches!(shell.as_str(), "sh" | "/bin/sh") && flag == "-c" => {
            match words(line) {
                Some(words) => words,
                None => {
                    let why = "sh: the simulated shell runs one plain command\n";
                    complain(&session, why.to_owned()).await;
                    return MISUSE;
                }
            }
        }
        command => command.to_vec(),
    };
    let Some((program, arguments)) = words.split_first() else {
        return 0;
    };
    let name = program.rsplit('/').next().unwrap_or(program);
    match name {
        "true" => 0,
        "false" => 1,
        "exit" => arguments.first().map_or(0, |code| {
            code.parse().map_or(MISUSE, |code: u8| code.into())
        }),
        "echo" => say(&session, format!("{}\n", arguments.join(" "))).await,
        "hostname" => {
            let name = place.env.get("HOSTNAME").cloned().unwrap_or_default();
            write_line(&session, name).await
        }
        "env" | "printenv" if arguments.is_empty() => {
            for (name, value) in &place.env {
                let mut code = say(&session, format!("{name}=")).await;
                code = code.max(write_line(&session, value.clone()).await);
                if code != 0 {
                    return code;
                }
            }
            0
        }
        "printenv" => match arguments.first().and_then(|name| place.env.get(name)) {
            Some(value) => write_line(&session, value.clone()).await,
            None => 1,
        },
        "cat" if arguments.is_empty() => {
            while let Some(bytes) = session.stdin.recv().await {
                if session.output.send(Output::Stdout(bytes)).await.is_err() {
                    return 1;
                }
            }
            0
        }
        "cat" => cat(arguments, place, &session).await,
        "tar" => tar(arguments, place, &session).await,
        _ => {
            let why = format!("this container is simulated and has no program {program:?}\n");
            complain(&session, why).await;
            NOT_FOUND
        }
    }
}

async fn cat(paths: &[String], place: &Place, session: &Session) -> i32 {
    let mut code = 0;
    for path in paths {
        match place.files.get(path) {
            Some(content) => {
                if write(session, content.clone()).await != 0 {
                    return 1;
                }
            }
            None => {
                let why = format!("cat: {path}: No such file or directory\n");
                complain(session, why).await;
                code = 1;
            }
        }
    }
    code
}

/// Packs files and what is below directories. There is nowhere to unpack to.
async fn tar(arguments: &[String], place: &Place, session: &Session) -> i32 {
    let [flags, to, paths @ ..] = arguments else {
        complain(session, "tar: use tar cf - FILE...\n".to_owned()).await;
        return MISUSE;
    };
    if flags.trim_start_matches('-') != "cf" || to != "-" {
        let why =
            "tar: the files of simulated containers cannot be written: use tar cf - FILE...\n";
        complain(session, why.to_owned()).await;
        return MISUSE;
    }
    let mut code = 0;
    let mut archive = Archive::new();
    for path in paths {
        let root = path.trim_end_matches('/');
        let is_below = |file: &str| {
            let rest = file.strip_prefix(root);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut found = false;
        for (file, content) in place.files.iter().filter(|(file, _)| is_below(file)) {
            found = true;
            match archive.entry(file, content) {
                Ok(parts) => {
                    for part in parts {
                        if write(session, part).await != 0 {
                            return MISUSE;
                        }
                    }
                }
                Err(error) => {
                    complain(session, format!("tar: {file}: {error}\n")).await;
                    code = MISUSE;
                }
            }
        }
        if !found {
            let why = format!("tar: {path}: Cannot stat: No such file or directory\n");
            complain(session, why).await;
            code = MISUSE;
        }
    }
    match archive.0.into_inner() {
        Ok(end) => code.max(write(session, end.into()).await),
        Err(error) => {
            complain(session, format!("tar: {error}\n")).await;
            MISUSE
        }
    }
}

/// An archive of which no more is there than what is to be written next.
struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    /// What archives consist of, in bytes.
    const BLOCK: usize = 512;

    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// A file in the archive: its header, what it has, and what fills the last block.
    fn entry(&mut self, file: &str, content: &Bytes) -> io::Result<[Bytes; 3]> {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // As tar does with absolute names.
        let name = file.trim_start_matches('/');
        // Only the header: the content is written from where it is.
        let written = self.0.append_data(&mut header, name, io::empty());
        let header = std::mem::take(self.0.get_mut());
        written?;
        let padding = content.len().next_multiple_of(Self::BLOCK) - content.len();
        let padding = Bytes::from_static(&[0; Self::BLOCK]).slice(..padding);
        Ok([header.into(), content.clone(), padding])
    }
}

/// Writes bytes piece by piece; not 0 if the client is gone.
async fn write(session: &Session, mut bytes: Bytes) -> i32 {
    while !bytes.is_empty() {
        let piece = bytes.split_to(bytes.len().min(PIECE));
        if send(session, Output::Stdout(piece)).await != 0 {
            return 1;
        }
    }
    0
}

async fn write_line(session: &Session, bytes: Bytes) -> i32 {
    match write(session, bytes).await {
        0 => write(session, Bytes::from_static(b"\n")).await,
        code => code,
    }
}

async fn say(session: &Session, text: String) -> i32 {
    send(session, Output::Stdout(text.into())).await
}

async fn complain(session: &Session, text: String) {
    send(session, Output::Stderr(text.into())).await;
}

async fn send(session: &Session, output: Output) -> i32 {
    i32::from(session.output.send(output).await.is_err())
}

/// The words of a line with quotes; `None` if it has anything that only a real shell understands.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.trim().chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, c) if SHELL.contains(&c) => return None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}
