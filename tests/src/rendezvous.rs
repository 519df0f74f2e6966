//! The server program, started and restarted.

use crate::binaries;
use crate::home::Home;
use crate::process::Process;

/// Where a server keeps its rooms.
#[derive(Debug, Clone)]
pub enum Store {
    /// The embedded store, in the server's data folder.
    Redb,
    /// A MongoDB server, by its URL with the database's name.
    Mongo(String),
}

/// A server that runs, with its data folder.
#[derive(Debug)]
pub struct Rendezvous {
    process: Process,
    home: Home,
    store: Store,
    flags: Vec<String>,
    address: String,
}

impl Rendezvous {
    /// Starts one on the embedded store, on a free port of loopback, and waits until it serves.
    pub fn start() -> Self {
        Self::on(Store::Redb)
    }

    /// The same on a store of choice.
    pub fn on(store: Store) -> Self {
        Self::with(store, &[])
    }

    /// One on the embedded store with these flags of `serve`.
    pub fn configured(flags: &[&str]) -> Self {
        Self::with(Store::Redb, flags)
    }

    fn with(store: Store, flags: &[&str]) -> Self {
        let home = Home::new();
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        let (process, address) = serve(&home, &store, &flags, "127.0.0.1:0");
        Self {
            process,
            home,
            store,
            flags,
            address,
        }
    }

    /// What another command of the program prints about this server, while it runs; it has to succeed.
    pub fn command(&self, arguments: &[&str]) -> String {
        let mut command = self.home.bare(&binaries::rendezvous());
        command.args(arguments).arg("--data-dir").arg(self.home.data());
        let output = crate::process::run("rendezvous command", &mut command, "");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A further instance on the same store and with the same server key, on a port of its own.
    pub fn second_instance(&self) -> Self {
        let home = Home::new();
        std::fs::create_dir_all(home.data()).expect("a data folder");
        std::fs::copy(self.server_key(), home.data().join(SERVER_KEY)).expect("the server key can be shared");
        let (process, address) = serve(&home, &self.store, &self.flags, "127.0.0.1:0");
        Self {
            process,
            home,
            store: self.store.clone(),
            flags: self.flags.clone(),
            address,
        }
    }

    /// What clients get as `--server`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port it serves on.
    pub fn port(&self) -> u16 {
        let port = self.address.rsplit(':').next().and_then(|port| port.parse().ok());
        port.expect("an address has a port")
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The process, for its end and its transcript.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its folder, with everything it wrote to disk.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Ends it in order, and starts it again on the same port, with the same data.
    pub fn restart(&mut self) {
        self.process.signal("TERM");
        assert_eq!(self.process.exit_code(), 0, "SIGTERM ends the server in order");
        self.start_again();
    }

    /// The same after a crash.
    pub fn crash_and_restart(&mut self) {
        self.process.kill();
        self.start_again();
    }

    fn start_again(&mut self) {
        (self.process, self.address) = serve(&self.home, &self.store, &self.flags, &self.address);
    }

    fn server_key(&self) -> std::path::PathBuf {
        self.home.data().join(SERVER_KEY)
    }
}

/// The server key's file in the data folder.
const SERVER_KEY: &str = "server.key";

fn serve(home: &Home, store: &Store, flags: &[String], listen: &str) -> (Process, String) {
    let mut command = home.bare(&binaries::rendezvous());
    command.args(["serve", "--listen", listen, "--admin-listen", "127.0.0.1:0"]);
    command
        .arg("--data-dir")
        .arg(home.data())
        .arg("--server-key-file")
        .arg(home.data().join(SERVER_KEY));
    command.args(flags);
    match store {
        Store::Redb => {}
        Store::Mongo(url) => {
            command.args(["--store", url]);
        }
    }
    let process = Process::start("rendezvous", &mut command);
    let address = process.wait_line("`listening on` line", 0, |line| {
        let url = line.text.strip_prefix("listening on ")?;
        url.strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"))
            .map(|address| address.trim_end_matches('/').to_owned())
    });
    (process, address)
}
