//! The open questions by number. Pure bookkeeping: no waiting, no IO.

use std::collections::BTreeMap;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Repeat;
use crate::client::line::IqError;
use crate::wire::Node;

/// One open question.
#[derive(Debug)]
pub(super) struct Open {
    /// As it was written, for the next connection.
    pub plaintext: Vec<u8>,
    pub repeat: Repeat,
    pub answer: oneshot::Sender<Result<Node, IqError>>,
    /// What the server may hold back; none for a question that it can't.
    pub kinds: Vec<String>,
    /// Its place among the open questions of this connection.
    pub place: Option<OwnedSemaphorePermit>,
}

/// Open questions in the order in which they were asked.
#[derive(Debug)]
pub(super) struct Table {
    prefix: String,
    last: u64,
    open: BTreeMap<u64, Open>,
    /// Up to this number the questions are from earlier connections, and not written on this one.
    behind: u64,
    stopped: bool,
}

impl Table {
    pub fn new(prefix: String) -> Self {
        Self { prefix, last: 0, open: BTreeMap::new(), behind: 0, stopped: false }
    }

    /// A number and its id: prefix and counter, which goes on across connections.
    pub fn next_id(&mut self) -> (u64, String) {
        self.last += 1;
        (self.last, format!("{}{}", self.prefix, self.last))
    }

    pub fn open(&mut self, number: u64, open: Open) -> Result<(), IqError> {
        if self.stopped {
            return Err(IqError::Stopped);
        }
        self.open.insert(number, open);
        Ok(())
    }

    pub fn take(&mut self, id: &str) -> Option<Open> {
        let number = id.strip_prefix(&self.prefix)?.parse().ok()?;
        self.open.remove(&number)
    }

    pub fn forget(&mut self, number: u64) {
        self.open.remove(&number);
    }

    /// The open questions of earlier connections, once a connection; each takes a place again, if there is one.
    pub fn take_repeats(&mut self, place: impl Fn() -> Option<OwnedSemaphorePermit>) -> Vec<Vec<u8>> {
        let behind = std::mem::take(&mut self.behind);
        let again = self.open.range_mut(..=behind).map(|(_, open)| {
            open.place = place();
            open.plaintext.clone()
        });
        again.collect()
    }

    pub fn connection_ended(&mut self) {
        self.behind = self.last;
        // What waits for another connection leaves its place to the start-up of that one.
        self.open.values_mut().for_each(|open| open.place = None);
        self.end(|repeat| match repeat {
            Repeat::NextConnection => None,
            Repeat::Never => Some(IqError::Disconnected),
            Repeat::Unknown => Some(IqError::OutcomeUnknown),
        });
    }

    pub fn set_stopped(&mut self, stopped: bool) {
        self.stopped = stopped;
        if stopped {
            self.end(|_| Some(IqError::Stopped));
        }
    }

    /// Ends the questions for which `verdict` has an error.
    fn end(&mut self, verdict: impl Fn(Repeat) -> Option<IqError>) {
        let ended: Vec<_> =
            self.open.iter().filter_map(|(number, open)| Some((*number, verdict(open.repeat)?))).collect();
        for (number, error) in ended {
            if let Some(open) = self.open.remove(&number) {
                // A waiter that has given up needs no answer.
                let _ = open.answer.send(Err(error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(table: &mut Table, repeat: Repeat) -> (Vec<u8>, oneshot::Receiver<Result<Node, IqError>>) {
        let (answer, answered) = oneshot::channel();
        let (number, id) = table.next_id();
        let plaintext = id.clone().into_bytes();
        table
            .open(
                number,
                Open { plaintext: plaintext.clone(), repeat, answer, kinds: Vec::new(), place: None },
            )
            .unwrap();
        (plaintext, answered)
    }

    #[test]
    fn ids_count_on_behind_one_prefix() {
        let mut table = Table::new("41234.1022-".to_owned());
        assert_eq!(table.next_id().1, "41234.1022-1");
        assert_eq!(table.next_id().1, "41234.1022-2");
    }

    #[test]
    fn an_open_question_goes_out_again_with_the_same_bytes_in_order_and_the_exceptions_end_at_once() {
        let mut table = Table::new("1.2-".to_owned());
        let (first, mut kept) = open(&mut table, Repeat::NextConnection);
        let (_, mut ping) = open(&mut table, Repeat::Never);
        let (_, mut group) = open(&mut table, Repeat::Unknown);
        let (last, _also_kept) = open(&mut table, Repeat::NextConnection);
        table.connection_ended();
        assert_eq!(ping.try_recv().unwrap(), Err(IqError::Disconnected));
        assert_eq!(group.try_recv().unwrap(), Err(IqError::OutcomeUnknown));
        assert!(kept.try_recv().is_err());
        let (_, _new) = open(&mut table, Repeat::NextConnection);
        assert_eq!(
            table.take_repeats(|| None),
            [first, last],
            "what was asked on the new connection is not repeated on it"
        );
        assert!(table.take_repeats(|| None).is_empty(), "once a connection");
    }

    #[test]
    fn a_stop_state_fails_every_open_question_at_once_and_new_ones_too() {
        let mut table = Table::new("1.2-".to_owned());
        let (_, mut waiter) = open(&mut table, Repeat::NextConnection);
        table.set_stopped(true);
        assert_eq!(waiter.try_recv().unwrap(), Err(IqError::Stopped));
        let (answer, _answered) = oneshot::channel();
        let late =
            Open { plaintext: Vec::new(), repeat: Repeat::Never, answer, kinds: Vec::new(), place: None };
        assert_eq!(table.open(9, late), Err(IqError::Stopped));
    }

    #[test]
    fn an_answer_with_a_foreign_id_finds_nobody() {
        let mut table = Table::new("1.2-".to_owned());
        let (_, _waiter) = open(&mut table, Repeat::Never);
        for id in ["", "1.2-", "1.2-2", "9.9-1", "1.2-1x"] {
            assert!(table.take(id).is_none(), "{id}");
        }
        assert!(table.take("1.2-1").is_some());
    }
}
