//! The server's properties: asked for and kept (protocol 01 §14.2 step 7).

use std::time::Duration;

use super::conn::Conn;
use crate::client::iq::Repeat;
use crate::client::line::IqError;
use crate::stanza::props::{self, Known};
use crate::store::{Props, StoreError, UnixMillis};

/// Tries, and the pause between them.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(10);

/// How we ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// With the hash that we have.
    Changed,
    /// With the refresh id that we have.
    Newer,
    /// For everything: the server said so.
    All,
}

/// Asks and stores the answer; failures are reported, and tried again a little later.
pub(crate) async fn fetch(conn: &Conn, ask: Ask) {
    for attempt in 1..=TRIES {
        match fetch_once(conn, ask).await {
            Ok(()) => return,
            Err(error @ (Failed::Iq(IqError::Disconnected | IqError::Stopped) | Failed::Store(_))) => {
                tracing::debug!(%error, "the properties were not fetched");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, attempt, "the properties were not fetched");
                conn.ctx.clock.sleep(PAUSE).await;
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Iq(#[from] IqError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the answer holds no properties")]
    Empty,
}

async fn fetch_once(conn: &Conn, ask: Ask) -> Result<(), Failed> {
    let ctx = &conn.ctx;
    let held = ctx.store.read(|tx| tx.props()).await?.unwrap_or_default();
    let known = match ask {
        Ask::Changed => held.hash.as_deref().map(Known::Hash),
        Ask::Newer => held.refresh_id.as_deref().map(Known::RefreshId),
        Ask::All => None,
    };
    let question = props::query(known);
    let answer = ctx.questions.ask(&conn.link, question, Repeat::Never, ctx.config.timeouts.iq).await?;
    let told = props::parse(&answer).ok_or(Failed::Empty)?;
    let next = merge(held, told, ctx.clock.wall_ms());
    Ok(ctx.store.write(move |tx| tx.set_props(&next)).await?)
}

/// What is kept after an answer: a delta changes, an empty answer to a known hash keeps, anything else replaces.
fn merge(held: Props, told: props::Answer, now: UnixMillis) -> Props {
    let unchanged = told.values.is_empty() && told.hash.is_some() && told.hash == held.hash;
    let mut values = if told.delta || unchanged { held.values } else { Vec::new() };
    for (code, value) in told.values {
        match values.iter_mut().find(|(known, _)| *known == code) {
            Some((_, old)) => *old = value,
            None => values.push((code, value)),
        }
    }
    let refresh = told.refresh.and_then(|seconds| i64::try_from(seconds).ok()?.checked_mul(1000));
    Props {
        hash: told.hash.or(held.hash),
        refresh_id: told.refresh_id.or(held.refresh_id),
        refresh_at: refresh.map(|refresh| now.saturating_add(refresh)),
        values,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Props {
        let values = vec![(1, "a".to_owned()), (2, "b".to_owned())];
        Props { hash: Some("h".into()), refresh_id: Some("r".into()), refresh_at: None, values }
    }

    #[test]
    fn a_delta_changes_an_equal_hash_keeps_and_anything_else_replaces() {
        let told = |hash: &str, delta, values: &[(u32, &str)]| props::Answer {
            hash: Some(hash.to_owned()),
            refresh: Some(60),
            delta,
            values: values.iter().map(|(code, value)| (*code, (*value).to_owned())).collect(),
            ..props::Answer::default()
        };
        let values = |props: Props| props.values.into_iter().map(|(_, value)| value).collect::<String>();
        assert_eq!(values(merge(held(), told("h", false, &[]), 0)), "ab");
        assert_eq!(values(merge(held(), told("i", true, &[(2, "c")]), 0)), "ac");
        assert_eq!(values(merge(held(), told("i", false, &[(2, "c")]), 0)), "c");
        let merged = merge(held(), told("i", false, &[]), 5);
        assert_eq!((merged.hash.as_deref(), merged.refresh_id.as_deref()), (Some("i"), Some("r")));
        assert_eq!(merged.refresh_at, Some(60_005));
    }
}
