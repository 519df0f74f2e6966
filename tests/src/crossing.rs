//! Hosts on networks of their own around one router, on which routes can be cut and packets held up.

use std::path::Path;
use std::process::Command;

use crate::home::Home;
use crate::internet::run;
use crate::netns::Namespace;
use crate::process::Process;

/// The port that hosts are to listen on for [`Crossing::hold_up`].
pub const PORT: u16 = 4001;

/// See the module. The host of number N, from 1, is 10.N.0.2.
#[derive(Debug)]
pub struct Crossing {
    router: Namespace,
    /// The hosts.
    pub hosts: Vec<Namespace>,
}

impl Crossing {
    /// With so many hosts.
    pub fn new(count: u8) -> Self {
        let router = Namespace::new();
        let hosts = (1..=count)
            .map(|number| {
                let (host, device) = (Namespace::new(), format!("to{number}"));
                router.plug(&device, &host, "eth0");
                let net = format!("10.{number}.0");
                router.ip(&["addr", "add", &format!("{net}.1/24"), "dev", &device]);
                host.ip(&["addr", "add", &format!("{net}.2/24"), "dev", "eth0"]);
                host.ip(&["route", "add", "default", "via", &format!("{net}.1")]);
                host
            })
            .collect();
        run(&router, "sh", &["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], "");
        Self { router, hosts }
    }

    /// Nothing comes to that host any more, though what it sends goes out; or everything does again.
    pub fn cut(&self, host: usize, is_cut: bool) {
        let route = format!("10.{host}.0.2/32");
        let act = if is_cut { "add" } else { "del" };
        self.router.ip(&["route", act, "blackhole", &route]);
    }

    /// Holds every packet between the two hosts up, each for as long as chance says, so that they overtake each other; a few come twice. Gives the
    /// process that does: a line for each hundred packets, with how many came after one that was sent later.
    pub fn hold_up(&self, home: &Home) -> Process {
        let rules = format!(
            "add table ip held
             add chain ip held in {{ type nat hook prerouting priority -100; }}
             add rule ip held in udp dport {PORT} redirect to :9000
            "
        );
        run(&self.router, "nft", &["-f", "-"], &rules);
        let script = home.secret("hold_up.py", include_str!("hold_up.py"));
        let mut command: Command = home.bare(Path::new("python3"));
        command.arg(script).arg(PORT.to_string());
        let process = Process::start("hold-up", &mut self.router.command(&command));
        process.wait_line("`ready`", 0, |line| (line.text == "ready").then_some(()));
        process
    }
}
