//! The command line: parse, read the configuration, run one command, report.
//!
//! This is the one place that sees client and simulator together.

mod account;
mod accounts;
mod args;
mod commands;
mod config;
mod conversation;
mod demo;
mod doctor;
mod drift;
mod exit;
mod files;
mod health;
mod link;
mod listen;
mod output;
mod parity;
mod qr;
mod record;
mod send;
mod sim;
mod version;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{AccountsCommand, Cli, Command, Look};
use config::{Config, Surroundings};
use exit::{Exit, Failure};
use output::Output;
use sim::SimCommand;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let output = Output::new(cli.global.json);
    match start(&cli, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Help and version are asked for; anything else is wrong usage, told to machines as JSON.
fn misused(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if !json || !error.use_stderr() {
        error.exit();
    }
    let what = error.kind().to_string();
    let text = error.render().to_string();
    let first = text.lines().next().unwrap_or(&what).trim_start_matches("error: ");
    let failure = Failure::usage(first).next("`palomar --help` names the commands and their options");
    Output::new(true).failure(&failure);
    ExitCode::from(failure.exit as u8)
}

fn start(cli: &Cli, output: Output) -> Result<(), Failure> {
    let config = Config::read(&cli.global, &Surroundings::of_process())?;
    log(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::failed(format!("the runtime does not start: {e}")))?;
    runtime.block_on(async {
        // What runs until Ctrl-C ends in order then, and says what it saw.
        let ends_by_itself = match &cli.command {
            Command::Sim(SimCommand::Run(_)) => false,
            Command::Demo(args) => !args.keep,
            _ => true,
        };
        tokio::select! {
            biased;
            () = interrupted(), if ends_by_itself => Err(Failure::new(Exit::Interrupted, "interrupted")),
            done = command(cli, &config, output) => done,
        }
    })
}

/// Ctrl-C, or the system's polite request to end. Heard from the call on, not only when it is waited for.
#[cfg(unix)]
fn interrupted() -> impl Future<Output = ()> {
    use tokio::signal::unix::{Signal, SignalKind, signal};
    async fn heard(signal: std::io::Result<Signal>) {
        match signal {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    }
    let (ended, typed) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async {
        tokio::select! {
            biased;
            () = heard(ended) => {}
            () = heard(typed) => {}
        }
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn command(cli: &Cli, config: &Config, output: Output) -> Result<(), Failure> {
    match &cli.command {
        Command::Accounts { what: None } => accounts::run(config, output).await,
        Command::Accounts { what: Some(AccountsCommand::Health(args)) } => {
            health::run(args, config, output).await
        }
        Command::Demo(args) => demo::run(args, output, interrupted()).await,
        Command::Send(args) => send::run(args, config, output).await,
        Command::Link(args) => link::run(args, config, output).await,
        Command::Listen(args) => listen::run(args, config, output).await,
        Command::Sim(SimCommand::Run(args)) => sim::run(args, output, interrupted()).await,
        Command::Sim(SimCommand::Pki(args)) => sim::pki(args, config, output).await,
        Command::Sim(SimCommand::Compare(args)) => record::compare(args, output),
        Command::Sim(SimCommand::Deviations(args)) => sim::deviations(args, output),
        Command::Sim(SimCommand::Parity(args)) => parity::run(args, output).await,
        Command::Doctor(args) => match &args.look {
            None => doctor::run(config, output).await,
            Some(Look::Drift(args)) => drift::run(args, config, output),
        },
        Command::Drift(args) => drift::run(args, config, output),
    }
}

fn log(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|e| {
        Failure::usage(format!("log: {e}")).next("use error, warn, info, debug, trace, or palomar=debug")
    })?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}
