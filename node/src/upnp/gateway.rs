//! A router that opens ports on request (UPnP InternetGatewayDevice, WANIPConnection:1 and :2): what it is asked, and what it answers.
//!
//! Anybody on the network could be the one who answers. So it is spoken with on its own address only, each answer is bounded in size and time,
//! and what it says is believed only as far as it could be true.

use std::net::Ipv4Addr;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderName};
use url::Url;

use super::search::is_at;
use super::xml::{elements, text};
use super::{Port, Transport};

/// One question and its answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer: descriptions have ten thousand or so.
const MAX_ANSWER: usize = 128 * 1024;
/// Services of one description that are tried.
const MAX_SERVICES: usize = 4;
/// The services that map ports, the best first.
const SERVICES: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];
/// What the router's owner sees of a mapping.
const DESCRIPTION: &str = "peer-to-peer";
const SOAP_ACTION: HeaderName = HeaderName::from_static("soapaction");

/// Error codes of WANIPConnection, section 2.7.
pub(super) const CONFLICT: u16 = 718;
pub(super) const ONLY_PERMANENT: u16 = 725;

/// A router did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It says why.
    #[error("the router refuses it: error {0}")]
    Error(u16),
    /// No answer that makes sense.
    #[error("the router does not answer as it should: {0}")]
    Nonsense(String),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Gateway {
    client: reqwest::Client,
    control: Url,
    service: String,
    /// Where we are on its network.
    local: Ipv4Addr,
}

impl Gateway {
    /// The services of whoever describes itself there that map ports, the best first.
    pub(super) async fn at(location: &Url, local: Ipv4Addr) -> Result<Vec<Self>, Refused> {
        // Nothing is encrypted here, but the client wants to know how.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent("snug")
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .http1_only()
            .timeout(TIMEOUT)
            .local_address(std::net::IpAddr::from(local))
            .tls_certs_only(std::iter::empty())
            .build()
            .map_err(nonsense)?;
        let description = body(client.get(location.clone()).send().await.map_err(nonsense)?).await?;
        let controls = controls(&description, location);
        let gateway = |(service, control)| Self {
            client: client.clone(),
            control,
            service,
            local,
        };
        Ok(controls.into_iter().map(gateway).collect())
    }

    /// The router itself, for people.
    pub(super) fn host(&self) -> &str {
        self.control.host_str().unwrap_or_default()
    }

    /// Its address on the other side.
    pub(super) async fn external_address(&self) -> Result<Ipv4Addr, Refused> {
        let answer = self.ask("GetExternalIPAddress", "").await?;
        let address = text(&answer, "NewExternalIPAddress").unwrap_or_default();
        address
            .parse()
            .map_err(|_| Refused::Nonsense("it has no address on the other side".to_owned()))
    }

    /// Leads a port of the router's to one of ours, for so many seconds, 0 for good.
    pub(super) async fn open(&self, port: Port, external: u16, seconds: u32) -> Result<(), Refused> {
        let Port { transport, number } = port;
        let arguments = format!(
            "<NewRemoteHost></NewRemoteHost><NewExternalPort>{external}</NewExternalPort><NewProtocol>{}</NewProtocol>\
             <NewInternalPort>{number}</NewInternalPort><NewInternalClient>{}</NewInternalClient><NewEnabled>1</NewEnabled>\
             <NewPortMappingDescription>{DESCRIPTION}</NewPortMappingDescription><NewLeaseDuration>{seconds}</NewLeaseDuration>",
            name(transport),
            self.local
        );
        self.ask("AddPortMapping", &arguments).await.map(drop)
    }

    /// Leads it there no more.
    pub(super) async fn close(&self, transport: Transport, external: u16) -> Result<(), Refused> {
        let arguments = format!(
            "<NewRemoteHost></NewRemoteHost><NewExternalPort>{external}</NewExternalPort><NewProtocol>{}</NewProtocol>",
            name(transport)
        );
        self.ask("DeletePortMapping", &arguments).await.map(drop)
    }

    async fn ask(&self, action: &str, arguments: &str) -> Result<String, Refused> {
        let service = &self.service;
        let envelope = format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body><u:{action} xmlns:u=\"{service}\">{arguments}</u:{action}>\
             </s:Body></s:Envelope>\r\n"
        );
        let request = self.client.post(self.control.clone()).body(envelope);
        let request = request
            .header(CONTENT_TYPE, "text/xml; charset=\"utf-8\"")
            .header(SOAP_ACTION, format!("\"{service}#{action}\""));
        let response = request.send().await.map_err(nonsense)?;
        let status = response.status();
        let answer = body(response).await?;
        if status.is_success() {
            return Ok(answer);
        }
        match text(&answer, "errorCode").and_then(|code| code.parse().ok()) {
            Some(code) => Err(Refused::Error(code)),
            None => Err(Refused::Nonsense(status.to_string())),
        }
    }
}

fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "TCP",
        Transport::Quic => "UDP",
    }
}

fn nonsense(error: reqwest::Error) -> Refused {
    Refused::Nonsense(error.without_url().to_string())
}

async fn body(mut response: reqwest::Response) -> Result<String, Refused> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(nonsense)? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(Refused::Nonsense("too much".to_owned()));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| Refused::Nonsense("no text".to_owned()))
}

/// What maps ports by a description, with where it is asked: on the same machine only.
fn controls(description: &str, location: &Url) -> Vec<(String, Url)> {
    let base = text(description, "URLBase").and_then(|base| Url::parse(&base).ok());
    let base = base.unwrap_or_else(|| location.clone());
    let machine = match location.host() {
        Some(url::Host::Ipv4(machine)) => machine,
        _ => return Vec::new(),
    };
    let services = elements(description, "service").filter_map(|service| {
        let kind = text(service, "serviceType")?;
        let control = base.join(&text(service, "controlURL")?).ok()?;
        let rank = SERVICES.iter().position(|known| **known == kind)?;
        is_at(&control, machine.into()).then_some((rank, kind, control))
    });
    let mut services: Vec<_> = services.take(MAX_SERVICES).collect();
    services.sort_by_key(|(rank, ..)| *rank);
    services.into_iter().map(|(_, kind, control)| (kind, control)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(kind: &str, control: &str) -> String {
        format!("<service><serviceType>{kind}</serviceType><controlURL>{control}</controlURL></service>")
    }

    fn found(description: &str) -> Vec<String> {
        let location = Url::parse("http://192.168.1.1:5000/rootDesc.xml").unwrap();
        let controls = controls(description, &location);
        controls.into_iter().map(|(_, control)| control.to_string()).collect()
    }

    #[test]
    fn services_that_map_ports_are_found_the_best_first() {
        let description = format!(
            "<root><device><serviceList>{}{}{}</serviceList></device></root>",
            service("urn:schemas-upnp-org:service:Layer3Forwarding:1", "/ctl/L3F"),
            service(SERVICES[2], "/ctl/PPP"),
            service(SERVICES[1], "ctl/IP?a=1&amp;b=2"),
        );
        assert_eq!(
            found(&description),
            [
                "http://192.168.1.1:5000/ctl/IP?a=1&b=2",
                "http://192.168.1.1:5000/ctl/PPP"
            ]
        );
        let based = format!("<root><URLBase>http://192.168.1.1:80/x/</URLBase>{description}</root>");
        assert_eq!(found(&based)[0], "http://192.168.1.1/x/ctl/IP?a=1&b=2");
    }

    #[test]
    fn a_description_sends_us_nowhere_else() {
        for control in [
            "http://192.168.1.2/ctl",
            "https://192.168.1.1/ctl",
            "http://127.0.0.1:631/",
            "//10.0.0.1/",
        ] {
            assert!(found(&service(SERVICES[1], control)).is_empty(), "{control}");
        }
        let based = format!("<URLBase>http://10.0.0.9/</URLBase>{}", service(SERVICES[1], "/ctl"));
        assert!(found(&based).is_empty());
        assert!(found("").is_empty() && found("<service><serviceType>").is_empty());
        let many: String = (0..100).map(|_| service(SERVICES[1], "/ctl")).collect();
        assert_eq!(found(&many).len(), MAX_SERVICES);
    }
}
