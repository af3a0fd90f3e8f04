//! Text to JID: the grammar of 03 §12, with its errors in its order.

use super::error::JidError;
use super::jid::{Jid, max_device};
use super::server::{Devices, Server};

/// The longest text of a JID, in bytes.
const MAX_TEXT: usize = 255;

/// Parses a text.
pub(super) fn parse(text: &str) -> Result<Jid, JidError> {
    if text.len() > MAX_TEXT {
        return Err(JidError::TooLong);
    }
    let Some((left, server)) = text.rsplit_once('@') else {
        return Server::known(text).map(Jid::server_only).ok_or(JidError::BadServer);
    };
    check_server(server)?;
    let server = Server::from(server);
    if left.is_empty() {
        return Ok(Jid::server_only(server));
    }
    let (user, device) = match left.split_once(':') {
        Some((user, device)) => (user, Some(device)),
        None => (left, None),
    };
    check_user(user)?;
    let device = device.map_or(Ok(0), |device| parse_device(device, &server))?;
    let user = without_agent(user, &server)?;
    let (integrator, user) = split_integrator(user, &server)?;
    Ok(Jid::raw(user.into(), server, device, integrator))
}

/// Whether the parts of a JID are what [`parse`] could have given.
pub(super) fn check(jid: &Jid) -> Result<(), JidError> {
    check_server(jid.server().as_str())?;
    if matches!(jid.server(), Server::Other(text) if Server::known(text).is_some()) {
        return Err(JidError::BadServer);
    }
    if jid.user().is_empty() {
        return if (jid.device(), jid.integrator()) == (0, 0) { Ok(()) } else { Err(JidError::BadUser) };
    }
    check_user(jid.user())?;
    let max = max_device(jid.server()).unwrap_or(0);
    if jid.device() > max {
        return Err(JidError::BadDevice);
    }
    if jid.server().devices() == Devices::Byte && jid.user().contains(['.', '_']) {
        return Err(JidError::BadAgent);
    }
    if *jid.server() != Server::Interop && jid.integrator() != 0 {
        return Err(JidError::BadIntegrator);
    }
    if text_len(jid) > MAX_TEXT { Err(JidError::TooLong) } else { Ok(()) }
}

/// The length of the canonical text, exact where it could be too long.
fn text_len(jid: &Jid) -> usize {
    let parts = jid.user().len() + jid.server().as_str().len() + 1;
    // Integrator and device add twelve characters at most.
    if parts + 12 <= MAX_TEXT { parts } else { jid.to_string().len() }
}

fn check_server(server: &str) -> Result<(), JidError> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
    if !server.is_empty() && server.bytes().all(good) { Ok(()) } else { Err(JidError::BadServer) }
}

fn check_user(user: &str) -> Result<(), JidError> {
    let bad = |c: char| matches!(c, '@' | ':' | ' ') || c.is_control();
    if user.is_empty() || user.contains(bad) { Err(JidError::BadUser) } else { Ok(()) }
}

fn parse_device(text: &str, server: &Server) -> Result<u16, JidError> {
    let device = decimal(text).ok_or(JidError::BadDevice)?;
    match max_device(server) {
        Some(max) if device <= max => Ok(device),
        _ => Err(JidError::BadDevice),
    }
}

/// Removes the historical agent `.0` or `_0`.
fn without_agent<'t>(user: &'t str, server: &Server) -> Result<&'t str, JidError> {
    if server.devices() != Devices::Byte {
        return Ok(user);
    }
    match user.split_once(['.', '_']) {
        None => Ok(user),
        Some(("", _)) => Err(JidError::BadUser),
        Some((user, "0")) => Ok(user),
        Some(_) => Err(JidError::BadAgent),
    }
}

fn split_integrator<'t>(user: &'t str, server: &Server) -> Result<(u16, &'t str), JidError> {
    match user.split_once('-') {
        Some((integrator, rest)) if *server == Server::Interop => {
            let integrator = decimal(integrator).ok_or(JidError::BadIntegrator)?;
            if rest.is_empty() { Err(JidError::BadUser) } else { Ok((integrator, rest)) }
        }
        _ => Ok((0, user)),
    }
}

/// A decimal number without sign or leading zero.
pub(super) fn decimal(text: &str) -> Option<u16> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    if plain { text.parse().ok() } else { None }
}
