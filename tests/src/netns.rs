//! Networks of their own for real processes: namespaces that are joined by virtual cables, in which routes can be cut, addresses change, and
//! a router can translate them. Linux, as root; elsewhere tests that need it say so and do nothing.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Namespaces of this process, to give each its own name.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Whether networks can be made here. If not, that is said on standard error, once for each test.
pub fn permitted() -> bool {
    let permitted = Namespace::try_new().is_some_and(|probe| {
        // All that the tests are built of: some containers allow one and not the other.
        let cable = probe.try_ip(&["link", "add", "probe0", "type", "veth", "peer", "name", "probe1"]);
        let switch = probe.try_ip(&["link", "add", "probe2", "type", "bridge"]);
        let inside = output("ip", ["netns", "exec", &probe.name, "true"]);
        cable.status.success() && switch.status.success() && inside.is_some_and(|output| output.status.success())
    });
    if !permitted {
        eprintln!("skipped: network namespaces can't be made here (that takes Linux, root, and the program `ip`)");
    }
    permitted
}

/// A network namespace, with nothing in it but loopback; gone with this value.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A new one.
    pub fn new() -> Self {
        Self::try_new().expect("a network namespace")
    }

    fn try_new() -> Option<Self> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("snug-{}-{number}", std::process::id());
        let made = output("ip", ["netns", "add", &name])?;
        if !made.status.success() {
            return None;
        }
        let namespace = Self { name };
        (namespace.try_ip(&["link", "set", "lo", "up"]).status.success()).then_some(namespace)
    }

    /// Runs `ip` in it, which has to succeed.
    pub fn ip(&self, arguments: &[&str]) {
        let output = self.try_ip(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {arguments:?} in {}: {error}", self.name);
    }

    fn try_ip(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["-n", &self.name];
        all.extend(arguments);
        output("ip", all).expect("the program `ip`")
    }

    /// A command as it would be run here, with its arguments, environment and folder.
    pub fn command(&self, inner: &Command) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]);
        command.arg(inner.get_program()).args(inner.get_args()).env_clear();
        for (name, value) in inner.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        if let Some(folder) = inner.get_current_dir() {
            command.current_dir(folder);
        }
        command
    }

    /// A cable to another namespace: a device of this name in each.
    pub fn plug(&self, device: &str, other: &Namespace, others: &str) {
        self.ip(&[
            "link",
            "add",
            device,
            "type",
            "veth",
            "peer",
            "name",
            others,
            "netns",
            &other.name,
        ]);
        self.ip(&["link", "set", device, "up"]);
        other.ip(&["link", "set", others, "up"]);
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(output("ip", ["netns", "del", &self.name]));
    }
}

/// A switch that hosts are plugged into: one local network, 192.168.N.0/24.
#[derive(Debug)]
pub struct Lan {
    switch: Namespace,
    number: u8,
    hosts: u8,
}

impl Lan {
    /// An empty one.
    pub fn new(number: u8) -> Self {
        let switch = Namespace::new();
        switch.ip(&["link", "add", "br0", "type", "bridge"]);
        switch.ip(&["link", "set", "br0", "up"]);
        Self {
            switch,
            number,
            hosts: 0,
        }
    }

    /// A host on it, at the next address.
    pub fn host(&mut self) -> Namespace {
        let host = Namespace::new();
        self.hosts += 1;
        let port = format!("port{}", self.hosts);
        host.plug("eth0", &self.switch, &port);
        self.switch.ip(&["link", "set", &port, "master", "br0"]);
        host.ip(&[
            "addr",
            "add",
            &format!("{}/24", self.address(self.hosts)),
            "dev",
            "eth0",
        ]);
        host
    }

    /// The address of its host of this number, from 1.
    pub fn address(&self, host: u8) -> String {
        format!("192.168.{}.{host}", self.number)
    }

    /// Cuts a host off, or plugs it in again; the host itself sees nothing of it.
    pub fn cut(&self, host: u8, is_cut: bool) {
        let port = format!("port{host}");
        // Without the bridge the switch drops what comes in: the host's own device stays up, as with a broken router.
        if is_cut {
            self.switch.ip(&["link", "set", &port, "nomaster"]);
        } else {
            self.switch.ip(&["link", "set", &port, "master", "br0"]);
        }
    }
}

fn output<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Option<Output> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.output().ok()
}
