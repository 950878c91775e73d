//! How TLS is spoken to the endpoints of a pool: whom they must prove to be, and what we show them.

use crate::tls::material::Vault;
use bascule_contract::tls::PoolTls;
use bascule_decide::table::Target;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// Sessions that are remembered for each pool: several for each endpoint of a large one.
const SESSIONS: usize = 4096;

/// What a pool speaks TLS with. Shared by all threads, and so are the sessions that may be resumed.
#[derive(Debug)]
pub(crate) struct EndpointTls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl EndpointTls {
    pub(crate) fn new(
        wanted: &PoolTls,
        vault: &Vault,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        let builder = match &wanted.authorities {
            Some(id) => {
                let trusted = vault.authorities(id)?;
                let verifier = WebPkiServerVerifier::builder_with_provider(
                    Arc::clone(&trusted.roots),
                    Arc::clone(provider),
                )
                .with_crls(trusted.revoked.iter().cloned())
                .enforce_revocation_expiration();
                builder.with_webpki_verifier(verifier.build().map_err(|error| error.to_string())?)
            }
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAny(Arc::clone(provider)))),
        };
        let mut config = match &wanted.certificate {
            Some(id) => {
                let shown = SingleCertAndKey::from(vault.certificate(id)?);
                builder.with_client_cert_resolver(Arc::new(shown))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = wanted.alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        let name = |name: &String| {
            ServerName::try_from(name.clone()).map_err(|_| format!("\"{name}\" is not the name of a server"))
        };
        Ok(Self { config: Arc::new(config), server_name: wanted.server_name.as_ref().map(name).transpose()? })
    }

    /// Our side of a new connection to an endpoint.
    pub(crate) fn connect(&self, target: &Target) -> Result<ClientConnection, Error> {
        let name = match (&self.server_name, target) {
            (Some(name), _) => name.clone(),
            (None, Target::Tcp(address)) => ServerName::IpAddress(address.ip().into()),
            (None, Target::Unix(_)) => ServerName::try_from("localhost")
                .unwrap_or(ServerName::IpAddress(std::net::IpAddr::from([127, 0, 0, 1]).into())),
        };
        ClientConnection::new(Arc::clone(&self.config), name)
    }
}

/// For pools whose operator has turned verification off: signatures still count, names and issuers do not.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
