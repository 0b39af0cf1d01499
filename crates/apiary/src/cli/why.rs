//! `apiary why`

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::connect;
use super::find::{self, Place};
use crate::inspect::Key;
use crate::inspect::read::Reader;
use crate::inspect::why::{self, Answer};
use crate::object::meant;
use crate::ui::{Format, Ui};

/// Warnings about the root that are shown.
const WARNINGS_MAX: usize = 5;

/// Say in a few words why something is not as it should be
///
/// Goes from the object along its parts, references and conditions to the one thing that holds it up, and says what to do about it
/// where that is plain. Nothing is guessed: if no condition explains the state, what was looked at is said. Exits with 0 if all
/// is well, with 1 if something is not.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  apiary why cluster hello
  apiary why nodepool/hello-workers
  apiary why machine hello-workers-abcde-fghij
  apiary why app hello-world --organization acme

Kinds: cluster, controlplane (kcp), nodepool (machinedeployment, md, machinepool), machineset (ms), machine,
machinehealthcheck (mhc), app")]
pub(super) struct Why {
    /// What is asked about: KIND/NAME, or KIND and NAME
    #[arg(required = true, num_args = 1..=2, value_names = ["KIND/NAME"])]
    target: Vec<String>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connection: connect::Connection,
}

/// A kind that can be asked about.
struct Kind {
    /// How people call it; the first is the word of our texts.
    words: &'static [&'static str],
    group: &'static str,
    kind: &'static str,
}

const CLUSTER: &str = api::meta::CLUSTER_GROUP;
const APPLICATION: &str = "application.giantswarm.io";

const KINDS: &[Kind] = &[
    Kind {
        words: &["cluster"],
        group: CLUSTER,
        kind: "Cluster",
    },
    Kind {
        words: &[
            "control plane",
            "controlplane",
            "kubeadmcontrolplane",
            "kcp",
        ],
        group: api::meta::CONTROL_PLANE_GROUP,
        kind: "KubeadmControlPlane",
    },
    Kind {
        words: &["node pool", "nodepool", "machinedeployment", "md"],
        group: CLUSTER,
        kind: "MachineDeployment",
    },
    Kind {
        words: &["machine pool", "machinepool", "mp"],
        group: CLUSTER,
        kind: "MachinePool",
    },
    Kind {
        words: &["machine set", "machineset", "ms"],
        group: CLUSTER,
        kind: "MachineSet",
    },
    Kind {
        words: &["machine"],
        group: CLUSTER,
        kind: "Machine",
    },
    Kind {
        words: &["machine health check", "machinehealthcheck", "mhc"],
        group: CLUSTER,
        kind: "MachineHealthCheck",
    },
    Kind {
        words: &["app"],
        group: APPLICATION,
        kind: "App",
    },
];

impl Why {
    pub(super) async fn run(self, ui: &Ui) -> Result<ExitCode> {
        let (kind, wanted) = target(&self.target)?;
        let mut reader = Reader::new(self.connection.client().await?);
        let explain = |error| self.connection.explain(error);
        let all = reader
            .list_kind(kind.group, kind.kind, &self.place.scope())
            .await;
        let subject = find::one(kind.words[0], &wanted, &self.place, all.map_err(explain)?)?;
        let world = reader.around(&subject).await.map_err(explain)?;
        // As the world has it: read together with all else.
        let subject = world.get(&Key::of(&subject)).unwrap_or(&subject);
        let answer = why::why(&world, subject);
        let root = answer.cause.as_ref().and_then(why::Cause::root);
        let root = root
            .and_then(|root| world.get(&root.key()))
            .unwrap_or(subject);
        let is_fine = answer.is_well && answer.cause.is_none();
        let warnings = if is_fine {
            vec![]
        } else {
            // The answer is worth something without them.
            let found = reader.warnings(root, WARNINGS_MAX).await;
            found.unwrap_or_else(|error| {
                ui.note(&format!(
                    "{:#}",
                    explain(error).context("events cannot be read")
                ));
                vec![]
            })
        };
        show(&answer, &warnings, ui)?;
        Ok(if is_fine {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn show(answer: &Answer, warnings: &[Value], ui: &Ui) -> Result<()> {
    if ui.format() == Format::Text {
        ui.line(&why::text(answer, warnings, Timestamp::now(), ui));
        return Ok(());
    }
    let mut document = serde_json::to_value(answer)?;
    let told = warnings.iter().map(|event| {
        json!({"reason": event["reason"], "message": event["message"], "time": crate::inspect::read::when(event)})
    });
    document["warnings"] = told.collect();
    match ui.format() {
        Format::Json => ui.line(&serde_json::to_string_pretty(&document)?),
        Format::Text | Format::Yaml => ui.document(&document),
    }
    Ok(())
}

/// Kind and name that the words name.
fn target(words: &[String]) -> Result<(&'static Kind, String)> {
    let (kind, name) = match words {
        [one] => match one.split_once('/') {
            Some((kind, name)) => (kind, name),
            None => bail!("{one:?} names no kind: say what it is, e.g. `apiary why cluster {one}`"),
        },
        [kind, name] => (kind.as_str(), name.as_str()),
        _ => bail!("want KIND/NAME, or KIND and NAME"),
    };
    if name.is_empty() || name.contains('/') {
        bail!("{name:?} is no name: want KIND/NAME, or KIND and NAME");
    }
    let word = kind.to_lowercase();
    let is_it = |of: &&Kind| {
        let singular = word.strip_suffix('s').unwrap_or(&word);
        of.words.contains(&&*word) || of.words.contains(&singular)
    };
    if let Some(kind) = KINDS.iter().find(is_it) {
        return Ok((kind, name.to_owned()));
    }
    let known: Vec<&str> = KINDS
        .iter()
        .flat_map(|kind| kind.words)
        .filter(|word| !word.contains(' '))
        .copied()
        .collect();
    let hint = meant(&word, &known).map(|close| format!("; did you mean {close:?}?"));
    bail!(
        "no kind is called {kind:?}{}; there are: {}",
        hint.unwrap_or_default(),
        known.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(words: &[&str]) -> Result<&'static str, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        target(&words)
            .map(|(kind, _)| kind.kind)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn kinds_have_short_names() {
        assert_eq!(kind_of(&["cluster/hello"]), Ok("Cluster"));
        assert_eq!(kind_of(&["clusters", "hello"]), Ok("Cluster"));
        assert_eq!(
            kind_of(&["MachineDeployment", "x"]),
            Ok("MachineDeployment")
        );
        assert_eq!(kind_of(&["nodepool/x"]), Ok("MachineDeployment"));
        assert_eq!(kind_of(&["ms/x"]), Ok("MachineSet"));
        assert_eq!(kind_of(&["kcp", "x"]), Ok("KubeadmControlPlane"));
    }

    #[test]
    fn wrong_words_are_named() {
        let error = kind_of(&["hello"]).unwrap_err();
        assert!(error.contains("`apiary why cluster hello`"), "{error}");
        let error = kind_of(&["clustr/hello"]).unwrap_err();
        assert!(error.contains("did you mean \"cluster\"?"), "{error}");
        assert!(kind_of(&["cluster/"]).is_err());
        assert!(kind_of(&["cluster", "a/b"]).is_err());
    }
}
