//! How a TLS handshake failed: a word to count it by, and what to tell an operator.

use rustls::{CertificateError, Error, PeerIncompatible};
use std::io;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident => $word:literal,)*) => {
        /// Why a handshake with a client failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            pub(crate) const WORDS: &[&str] = &[$($word,)*];
        }
    };
}

faults! {
    /// It did not end in time.
    TimedOut => "timed_out",
    /// The client went away.
    Closed => "closed",
    /// The client spoke HTTP in the clear.
    PlainHttp => "plain_http",
    /// No certificate is for the name that it asked for.
    UnknownName => "unknown_name",
    /// No version, cipher or signature that both sides know.
    NothingInCommon => "nothing_in_common",
    /// It showed no certificate, or one that is not good.
    ClientCertificate => "client_certificate",
    /// The client did not like what it saw.
    RefusedByClient => "refused_by_client",
    /// What it sent is not TLS, or not as it should be.
    Malformed => "malformed",
}

impl Fault {
    /// Sorts what went wrong; `first` is the first byte that the client sent.
    pub(crate) fn of(error: &io::Error, first: Option<u8>) -> Self {
        // A record of a handshake begins with 22; a method with a capital letter.
        if first.is_some_and(|byte| byte.is_ascii_uppercase()) {
            return Self::PlainHttp;
        }
        match cause(error) {
            None => Self::Closed,
            Some(Error::NoCertificatesPresented | Error::InvalidCertificate(_)) => Self::ClientCertificate,
            Some(Error::PeerIncompatible(PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon)) => {
                Self::ClientCertificate
            }
            Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => Self::NothingInCommon,
            Some(Error::AlertReceived(_)) => Self::RefusedByClient,
            // What rustls says when no certificate is chosen.
            Some(Error::General(_)) => Self::UnknownName,
            Some(_) => Self::Malformed,
        }
    }
}

fn cause(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// What an operator reads about it.
pub(crate) fn in_words(error: &io::Error) -> String {
    match cause(error) {
        Some(Error::General(_)) => "no certificate is for the name that the client asked for".to_owned(),
        Some(cause) => cause.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "the peer closed the connection".to_owned(),
        None => error.to_string(),
    }
}

/// Why an endpoint could not be spoken to, for the log of exchanges.
pub(crate) fn of_endpoint(error: &io::Error) -> &'static str {
    match cause(error) {
        None => "the endpoint closed the connection during the TLS handshake",
        Some(Error::InvalidCertificate(certificate)) => of_certificate(certificate),
        Some(Error::AlertReceived(_)) => "the endpoint refused the TLS handshake",
        Some(Error::PeerIncompatible(_)) => "the endpoint speaks no version or cipher of TLS that we speak",
        Some(Error::InvalidMessage(_)) => "the endpoint does not speak TLS",
        Some(_) => "the TLS handshake failed",
    }
}

fn of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the endpoint's certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the endpoint's certificate is not valid yet"
        }
        CertificateError::Revoked => "the endpoint's certificate is revoked",
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            "no fresh revocation list speaks of the endpoint's certificate, or of an authority above it"
        }
        CertificateError::UnknownIssuer => {
            "the endpoint's certificate is not from an authority that is trusted"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the endpoint's certificate is for another name"
        }
        _ => "the endpoint's certificate cannot be used",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid(error: Error) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    #[test]
    fn http_in_the_clear_is_told_from_noise_by_its_first_byte() {
        let error = || invalid(Error::DecryptError);
        assert_eq!(Fault::of(&error(), Some(b'G')), Fault::PlainHttp);
        assert_eq!(Fault::of(&error(), Some(22)), Fault::Malformed);
        assert_eq!(Fault::of(&io::ErrorKind::UnexpectedEof.into(), None), Fault::Closed);
    }

    #[test]
    fn every_fault_has_a_word_of_its_own() {
        let words: std::collections::HashSet<_> = Fault::WORDS.iter().collect();
        assert_eq!(words.len(), Fault::Malformed as usize + 1);
    }
}
