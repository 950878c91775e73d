//! Certificates, keys and authorities, by the ids that snapshots name them by.

use bascule_contract::snapshot::Snapshot;
use bascule_contract::tls::Material;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// Whom to trust.
pub(crate) struct Authorities {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) revoked: Vec<CertificateRevocationListDer<'static>>,
}

/// Everything that was given and is still named.
#[derive(Default)]
pub(crate) struct Vault {
    certificates: HashMap<String, Arc<CertifiedKey>>,
    authorities: HashMap<String, Arc<Authorities>>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("certificates", &self.certificates.len()).finish_non_exhaustive()
    }
}

impl Vault {
    /// Takes material in; what is here already is not read again. No fault says anything of a key.
    pub(crate) fn give(&mut self, material: Vec<Material>) -> Result<(), String> {
        for one in material {
            match one {
                Material::Certificate { id, chain, key } => {
                    let fault = |what| format!("certificate {id}: {what}");
                    if let Entry::Vacant(place) = self.certificates.entry(id.clone()) {
                        place.insert(Arc::new(certificate(&chain, &key.0).map_err(fault)?));
                    }
                }
                Material::Authorities { id, certificates, revoked } => {
                    let fault = |what| format!("authorities {id}: {what}");
                    if let Entry::Vacant(place) = self.authorities.entry(id.clone()) {
                        place.insert(Arc::new(authorities(&certificates, &revoked).map_err(fault)?));
                    }
                }
            }
        }
        Ok(())
    }

    pub(crate) fn certificate(&self, id: &str) -> Result<Arc<CertifiedKey>, String> {
        self.certificates.get(id).cloned().ok_or_else(|| format!("certificate {id} was not given"))
    }

    pub(crate) fn authorities(&self, id: &str) -> Result<Arc<Authorities>, String> {
        self.authorities.get(id).cloned().ok_or_else(|| format!("authorities {id} were not given"))
    }

    /// Drops what this snapshot does not name.
    pub(crate) fn keep_only(&mut self, snapshot: &Snapshot) {
        let listeners = || snapshot.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        let pools = || snapshot.pools.iter().filter_map(|pool| pool.tls.as_ref());
        let served = listeners().flat_map(|tls| tls.certificates.iter().map(|one| one.id.as_str()));
        let challenges = listeners().flat_map(|tls| tls.challenges.iter().map(|one| one.id.as_str()));
        let shown = pools().filter_map(|tls| tls.certificate.as_deref());
        let certificates: HashSet<&str> = served.chain(shown).chain(challenges).collect();
        let of_clients = listeners().filter_map(|tls| Some(tls.clients.as_ref()?.authorities.as_str()));
        let of_endpoints = pools().filter_map(|tls| tls.authorities.as_deref());
        let authorities: HashSet<&str> = of_clients.chain(of_endpoints).collect();
        self.certificates.retain(|id, _| certificates.contains(id.as_str()));
        self.authorities.retain(|id, _| authorities.contains(id.as_str()));
    }
}

fn certificate(chain: &str, key: &str) -> Result<CertifiedKey, String> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| "the chain is not PEM".to_owned())?;
    if chain.is_empty() {
        return Err("the chain holds no certificate".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "the key is not PEM".to_owned())?;
    let key = any_supported_type(&key).map_err(|_| "keys of this kind are not supported".to_owned())?;
    let certified = CertifiedKey::new(chain, key);
    // Nobody can verify those that prove a name to an authority: their critical extension is known to none but it.
    if !certified.end_entity_cert().is_ok_and(is_challenge) {
        certified.keys_match().map_err(|error| format!("the key does not fit: {error}"))?;
    }
    Ok(certified)
}

/// Whether it has the extension `acmeIdentifier` (RFC 8737, 3; here in DER).
fn is_challenge(certificate: &CertificateDer<'_>) -> bool {
    const IDENTIFIER: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1f];
    certificate.windows(IDENTIFIER.len()).any(|bytes| bytes == IDENTIFIER)
}

fn authorities(certificates: &str, revoked: &str) -> Result<Authorities, String> {
    let mut roots = RootCertStore::empty();
    let read = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|_| "not PEM".to_owned())?;
    // The systems' own bundles hold oddities that nobody needs.
    let (added, _) = roots.add_parsable_certificates(read);
    if added == 0 {
        return Err("none of them can be used".to_owned());
    }
    let revoked =
        CertificateRevocationListDer::pem_slice_iter(revoked.as_bytes()).collect::<Result<Vec<_>, _>>();
    let revoked = revoked.map_err(|_| "a revocation list is not PEM".to_owned())?;
    Ok(Authorities { roots: Arc::new(roots), revoked })
}
