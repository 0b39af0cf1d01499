//! The command line: one file per command.

mod backup;
mod cluster;
mod completions;
mod connect;
mod describe;
mod down;
mod find;
mod get;
mod guard;
mod kubeconfig;
mod progress;
mod restore;
mod rotate;
mod status;
mod template;
mod up;
mod version;
mod webhook;
mod why;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::config;
use crate::ui::{Format, Ui};

/// Run and manage a fleet of Kubernetes clusters
///
/// One binary holds the whole platform: an embedded Kubernetes API server, Cluster API, the app platform and their
/// controllers. `apiary up` starts it all on this machine; kubectl, helm and every other client work on it.
#[derive(Debug, Parser)]
#[command(name = "apiary", version = version::TEXT, max_term_width = 100, disable_help_subcommand = true)]
struct Args {
    /// How results are printed
    #[arg(
        short = 'o',
        long = "output",
        global = true,
        value_enum,
        default_value_t
    )]
    output: Format,
    /// What is logged to standard error, e.g. `info` or `capi=debug,warn`
    #[arg(long, global = true, env = "APIARY_LOG", default_value = "warn")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Up),
    Status(status::Status),
    Get(get::Get),
    #[command(subcommand)]
    Describe(describe::Describe),
    Why(why::Why),
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    Kubeconfig(kubeconfig::Kubeconfig),
    #[command(subcommand)]
    Template(template::Template),
    Backup(backup::Backup),
    Restore(restore::Restore),
    #[command(subcommand)]
    Rotate(rotate::Rotate),
    Down(down::Down),
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    Version(version::Version),
    Completions(completions::Completions),
}

/// Runs the command of this process and says how it ended: 0 done, 1 failed, 2 wrong usage.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    let ui = Ui::new(args.output, config::no_color());
    match run(args, &ui) {
        Ok(code) => code,
        Err(error) => {
            ui.note(&explain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args, ui: &Ui) -> anyhow::Result<ExitCode> {
    // What goes wrong with a request is said by the command that made it.
    let filter = EnvFilter::try_new(format!("kube_client=off,{}", args.log))
        .map_err(|error| anyhow::anyhow!("--log {:?} is no filter: {error}", args.log))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(!config::no_color() && std::io::stderr().is_terminal())
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match args.command {
            Command::Up(up) => up.run(ui).await,
            Command::Status(status) => status.run(ui).await,
            Command::Get(get) => get.run(ui).await,
            Command::Describe(describe) => describe.run(ui).await,
            Command::Why(why) => why.run(ui).await,
            Command::Cluster(cluster) => cluster.run(ui).await,
            Command::Kubeconfig(kubeconfig) => kubeconfig.run(ui).await,
            Command::Template(template) => template.run(ui),
            Command::Backup(backup) => backup.run(ui).await,
            Command::Restore(restore) => restore.run(ui).await,
            Command::Rotate(rotate) => rotate.run(ui).await,
            Command::Down(down) => down.run(ui).await,
            Command::Webhook(webhook) => webhook.run(ui).await,
            Command::Version(version) => version.run(ui),
            Command::Completions(completions) => completions.run(ui),
        }
    })
}

/// An error with its causes, each on a line of its own.
fn explain(error: &anyhow::Error) -> String {
    let mut text = format!("Error: {error}");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("\nCaused by: {cause}"));
    }
    text
}

/// The whole command, for completions and the reference page.
#[must_use]
pub fn command() -> clap::Command {
    <Args as clap::CommandFactory>::command()
}
