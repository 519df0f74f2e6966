//! What may change while the server runs, and the one place where it changes.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use ipnet::IpNet;

use super::{Config, Limits, Log, Registration};
use crate::error::StartError;
use crate::registration::Tokens;

/// The settings that a reload (SIGHUP) applies at once; the others need a new start.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub limits: Limits,
    pub registration: MayRegister,
    pub insecure_registration: bool,
    pub trusted_proxies: Vec<IpNet>,
    pub idle_room_days: u32,
    pub log: Log,
}

/// Who may make rooms, with the tokens read.
#[derive(Clone, Debug)]
pub(crate) enum MayRegister {
    Anybody,
    Nobody,
    Holders(Tokens),
}

impl Live {
    /// Reads the token file, if there is one.
    pub fn of(config: &Config) -> Result<Self, StartError> {
        Ok(Self {
            limits: config.limits.clone(),
            registration: match &config.registration {
                Registration::Open => MayRegister::Anybody,
                Registration::Closed => MayRegister::Nobody,
                Registration::Token { file } => MayRegister::Holders(read_tokens(file)?),
            },
            insecure_registration: config.insecure_registration,
            trusted_proxies: config.trusted_proxies.clone(),
            idle_room_days: config.idle_room_days,
            log: config.log,
        })
    }
}

fn read_tokens(file: &Path) -> Result<Tokens, StartError> {
    Tokens::read(file).map_err(|reason| StartError::TokenFile {
        path: file.to_owned(),
        reason,
    })
}

/// Hands out the present [`Live`]; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct LiveConfig(Arc<RwLock<Arc<Live>>>);

impl LiveConfig {
    pub fn new(live: Live) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(live))))
    }

    /// As it is now. Ask once a request, so that a request sees one state.
    pub fn get(&self) -> Arc<Live> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn set(&self, live: Live) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
    }
}
