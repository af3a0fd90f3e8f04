//! The command line: parse, read the configuration, run one command, report.
//!
//! This is the one place that sees client and simulator together.

mod accounts;
mod args;
mod config;
mod doctor;
mod exit;
mod output;
mod qr;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Cli, Command};
use config::{Config, Surroundings};
use exit::{Exit, Failure};
use output::Output;

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
        tokio::select! {
            biased;
            signal = tokio::signal::ctrl_c() => {
                signal.map_err(|e| Failure::failed(format!("waiting for Ctrl-C: {e}")))?;
                Err(Failure::new(Exit::Interrupted, "interrupted"))
            }
            done = command(cli, &config, output) => done,
        }
    })
}

async fn command(cli: &Cli, config: &Config, output: Output) -> Result<(), Failure> {
    match &cli.command {
        Command::Accounts => accounts::run(config, output).await,
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
