//! `sim run --script FILE`: a list of admin calls, one JSON object a line (protocol 09 §21):
//! `{"call":"POST /v1/…","body":{…},"save":{"name":"/json/pointer"},"status":200}`. `${name}` in a later line is what
//! was saved under that name. Empty lines and lines that begin with `#` are skipped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::exit::Failure;

/// One line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    call: String,
    body: Option<Value>,
    #[serde(default)]
    save: BTreeMap<String, String>,
    #[serde(default = "success")]
    status: u16,
}

fn success() -> u16 {
    200
}

/// What a call answered.
#[derive(Debug)]
pub struct Answered {
    /// The line, from 1.
    pub line: usize,
    /// Method and path.
    pub call: String,
    /// The HTTP status.
    pub status: u16,
}

/// Runs a script against the admin listener; `told` hears of every call that went as the script says.
///
/// # Errors
/// The first line that can't be read, or whose call answers another status.
pub async fn run(
    file: &Path,
    admin: SocketAddr,
    token: Option<&str>,
    mut told: impl FnMut(&Answered),
) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("script {}: {error}", file.display())))?;
    let mut saved = BTreeMap::new();
    for (at, text) in text.lines().enumerate().map(|(at, text)| (at + 1, text.trim())) {
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let wrong = |what: String| Failure::usage(format!("script {} line {at}: {what}", file.display()));
        let line: Line =
            serde_json::from_str(&filled(text, &saved)).map_err(|error| wrong(error.to_string()))?;
        let (status, answer) =
            call(admin, token, &line).await.map_err(|error| wrong(format!("{}: {error}", line.call)))?;
        if status != line.status {
            let what = format!("{} answered {status} instead of {}: {answer}", line.call, line.status);
            return Err(Failure::failed(format!("script {} line {at}: {what}", file.display())));
        }
        for (name, pointer) in &line.save {
            let value =
                answer.pointer(pointer).ok_or_else(|| wrong(format!("there is no {pointer} in {answer}")))?;
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            saved.insert(name.clone(), value);
        }
        told(&Answered { line: at, call: line.call, status });
    }
    Ok(())
}

/// A line with what was saved put in, escaped as in a JSON text.
fn filled(line: &str, saved: &BTreeMap<String, String>) -> String {
    let mut line = line.to_owned();
    for (name, value) in saved {
        let quoted = Value::from(value.as_str()).to_string();
        line = line.replace(&format!("${{{name}}}"), quoted.trim_matches('"'));
    }
    line
}

async fn call(admin: SocketAddr, token: Option<&str>, line: &Line) -> std::io::Result<(u16, Value)> {
    let malformed = || std::io::Error::other("no HTTP answer");
    let (method, path) =
        line.call.split_once(' ').ok_or_else(|| std::io::Error::other("no METHOD and path"))?;
    let body = line.body.as_ref().map(Value::to_string).unwrap_or_default();
    let auth = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n{auth}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(admin).await?;
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(malformed)?;
    // Metrics are no JSON.
    Ok((status, serde_json::from_str(body).unwrap_or_else(|_| Value::from(body))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_put_in_as_text() {
        let saved = BTreeMap::from([("id".to_owned(), "a\"b".to_owned())]);
        let line: Line =
            serde_json::from_str(&filled(r#"{"call":"GET /${id}","body":{"x":"${id}"}}"#, &saved)).unwrap();
        assert_eq!((line.call.as_str(), line.status), ("GET /a\"b", 200));
        assert_eq!(line.body.unwrap()["x"], "a\"b");
    }
}
