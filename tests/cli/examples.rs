//! The four examples are run as their first lines say, against the simulator, and do what they say.
//!
//! `cargo test` builds them; where a single test is asked for and they were never built, they are built here.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use palomar::sim::Simulator;

use crate::place::{NUMBER, OTHER, assert_no_violations, simulator};

const WITHIN: Duration = Duration::from_secs(20);

/// An example that runs. Killed when dropped.
struct Example {
    child: Child,
    lines: Option<BufReader<ChildStdout>>,
}

/// A folder in which examples run, pointed at a simulator.
struct Folder {
    folder: tempfile::TempDir,
    simulator: Simulator,
}

fn program(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_BIN_EXE_palomar")).with_file_name("examples");
    let path = folder.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    if !path.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--quiet", "--examples"]).status().unwrap();
        assert!(built.success());
    }
    path
}

impl Folder {
    async fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), simulator: simulator().await }
    }

    fn start(&self, name: &str, arguments: &[&str]) -> Example {
        let mut command = Command::new(program(name));
        command.env_clear().env("PALOMAR_SERVER", self.simulator.chat_url().unwrap());
        command.env("PALOMAR_ROOT_KEY", hex::encode(self.simulator.root_key().as_bytes()));
        command.current_dir(self.folder.path()).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Example { child, lines: Some(lines) }
    }

    async fn links_by_code(&self) {
        let mut example = self.start("qr_login", &["alice", NUMBER]);
        let line = example.line("Type this code on the phone: ").await;
        let code = line.rsplit(": ").next().unwrap().to_owned();
        self.simulator.admin().enter_code(NUMBER, code.trim()).await.unwrap();
        example.line("Ready.").await;
        assert!(example.ends().await);
    }
}

impl Example {
    /// The next line that holds `part`.
    async fn line(&mut self, part: &str) -> String {
        let (mut lines, part) = (self.lines.take().unwrap(), part.to_owned());
        let (lines, line) = tokio::task::spawn_blocking(move || {
            loop {
                let mut line = String::new();
                assert!(lines.read_line(&mut line).unwrap() > 0, "it ended before {part:?}");
                if line.contains(&part) {
                    return (lines, line.trim_end().to_owned());
                }
            }
        })
        .await
        .unwrap();
        self.lines = Some(lines);
        line
    }

    /// Whether it ends well.
    async fn ends(mut self) -> bool {
        // What it still says is read, so that it can end.
        let mut lines = self.lines.take().unwrap();
        tokio::task::spawn_blocking(move || {
            drop(lines.read_to_string(&mut String::new()));
            self.child.wait().unwrap().success()
        })
        .await
        .unwrap()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn example_qr_login_links_by_what_it_shows() {
    let folder = Folder::new().await;
    let mut example = folder.start("qr_login", &["alice"]);
    let text = example.line("https://wa.me/settings/linked_devices#").await;
    folder.simulator.admin().scan_qr(NUMBER, &text).await.unwrap();
    assert!(example.line("Linked as").await.contains(NUMBER));
    example.line("Ready.").await;
    assert!(example.ends().await);
    assert_no_violations(&folder.simulator).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn example_send_one_sends_once_per_key() {
    let folder = Folder::new().await;
    folder.links_by_code().await;
    for _ in 0..2 {
        let mut example = folder.start("send_one", &["alice", OTHER, "only once", "key-1"]);
        example.line("accepted as").await;
        assert!(example.line("Sent").await.contains("Sent"));
        assert!(example.ends().await);
    }
    folder.simulator.admin().wait_text(OTHER, "only once", WITHIN).await.unwrap();
    assert_eq!(folder.simulator.admin().inbox(OTHER, 0).await.unwrap().len(), 1);
    assert_no_violations(&folder.simulator).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn example_echo_bot_answers_with_the_same_text() {
    let folder = Folder::new().await;
    folder.links_by_code().await;
    let _bot = folder.start("echo_bot", &["alice"]);
    folder.simulator.admin().send_text(OTHER, NUMBER, "is there an echo?").await.unwrap();
    folder.simulator.admin().wait_text(OTHER, "is there an echo?", WITHIN).await.unwrap();
    assert_no_violations(&folder.simulator).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn example_axum_app_shows_the_state_and_sends() {
    let folder = Folder::new().await;
    folder.links_by_code().await;
    let mut app = folder.start("axum_app", &["alice", "127.0.0.1:0"]);
    let address = app.line("listening on ").await.rsplit(' ').next().unwrap().to_owned();
    let asked = address.clone();
    let state = tokio::task::spawn_blocking(move || ask(&asked, "GET /state", "")).await.unwrap();
    assert!(state.starts_with("HTTP/1.1 200"), "{state}");
    let path = format!("POST /send?to={OTHER}&key=1");
    let sent = tokio::task::spawn_blocking(move || ask(&address, &path, "from the web")).await.unwrap();
    assert!(sent.starts_with("HTTP/1.1 200"), "{sent}");
    folder.simulator.admin().wait_text(OTHER, "from the web", WITHIN).await.unwrap();
    assert_no_violations(&folder.simulator).await;
}

fn ask(address: &str, what: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{what} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
