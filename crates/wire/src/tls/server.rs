//! How a listener speaks TLS: which certificate it shows, and what it asks of clients.

use crate::tls::material::Vault;
use bascule_contract::tls::{ListenerTls, TlsVersion};
use bascule_decide::server_names::ServerNames;
use rustls::crypto::CryptoProvider;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};
use std::sync::Arc;

/// What a listener speaks TLS with.
#[derive(Debug)]
pub(crate) struct ServerTls {
    config: Arc<ServerConfig>,
    choice: Arc<Choice>,
}

impl ServerTls {
    pub(crate) fn new(
        wanted: &ListenerTls,
        vault: &Vault,
        ticketer: Option<Arc<dyn ProducesTickets>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let choice = Arc::new(Choice::new(wanted, vault)?);
        let versions: &[_] = match wanted.oldest {
            TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider));
        let builder = builder.with_protocol_versions(versions).map_err(|error| error.to_string())?;
        let builder = match &wanted.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let trusted = vault.authorities(&clients.authorities)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(
                    Arc::clone(&trusted.roots),
                    Arc::clone(provider),
                )
                .with_crls(trusted.revoked.iter().cloned())
                // Once there are lists, one of them must speak of the client's certificate, and be fresh.
                .only_check_end_entity_revocation()
                .enforce_revocation_expiration();
                let verifier = if clients.required { verifier } else { verifier.allow_unauthenticated() };
                let verifier =
                    verifier.build().map_err(|error| format!("authorities of clients: {error}"))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&choice) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = wanted.alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        // Ours: AES-128 is as good as AES-256 against anything that is known, and cheaper on both sides.
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match ticketer {
            Some(ticketer) => config.ticketer = ticketer,
            None => config.send_tls13_tickets = 0,
        }
        Ok(Self { config: Arc::new(config), choice })
    }

    /// Our side of a new connection.
    pub(crate) fn accept(&self) -> Result<ServerConnection, rustls::Error> {
        ServerConnection::new(Arc::clone(&self.config))
    }

    /// Whether a client that asked for `server_name` in the handshake was shown a certificate that is not for `host`,
    /// while there is one that is: it has taken one connection for another (RFC 9110, 7.4 and 15.5.20).
    pub(crate) fn is_misdirected(&self, server_name: &str, host: &str) -> bool {
        if host == server_name {
            return false;
        }
        let meant = self.choice.names.find(host);
        !meant.is_empty() && !self.choice.candidates(Some(server_name)).iter().any(|one| meant.contains(one))
    }
}

/// Certificates and for whom they are.
#[derive(Debug)]
struct Choice {
    names: ServerNames,
    keys: Vec<Arc<CertifiedKey>>,
    defaults: Vec<usize>,
}

impl Choice {
    fn new(wanted: &ListenerTls, vault: &Vault) -> Result<Self, String> {
        let keys =
            wanted.certificates.iter().map(|one| vault.certificate(&one.id)).collect::<Result<_, _>>()?;
        let position = |id: &String| wanted.certificates.iter().position(|one| one.id == *id);
        let defaults = wanted
            .defaults
            .iter()
            .map(|id| position(id).ok_or_else(|| format!("the default {id} is not among the certificates")));
        let names = wanted.certificates.iter().map(|one| one.names.iter().map(String::as_str));
        Ok(Self { names: ServerNames::new(names), keys, defaults: defaults.collect::<Result<_, _>>()? })
    }

    fn candidates(&self, server_name: Option<&str>) -> &[usize] {
        let named = server_name.map(|name| self.names.find(name));
        named.filter(|named| !named.is_empty()).unwrap_or(&self.defaults)
    }
}

impl ResolvesServerCert for Choice {
    /// The first that the client can verify. `None` ends the handshake.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let candidates = self.candidates(hello.server_name());
        let suits =
            |position: &&usize| self.keys[**position].key.choose_scheme(hello.signature_schemes()).is_some();
        // One that does not suit makes rustls say what is missing.
        let position = candidates.iter().find(suits).or_else(|| candidates.first())?;
        Some(Arc::clone(&self.keys[*position]))
    }
}
