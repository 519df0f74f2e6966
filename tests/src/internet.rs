//! An internet in small, of network namespaces: a public network, and homes behind routers that translate addresses, each in its own way.

use std::process::Command;

use crate::netns::{self, Namespace};
use crate::process;

/// How a router translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat {
    /// The port outside is the one inside, whoever is talked to, and only who was written to may write: holes can be punched.
    Cone,
    /// Another random port for everybody who is talked to: no hole can be punched.
    Symmetric,
}

/// The public network, 203.0.113.0/24.
#[derive(Debug)]
pub struct Internet {
    switch: Namespace,
    hosts: u8,
    homes: u8,
}

/// A machine at home, and the router that it is behind.
#[derive(Debug)]
pub struct AtHome {
    /// The machine.
    pub host: Namespace,
    _router: Namespace,
}

/// Whether all of this can be made here. If not, that is said on standard error.
pub fn permitted() -> bool {
    if !netns::permitted() {
        return false;
    }
    let probe = Namespace::new();
    let mut command = Command::new("nft");
    command.args(["add", "table", "ip", "probe"]);
    let output = probe.command(&with_environment(command)).output();
    let permitted = output.is_ok_and(|output| output.status.success());
    if !permitted {
        eprintln!("skipped: addresses can't be translated here (that takes the program `nft`)");
    }
    permitted
}

fn with_environment(mut command: Command) -> Command {
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

impl Internet {
    /// An empty one.
    pub fn new() -> Self {
        let switch = Namespace::new();
        switch.ip(&["link", "add", "br0", "type", "bridge"]);
        switch.ip(&["link", "set", "br0", "up"]);
        Self {
            switch,
            hosts: 0,
            homes: 0,
        }
    }

    /// A machine that everybody can reach, and its address.
    pub fn host(&mut self) -> (Namespace, String) {
        let host = Namespace::new();
        let address = self.plug(&host, "eth0");
        (host, address)
    }

    /// A machine behind a router of its own.
    pub fn home(&mut self, nat: Nat) -> AtHome {
        self.homes += 1;
        let (router, host) = (Namespace::new(), Namespace::new());
        self.plug(&router, "wan");
        router.plug("lan", &host, "eth0");
        let net = format!("10.{}.0", self.homes);
        router.ip(&["addr", "add", &format!("{net}.1/24"), "dev", "lan"]);
        host.ip(&["addr", "add", &format!("{net}.2/24"), "dev", "eth0"]);
        host.ip(&["route", "add", "default", "via", &format!("{net}.1")]);
        run(&router, "sh", &["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], "");
        let how = match nat {
            Nat::Cone => "masquerade",
            Nat::Symmetric => "masquerade fully-random",
        };
        // What comes unasked is dropped before it leaves a trace: a trace would take the port from who is about to answer it.
        let rules = format!(
            "add table ip home
             add chain ip home out {{ type nat hook postrouting priority 100; }}
             add rule ip home out oifname \"wan\" {how}
             add chain ip home mine {{ type filter hook input priority 0; }}
             add rule ip home mine iifname \"wan\" ct state new drop
             add chain ip home through {{ type filter hook forward priority 0; }}
             add rule ip home through iifname \"wan\" ct state new drop
            "
        );
        run(&router, "nft", &["-f", "-"], &rules);
        AtHome { host, _router: router }
    }

    /// Gives a machine the next public address, on a device of this name.
    fn plug(&mut self, machine: &Namespace, device: &str) -> String {
        self.hosts += 1;
        let port = format!("port{}", self.hosts);
        let address = format!("203.0.113.{}", self.hosts);
        machine.plug(device, &self.switch, &port);
        self.switch.ip(&["link", "set", &port, "master", "br0"]);
        machine.ip(&["addr", "add", &format!("{address}/24"), "dev", device]);
        address
    }
}

impl Default for Internet {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs a program on a machine, which has to succeed, and gives what it prints.
pub fn run(machine: &Namespace, program: &str, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    let output = process::run(program, &mut machine.command(&with_environment(command)), input);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
