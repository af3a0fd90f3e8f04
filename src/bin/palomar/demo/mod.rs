//! `demo`: three accounts link to simulated phones, talk, lose a connection, one is killed and reopened; everything is
//! counted, and the exit code says whether all of it was as it must be.
//!
//! Client and simulator meet on loopback sockets only. `ledger` keeps count, `actor` is one account, `report` the table.

mod actor;
mod folder;
mod ledger;
mod report;
mod stage;

use std::sync::Arc;

use clap::Args;
use palomar::client::DeviceProfile;
use palomar::client::net::{Endpoint, Tls};
use palomar::crypto::os_rng;
use palomar::sim::{NewAccount, SimConfig, Simulator};
use palomar::store::DataDir;

use crate::exit::Failure;
use crate::output::Output;
use actor::Actor;
use folder::TempFolder;
use ledger::Ledger;
use stage::Stage;

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Leave accounts and simulator running until Ctrl-C
    #[arg(long)]
    pub keep: bool,
    /// Fixes the simulator's keys, ids and refs
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// The accounts: id and number of their phones.
const ACCOUNTS: [(&str, &str); 3] =
    [("alice", "15550001001"), ("bob", "15550001002"), ("carol", "15550001003")];
/// A person without a linked account.
const DORA: &str = "15550001004";

/// Runs the demo; `stop` ends what `--keep` leaves running.
pub async fn run(args: &DemoArgs, output: Output, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    let simulator = start(args.seed).await?;
    let folder = TempFolder::make()?;
    let ledger = Arc::new(Ledger::new());
    let mut actors = actors(&simulator, &folder, &ledger).await?;
    let watchers = stage::watch_phones(simulator.admin(), &ledger);
    let stage = Stage::new(simulator.admin(), Arc::clone(&ledger), output);
    stage.introduce(&simulator, &actors);
    let played = stage.play(&mut actors).await;
    if let Err(failure) = &played {
        stage.say("demo", &format!("stopped early: {}", failure.what));
    }
    let mut verdict = report::show(&stage, &actors, played.err()).await;
    if args.keep {
        output.text(format_args!("left running: {}; stop it with Ctrl-C", report::addresses(&simulator)));
        stop.await;
    }
    for actor in &mut actors {
        let ended = actor.stop().await;
        verdict = verdict.and(ended);
    }
    drop(watchers);
    simulator.stop().await.map_err(|e| Failure::failed(e.to_string()))?;
    verdict
}

async fn start(seed: u64) -> Result<Simulator, Failure> {
    let simulator = Simulator::start(SimConfig::ephemeral(seed)).await;
    let simulator = simulator.map_err(|e| Failure::failed(format!("the simulator does not start: {e}")))?;
    let people = ACCOUNTS.iter().copied().chain([("dora", DORA)]);
    for (name, number) in people {
        let new = NewAccount {
            number: Some(number.to_owned()),
            push_name: Some(name.to_owned()),
            ..NewAccount::default()
        };
        simulator.admin().create_account(new).await.map_err(|e| Failure::failed(e.to_string()))?;
    }
    Ok(simulator)
}

async fn actors(
    simulator: &Simulator,
    folder: &TempFolder,
    ledger: &Arc<Ledger>,
) -> Result<Vec<Actor>, Failure> {
    let url = simulator.chat_url().unwrap_or_default();
    let address = url.parse().map_err(|e| Failure::failed(format!("{url}: {e}")))?;
    let tls = Tls::new(None).map_err(|e| Failure::failed(e.to_string()))?;
    let endpoint = Endpoint::at(address, simulator.root_key(), tls);
    let data = DataDir::new(folder.path());
    let mut profiles = Vec::new();
    let mut actors = Vec::new();
    for (index, who) in ACCOUNTS.into_iter().enumerate() {
        let profile = DeviceProfile::draw_unlike(&profiles, &mut os_rng());
        profiles.push(profile.clone());
        actors.push(Actor::make(index, who, profile, (&data, &endpoint), ledger).await?);
    }
    Ok(actors)
}
