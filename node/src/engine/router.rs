//! The task that has the home's router open a port, as the actor sees it.

use libp2p::Multiaddr;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::UpnpState;
use super::actor::Actor;
use crate::upnp;

/// See the module.
pub(super) struct Router {
    listening: watch::Sender<Vec<Multiaddr>>,
    mapped: mpsc::Receiver<Vec<Multiaddr>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Router {
    /// Asks for what leads to these addresses, and to those of which it is told later.
    pub(super) fn start(listening: Vec<Multiaddr>) -> Self {
        let (listening, known) = watch::channel(listening);
        let (sender, mapped) = mpsc::channel(upnp::MAPPED);
        let stop = CancellationToken::new();
        let task = tokio::spawn(upnp::run(known, sender, stop.clone()));
        Self {
            listening,
            mapped,
            stop,
            task,
        }
    }

    /// Where we listen now.
    pub(super) fn tell(&self, addresses: &[Multiaddr]) {
        self.listening.send_if_modified(|known| {
            let is_news = known != addresses;
            if is_news {
                *known = addresses.to_vec();
            }
            is_news
        });
    }
}

impl Actor {
    /// Whether a router leads to us.
    pub(super) fn upnp(&self) -> UpnpState {
        match &self.router {
            None => UpnpState::Off,
            Some(_) if self.net.is_mapped() => UpnpState::Mapped,
            Some(_) => UpnpState::None,
        }
    }
}

/// All addresses that the router leads to us, when they change.
pub(super) async fn mapped(router: &mut Option<Router>) -> Vec<Multiaddr> {
    let Some(Router { mapped, .. }) = router else {
        return std::future::pending().await;
    };
    match mapped.recv().await {
        Some(addresses) => addresses,
        // It ends only with us.
        None => std::future::pending().await,
    }
}

/// Has the router close what it opened, for two seconds at most.
pub(super) async fn end(router: Option<Router>) {
    let Some(Router {
        listening,
        mapped,
        stop,
        task,
    }) = router
    else {
        return;
    };
    stop.cancel();
    drop((listening, mapped));
    if let Err(error) = task.await {
        tracing::error!(%error, "the task that asks the router failed");
    }
}
