//! An internet in small, of network namespaces: a public network, and homes behind routers that translate addresses, each in its own way.

use std::io::Write;
use std::process::{Command, Stdio};

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

/// The public network, a /24.
#[derive(Debug)]
pub struct Internet {
    net: &'static str,
    switch: Namespace,
    hosts: u8,
    homes: u8,
}

/// A machine at home, and the router that it is behind.
#[derive(Debug)]
pub struct AtHome {
    /// The machine.
    pub host: Namespace,
    /// What is between it and the others.
    pub router: Router,
}

/// A router with its two sides, `lan` and `wan`.
#[derive(Debug)]
pub struct Router {
    /// The machine.
    pub machine: Namespace,
    /// Its address at home.
    pub lan: String,
    /// Its address on the public network.
    pub wan: String,
}

impl Router {
    /// The public ports that lead inside at this moment, whoever asked for them.
    pub fn open_ports(&self) -> usize {
        let rules = run(&self.machine, "nft", &["list", "ruleset"], "");
        rules
            .lines()
            .filter(|line| line.contains("dnat ip to") || line.contains("dnat to"))
            .count()
    }
}

/// Whether all of this can be made here. If not, that is said on standard error.
pub fn permitted() -> bool {
    if !netns::permitted() {
        return false;
    }
    let probe = Namespace::new();
    // All that a router is made of: some kernels know tables and no translation.
    let permitted = [Nat::Cone, Nat::Symmetric].iter().all(|nat| {
        let command = program("nft", &["-f", "-"]);
        let mut child = match probe
            .command(&command)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
        {
            Ok(child) => child,
            Err(_) => return false,
        };
        let mut stdin = child.stdin.take().expect("a pipe");
        let written = stdin.write_all(rules(*nat).as_bytes());
        drop(stdin);
        child.wait().is_ok_and(|status| status.success()) && written.is_ok()
    });
    if !permitted {
        eprintln!("skipped: addresses can't be translated here (that takes the program `nft`)");
    }
    permitted
}

fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command
        .args(arguments)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// A router's rules. What comes unasked is dropped before it leaves a trace: a trace would take the port from who is about to answer it.
fn rules(nat: Nat) -> String {
    let how = match nat {
        Nat::Cone => "masquerade",
        Nat::Symmetric => "masquerade fully-random",
    };
    format!(
        "add table ip home
         delete table ip home
         add table ip home
         add chain ip home out {{ type nat hook postrouting priority 100; }}
         add rule ip home out oifname \"wan\" {how}
         add chain ip home mine {{ type filter hook input priority 0; }}
         add rule ip home mine iifname \"wan\" ct state new drop
         add chain ip home through {{ type filter hook forward priority 0; }}
         add rule ip home through iifname \"wan\" ct status dnat accept
         add rule ip home through iifname \"wan\" ct state new drop
        "
    )
}

impl Internet {
    /// An empty one, of addresses that are nobody's.
    pub fn new() -> Self {
        Self::at("203.0.113")
    }

    /// An empty one of addresses that miniupnpd takes for public: the others are known to be reserved. Nothing of it leaves the namespaces.
    pub fn unreserved() -> Self {
        Self::at("11.203.113")
    }

    fn at(net: &'static str) -> Self {
        let switch = Namespace::new();
        switch.ip(&["link", "add", "br0", "type", "bridge"]);
        switch.ip(&["link", "set", "br0", "up"]);
        Self {
            net,
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
        let wan = self.plug(&router, "wan");
        router.plug("lan", &host, "eth0");
        let net = format!("10.{}.0", self.homes);
        router.ip(&["addr", "add", &format!("{net}.1/24"), "dev", "lan"]);
        host.ip(&["addr", "add", &format!("{net}.2/24"), "dev", "eth0"]);
        host.ip(&["route", "add", "default", "via", &format!("{net}.1")]);
        run(&router, "sh", &["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], "");
        run(&router, "nft", &["-f", "-"], &rules(nat));
        let lan = format!("{net}.1");
        let machine = router;
        AtHome {
            host,
            router: Router { machine, lan, wan },
        }
    }

    /// Carries a machine from where it is to another home, as a guest.
    pub fn carry(laptop: &Namespace, to: &Router) {
        laptop.ip(&["link", "del", "eth0"]);
        to.machine.plug("guest", laptop, "eth0");
        to.machine.ip(&["addr", "add", "10.200.0.1/24", "dev", "guest"]);
        laptop.ip(&["addr", "add", "10.200.0.2/24", "dev", "eth0"]);
        laptop.ip(&["route", "add", "default", "via", "10.200.0.1"]);
    }

    /// Gives a machine the next public address, on a device of this name.
    fn plug(&mut self, machine: &Namespace, device: &str) -> String {
        self.hosts += 1;
        let port = format!("port{}", self.hosts);
        let address = format!("{}.{}", self.net, self.hosts);
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
pub fn run(machine: &Namespace, name: &str, arguments: &[&str], input: &str) -> String {
    let output = process::run(name, &mut machine.command(&program(name, arguments)), input);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
