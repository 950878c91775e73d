//! A real redis-server beside a test: started on a Unix socket, frozen, killed, and always gone in the end.

use bascule_contract::sessions::Store;
use bascule_contract::snapshot::Address;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Longer than anything here takes, on a machine that is busy with other things.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A server that may be started more than once, and its folder.
pub(super) struct Program {
    folder: PathBuf,
    settings: Vec<String>,
    child: Option<Child>,
}

impl Program {
    /// Not started yet. `settings` are lines of its configuration.
    pub(super) fn with(settings: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bascule-store-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder for the server");
        Self { folder, settings: settings.iter().map(|line| (*line).to_owned()).collect(), child: None }
    }

    pub(super) fn started(settings: &[&str]) -> Self {
        let mut program = Self::with(settings);
        program.start();
        program
    }

    pub(super) fn socket(&self) -> String {
        self.folder.join("socket").to_str().expect("a path of letters").to_owned()
    }

    /// It as a store, with time enough to answer.
    pub(super) fn store(&self) -> Store {
        Store {
            id: "shared".into(),
            address: Address::Unix { path: self.socket() },
            username: None,
            password: None,
            database: 0,
            prefix: "b:".into(),
            wait_ms: 5_000,
        }
    }

    /// Starts it, with nothing in it, and waits until it accepts.
    pub(super) fn start(&mut self) {
        let written = self.folder.join("redis.conf");
        let own = ["port 0", "save \"\"", "daemonize no", "loglevel warning"].map(String::from);
        let socket = format!("unixsocket {}", self.socket());
        let lines: Vec<String> =
            own.into_iter().chain([socket]).chain(self.settings.iter().cloned()).collect();
        std::fs::write(&written, lines.join("\n")).expect("its configuration");
        let child = Command::new("redis-server")
            .arg(&written)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server ({error}): apt-get install redis-server"));
        self.child = Some(child);
        eventually("redis-server does not accept", || UnixStream::connect(self.socket()).is_ok());
    }

    /// Ends it without a word; the kernel closes its connections.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the server runs");
            child.wait().expect("the server is ours");
            let _ = std::fs::remove_file(self.socket());
        }
    }

    /// Stops it: the kernel still accepts for it, nothing is answered.
    pub(super) fn freeze(&self) {
        self.signal(Signal::STOP);
        let state = format!("/proc/{}/stat", self.child.as_ref().expect("it runs").id());
        let is_stopped = || {
            let stat = std::fs::read_to_string(&state).unwrap_or_default();
            stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
        };
        eventually("redis-server does not stop", is_stopped);
    }

    pub(super) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// What it answers to one command whose answer is one line, or its first line; arguments must be without blanks.
    pub(super) fn say(&self, command: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.write_all(format!("{command}\r\n").as_bytes()).expect("the server reads");
        let mut lines = BufReader::new(stream).lines();
        let mut line = || lines.next().expect("a line").expect("the server answers");
        let first = line();
        match first.strip_prefix('$') {
            Some("-1") => "nothing".into(),
            Some(_) => line(),
            None => first,
        }
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), signal).expect("the server is ours");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A TCP port that nobody listens on just now.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Waits for something outside of this process.
fn eventually(complaint: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{complaint}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
