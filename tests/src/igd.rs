//! Routers that open ports on request (UPnP): one of our own, and Debian's miniupnpd where it is at hand.

use std::path::{Path, PathBuf};

use crate::home::Home;
use crate::internet::{Router, run};
use crate::process::Process;

/// What a router runs.
#[derive(Clone, Debug)]
pub enum Igd {
    /// `igd.py`, which does what a router does and no more.
    Small,
    /// The program that most routers with Linux run.
    Miniupnpd(PathBuf),
}

impl Igd {
    /// The miniupnpd that `MINIUPNPD` names (`tests/run.sh` gets one). `None` is told on standard error.
    pub fn miniupnpd() -> Option<Self> {
        let path = std::env::var_os("MINIUPNPD").filter(|path| !path.is_empty());
        if path.is_none() {
            eprintln!("skipped: no miniupnpd here (MINIUPNPD names one; tests/run.sh gets it where there is apt-get)");
        }
        Some(Self::Miniupnpd(path?.into()))
    }

    /// Starts it on a router. It runs until that value is dropped.
    pub fn start(&self, router: &Router, home: &Home) -> Process {
        let Router { machine, lan, wan } = router;
        match self {
            Self::Small => {
                let script = home.secret("igd.py", include_str!("igd.py"));
                let mut command = home.bare(Path::new("python3"));
                command.arg(script).args([lan, wan]);
                let igd = Process::start("igd", &mut machine.command(&command));
                igd.wait_line("`ready`", 0, |line| (line.text == "ready").then_some(()));
                igd
            }
            Self::Miniupnpd(program) => {
                run(machine, "nft", &["-f", "-"], CHAINS);
                let net = lan.rsplit_once('.').map_or("", |(net, _)| net);
                let settings = format!(
                    "ext_ifname=wan\nlistening_ip=lan\nhttp_port=5000\nenable_upnp=yes\nsecure_mode=yes\nipv6_disable=yes\n\
                     uuid=8c5e4a5c-2d6a-4d4c-9d5a-1f2e3d4c5b6a\nallow 1024-65535 {net}.0/24 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n"
                );
                let settings = home.secret("miniupnpd.conf", &settings);
                let mut command = home.bare(program);
                command.arg("-d").arg("-f").arg(settings).arg("-P");
                command.arg(home.path().join("miniupnpd.pid"));
                // It says nothing on standard output, and is searched for until it answers.
                Process::start("miniupnpd", &mut machine.command(&command))
            }
        }
    }
}

/// What miniupnpd fills with rules.
const CHAINS: &str = "add table inet filter
    add chain inet filter miniupnpd
    add chain inet filter prerouting_miniupnpd
    add chain inet filter postrouting_miniupnpd
    add chain inet filter forward { type filter hook forward priority 10; }
    add rule inet filter forward jump miniupnpd
    add chain inet filter prerouting { type nat hook prerouting priority -100; }
    add rule inet filter prerouting jump prerouting_miniupnpd
    add chain inet filter postrouting { type nat hook postrouting priority 100; }
    add rule inet filter postrouting jump postrouting_miniupnpd
";
