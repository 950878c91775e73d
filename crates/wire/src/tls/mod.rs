//! TLS, on both sides: what there is to show and to trust, and what is said with it on a socket.

pub(crate) mod endpoint;
pub(crate) mod fault;
pub(crate) mod material;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod tickets;

use bascule_contract::snapshot::Snapshot;
use bascule_contract::tls::{ListenerTls, Material, PoolTls};
use endpoint::EndpointTls;
use material::Vault;
use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, ProtocolVersion};
use server::ServerTls;
use std::collections::HashMap;
use std::sync::Arc;
use tickets::Ticketers;

/// What the listeners and pools of one table speak TLS with, by their positions.
#[derive(Debug, Default)]
pub(crate) struct Secured {
    listeners: Vec<Option<Arc<ServerTls>>>,
    pools: Vec<Option<Arc<EndpointTls>>>,
}

impl Secured {
    pub(crate) fn listener(&self, position: usize) -> Option<&Arc<ServerTls>> {
        self.listeners.get(position)?.as_ref()
    }

    pub(crate) fn pool(&self, position: usize) -> Option<&Arc<EndpointTls>> {
        self.pools.get(position)?.as_ref()
    }
}

/// What outlives snapshots: material, keys of tickets, and whatever did not change.
#[derive(Debug)]
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    vault: Vault,
    ticketers: Ticketers,
    listeners: HashMap<String, (ListenerTls, Arc<ServerTls>)>,
    pools: HashMap<String, (PoolTls, Arc<EndpointTls>)>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            provider: Arc::new(provider()),
            vault: Vault::default(),
            ticketers: Ticketers::default(),
            listeners: HashMap::new(),
            pools: HashMap::new(),
        }
    }
}

/// Everything that rustls thinks good, the cheapest first.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        let is_cheap = matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        );
        (suite.version().version != ProtocolVersion::TLSv1_3, !is_cheap)
    });
    provider
}

impl Tls {
    /// Takes material in. All of it, or the first fault.
    pub(crate) fn give(&mut self, material: Vec<Material>) -> Result<(), String> {
        self.vault.give(material)
    }

    /// Prepares what the snapshot asks for, or says everything that is wrong with it. What did not change is the same
    /// as before, with all that it has learnt.
    pub(crate) fn compile(&mut self, snapshot: &Snapshot) -> Result<Secured, Vec<String>> {
        let (mut secured, mut problems) = (Secured::default(), Vec::new());
        for listener in &snapshot.listeners {
            let compiled =
                listener.tls.as_ref().map(|wanted| self.listener(&listener.id, wanted)).transpose();
            secured.listeners.push(compiled.unwrap_or_else(|problem| {
                problems.push(format!("listener \"{}\", tls: {problem}", listener.id));
                None
            }));
        }
        for pool in &snapshot.pools {
            let compiled = pool.tls.as_ref().map(|wanted| self.pool(&pool.id, wanted)).transpose();
            secured.pools.push(compiled.unwrap_or_else(|problem| {
                problems.push(format!("pool \"{}\", tls: {problem}", pool.id));
                None
            }));
        }
        if problems.is_empty() { Ok(secured) } else { Err(problems) }
    }

    fn listener(&mut self, id: &str, wanted: &ListenerTls) -> Result<Arc<ServerTls>, String> {
        if let Some((_, same)) = self.listeners.get(id).filter(|(before, _)| before == wanted) {
            return Ok(Arc::clone(same));
        }
        let ticketer = self.ticketers.ticketer(id, wanted)?;
        let compiled = Arc::new(ServerTls::new(wanted, &self.vault, ticketer, &self.provider)?);
        self.listeners.insert(id.to_owned(), (wanted.clone(), Arc::clone(&compiled)));
        Ok(compiled)
    }

    fn pool(&mut self, id: &str, wanted: &PoolTls) -> Result<Arc<EndpointTls>, String> {
        if let Some((_, same)) = self.pools.get(id).filter(|(before, _)| before == wanted) {
            return Ok(Arc::clone(same));
        }
        let compiled = Arc::new(EndpointTls::new(wanted, &self.vault, &self.provider)?);
        self.pools.insert(id.to_owned(), (wanted.clone(), Arc::clone(&compiled)));
        Ok(compiled)
    }

    /// Drops what the live snapshot does not name.
    pub(crate) fn forget_unused(&mut self, live: &Snapshot) {
        self.listeners.retain(|id, _| live.listeners.iter().any(|it| it.id == *id && it.tls.is_some()));
        self.pools.retain(|id, _| live.pools.iter().any(|it| it.id == *id && it.tls.is_some()));
        self.ticketers.keep_only(live.listeners.iter().map(|listener| listener.id.as_str()));
        self.vault.keep_only(live);
    }
}
