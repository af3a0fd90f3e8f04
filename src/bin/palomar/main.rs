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
mod exit;
mod health;
mod link;
mod listen;
mod output;
mod parity;
mod qr;
mod send;
mod sim;
mod version;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{AccountsCommand, Cli, Command};
use config::{Config, Surroundings};
use exit::{Exit, Failure};
use output::Output;
use sim::SimCommand;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.global.json);
    match start(&cli, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
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

/// Ctrl-C, or the system's polite request to end.
async fn interrupted() {
    #[cfg(unix)]
    {
        let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        if let Ok(mut terminate) = terminate {
            tokio::select! {
                biased;
                _ = terminate.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
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
        Command::Sim(SimCommand::Deviations(args)) => sim::deviations(args, output),
        Command::Sim(SimCommand::Parity(args)) => parity::run(args, output).await,
        Command::Doctor => doctor::run(config, output).await,
    }
}

fn log(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|e| {
        Failure::usage(format!("log: {e}")).next("use error, warn, info, debug, trace, or palomar=debug")
    })?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}
