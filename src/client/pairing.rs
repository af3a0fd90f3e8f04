//! The handle to a pairing under way. Dropping it cancels the pairing.

use tokio::sync::{mpsc, oneshot};

use super::error::ClientError;
use super::life::CannotPair;
use super::pair::{Assertion, CodeError, Command, PairEvent, PasskeyUnsupported};
use crate::signal::link_code;
use crate::wire::Jid;

/// A pairing under way.
#[derive(Debug)]
pub struct Pairing {
    events: mpsc::Receiver<PairEvent>,
    commands: mpsc::Sender<Command>,
}

impl Pairing {
    pub(super) fn new(events: mpsc::Receiver<PairEvent>, commands: mpsc::Sender<Command>) -> Self {
        Self { events, commands }
    }

    /// The next event; `None` when the pairing is over.
    pub async fn next(&mut self) -> Option<PairEvent> {
        self.events.recv().await
    }

    /// Asks for a code to be typed on the phone of `number` (international, any punctuation). It may be asked for
    /// before the first QR code came. `custom`: eight characters of the alphabet instead of random ones.
    ///
    /// # Errors
    /// [`CodeError`].
    pub async fn code(&self, number: &str, custom: Option<&str>) -> Result<String, CodeError> {
        let digits = link_code::phone_number(number).ok_or(CodeError::BadNumber)?;
        let phone = Jid::pn(&digits).map_err(|_| CodeError::BadNumber)?;
        let (reply, answer) = oneshot::channel();
        let command = Command::Code { phone, custom: custom.map(str::to_owned), reply };
        self.commands.send(command).await.map_err(|_| CodeError::Closed)?;
        answer.await.map_err(|_| CodeError::Closed)?
    }

    /// Answers [`PairEvent::PasskeyRequired`] with what an authenticator made; `None`: it is not supported, which
    /// ends the pairing with an error.
    ///
    /// # Errors
    /// [`CodeError::Closed`] if the pairing is over.
    pub async fn passkey(&self, assertion: Option<Assertion>) -> Result<(), CodeError> {
        let answer = assertion.ok_or(PasskeyUnsupported);
        self.commands.send(Command::Passkey(answer)).await.map_err(|_| CodeError::Closed)
    }

    /// Answers [`PairEvent::PasskeyConfirm`]: the codes agree, or they do not.
    ///
    /// # Errors
    /// [`CodeError::Closed`] if the pairing is over.
    pub async fn confirm(&self, agreed: bool) -> Result<(), CodeError> {
        self.commands.send(Command::Confirm(agreed)).await.map_err(|_| CodeError::Closed)
    }

    /// Ends the pairing and waits until its connection is closed.
    pub async fn cancel(mut self) {
        // A pairing that is over needs no cancelling.
        let _ = self.commands.send(Command::Cancel).await;
        while self.events.recv().await.is_some() {}
    }
}

impl From<CannotPair> for ClientError {
    fn from(why: CannotPair) -> Self {
        match why {
            CannotPair::Linked => Self::Linked,
            CannotPair::Pairing => Self::Pairing,
            CannotPair::Stopped(stop) => Self::Stopped(stop),
        }
    }
}
