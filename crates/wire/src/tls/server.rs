//! How a listener speaks TLS: which certificate it shows, and what it asks of clients.

use crate::tls::material::Vault;
use bascule_contract::tls::{ListenerTls, ServedCertificate, TlsVersion};
use bascule_decide::server_names::ServerNames;
use rustls::crypto::CryptoProvider;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};
use std::sync::Arc;

/// What authorities speak that look whether a name is ours: a handshake and nothing else (RFC 8737).
pub(crate) const CHALLENGE: &[u8] = b"acme-tls/1";

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
                // Once there are lists, fresh ones must speak of every certificate below the trusted one.
                .enforce_revocation_expiration();
                let verifier = if clients.required { verifier } else { verifier.allow_unauthenticated() };
                let verifier =
                    verifier.build().map_err(|error| format!("authorities of clients: {error}"))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&choice) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = wanted.alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        if !wanted.challenges.is_empty() {
            config.alpn_protocols.push(CHALLENGE.to_vec());
        }
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
    challenges: ServerNames,
    challenge_keys: Vec<Arc<CertifiedKey>>,
}

impl Choice {
    fn new(wanted: &ListenerTls, vault: &Vault) -> Result<Self, String> {
        let given = |some: &[ServedCertificate]| {
            some.iter().map(|one| vault.certificate(&one.id)).collect::<Result<Vec<_>, _>>()
        };
        let names = |some: &[ServedCertificate]| {
            ServerNames::new(some.iter().map(|one| one.names.iter().map(String::as_str)))
        };
        let position = |id: &String| wanted.certificates.iter().position(|one| one.id == *id);
        let defaults = wanted
            .defaults
            .iter()
            .map(|id| position(id).ok_or_else(|| format!("the default {id} is not among the certificates")));
        Ok(Self {
            names: names(&wanted.certificates),
            keys: given(&wanted.certificates)?,
            defaults: defaults.collect::<Result<_, _>>()?,
            challenges: names(&wanted.challenges),
            challenge_keys: given(&wanted.challenges)?,
        })
    }

    fn candidates(&self, server_name: Option<&str>) -> &[usize] {
        let named = server_name.map(|name| self.names.find(name));
        named.filter(|named| !named.is_empty()).unwrap_or(&self.defaults)
    }

    /// What proves to an authority that the name which it asks for is ours. Never shown to anybody else.
    fn challenge(&self, server_name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        // The newest: what an earlier order has left behind proves nothing any more.
        let position = self.challenges.find(server_name?).last()?;
        Some(Arc::clone(&self.challenge_keys[*position]))
    }
}

/// Whether the client is an authority that looks whether a name is ours.
fn looks_for_a_challenge(hello: &ClientHello<'_>) -> bool {
    let mut offered = hello.alpn().into_iter().flatten();
    offered.next() == Some(CHALLENGE) && offered.next().is_none()
}

impl ResolvesServerCert for Choice {
    /// The first that the client can verify. `None` ends the handshake.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if looks_for_a_challenge(&hello) {
            return self.challenge(hello.server_name());
        }
        let candidates = self.candidates(hello.server_name());
        let suits =
            |position: &&usize| self.keys[**position].key.choose_scheme(hello.signature_schemes()).is_some();
        // One that does not suit makes rustls say what is missing.
        let position = candidates.iter().find(suits).or_else(|| candidates.first())?;
        Some(Arc::clone(&self.keys[*position]))
    }
}
