//! `accounts health ID`: what limits an account, until when, what Palomar does and what to do; in English and Spanish.

use clap::{Args, ValueEnum};
use palomar::client::limits::{self, Health, Labels, Shown, Words, time};
use palomar::client::{Language, Why};
use palomar::clock::Clock;
use serde_json::{Value, json};

use crate::account;
use crate::accounts::{self, close};
use crate::config::Config;
use crate::exit::Failure;
use crate::output::Output;

/// Options of `accounts health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The account
    pub id: String,
    /// The language (else that of the locale)
    #[arg(long, value_name = "LANG")]
    pub lang: Option<Lang>,
    /// A person has dealt with what calls for one: sending goes on
    #[arg(long)]
    pub clear: bool,
}

/// A language that is spoken here.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Lang {
    /// English
    En,
    /// Spanish
    Es,
}

impl HealthArgs {
    fn language(&self) -> Language {
        match self.lang {
            Some(Lang::En) => Language::En,
            Some(Lang::Es) => Language::Es,
            None => {
                let set = |name: &&str| std::env::var(name).is_ok_and(|value| !value.is_empty());
                let first = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find(set);
                let locale = first.and_then(|name| std::env::var(name).ok()).unwrap_or_default();
                Language::of_locale(&locale)
            }
        }
    }
}

/// Runs the command.
pub async fn run(args: &HealthArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let (_folder, store) = accounts::open(config, &account::id(&args.id)?)?;
    let now = Clock::system().wall_ms();
    let clear = args.clear;
    let read = store
        .write(move |tx| {
            let cleared = if clear { Some(limits::clear(tx, now)?) } else { None };
            Ok::<_, palomar::store::StoreError>((limits::health(tx, now)?, cleared))
        })
        .await;
    close(&store).await;
    let (health, cleared) = read?;
    let language = args.language();
    output.line(text(&args.id, &health, cleared, language), &value(&args.id, &health, cleared, language));
    Ok(())
}

fn text(id: &str, health: &Health, cleared: Option<bool>, language: Language) -> String {
    let labels = language.labels();
    let mut lines = vec![format!("{} {id}: {}", labels.account, language.standing(health.standing))];
    lines.extend(cleared.map(|any| if any { labels.cleared } else { labels.nothing_to_clear }.to_owned()));
    for shown in &health.signals {
        lines.push(String::new());
        lines.push(head(shown, &language.signal(shown.signal), &labels));
        let words = language.signal(shown.signal);
        for (label, said) in
            [(labels.meaning, words.meaning), (labels.done, words.done), (labels.advice, words.advice)]
        {
            lines.push(format!("  {label}: {}", said.replace(" ID", &format!(" {id}"))));
        }
    }
    for (key, said) in &health.details {
        lines.push(format!("  {} {key}: {}", labels.said, printable(said)));
    }
    lines.push(String::new());
    if let Some(quota) = health.quota {
        let end = quota.until.map(|until| format!(", {} {}", labels.until, time(until))).unwrap_or_default();
        lines.push(format!("{}: {}/{}{end}", labels.quota, quota.used, quota.total));
    }
    let (hour, day) = health.new_chats;
    lines.push(format!("{}: {hour} {}, {day} {}", labels.new_chats, labels.hour, labels.day));
    for (name, count) in &health.waiting {
        let why = Why::of(name).map(|why| language.why(why)).unwrap_or(name);
        lines.push(format!("{}: {count} ({why})", labels.waiting));
    }
    lines.join("\n")
}

/// The title of a signal, and its facts.
fn head(shown: &Shown, words: &Words, labels: &Labels) -> String {
    let value = shown.value.as_ref().map(|value| format!(" [{}]", printable(value))).unwrap_or_default();
    let about =
        shown.subject.as_ref().map(|subject| format!(", {} {subject}", labels.about)).unwrap_or_default();
    let since = shown.since.map(|since| format!(", {} {}", labels.since, time(since))).unwrap_or_default();
    let until = match shown.until {
        Some(until) => format!("{} {}", labels.until, time(until)),
        None => labels.no_end.to_owned(),
    };
    let mark = if shown.alarm { "!!" } else { "*" };
    format!("{mark} {}{value}{about}: {until}{since}", words.title)
}

/// Texts of the service, without what would steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn value(id: &str, health: &Health, cleared: Option<bool>, language: Language) -> Value {
    let signals: Vec<Value> = health
        .signals
        .iter()
        .map(|shown| {
            let words = language.signal(shown.signal);
            let mut value = serde_json::to_value(shown).unwrap_or_default();
            if let Some(object) = value.as_object_mut() {
                for (key, said) in [
                    ("title", words.title),
                    ("meaning", words.meaning),
                    ("done", words.done),
                    ("advice", words.advice),
                ] {
                    object.insert(key.to_owned(), json!(said.replace(" ID", &format!(" {id}"))));
                }
            }
            value
        })
        .collect();
    let (hour, day) = health.new_chats;
    json!({
        "account": id, "standing": health.standing, "standing_text": language.standing(health.standing),
        "signals": signals, "quota": health.quota, "new_chats": { "hour": hour, "day": day },
        "waiting": health.waiting, "details": health.details, "cleared": cleared,
    })
}
