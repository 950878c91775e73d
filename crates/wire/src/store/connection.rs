//! A connection to a store: opened, signed in, and closed for good when it is dropped.

use bascule_contract::sessions::Store;
use bascule_contract::snapshot::Address;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, RedisConnectionInfo, RedisError};
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

/// An open connection. Questions of all requests of a thread travel on it together.
pub(super) struct Connection {
    pub(super) multiplexed: MultiplexedConnection,
    /// How often the store had failed when it was opened.
    pub(super) failures_before: u64,
    driver: JoinHandle<()>,
}

/// Why a store did not answer.
#[derive(Debug)]
pub(super) enum Failure {
    Connect(io::Error),
    SignIn(RedisError),
    Answer(RedisError),
    /// Not within so many milliseconds.
    Silent(u64),
}

impl Connection {
    /// Connects and signs in. The caller limits the time.
    pub(super) async fn open(store: &Store, failures_before: u64) -> Result<Self, Failure> {
        match &store.address {
            Address::Tcp { address } => {
                let stream = TcpStream::connect(address).await.map_err(Failure::Connect)?;
                stream.set_nodelay(true).map_err(Failure::Connect)?;
                Self::sign_in(store, stream, failures_before).await
            }
            Address::Unix { path } => {
                let stream = UnixStream::connect(path).await.map_err(Failure::Connect)?;
                Self::sign_in(store, stream, failures_before).await
            }
        }
    }

    async fn sign_in(
        store: &Store,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        failures_before: u64,
    ) -> Result<Self, Failure> {
        let mut settings = RedisConnectionInfo::default()
            .set_db(store.database.into())
            .set_lib_name("bascule", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &store.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &store.password {
            settings = settings.set_password(&password.0);
        }
        // Who asks limits the time.
        let ways = AsyncConnectionConfig::new().set_response_timeout(None);
        let (multiplexed, driver) =
            MultiplexedConnection::new_with_config(&settings, stream, ways).await.map_err(Failure::SignIn)?;
        let driver = tokio::task::spawn_local(driver);
        Ok(Self { multiplexed, failures_before, driver })
    }

    /// False once the store has closed it.
    pub(super) fn is_open(&self) -> bool {
        !self.driver.is_finished()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // It would write the rest of the questions first, for ever if nobody reads them.
        self.driver.abort();
    }
}

impl Failure {
    /// In words for the operator. Some servers repeat what they were sent: the password is never shown.
    pub(super) fn describe(&self, store: &Store) -> String {
        let place = match &store.address {
            Address::Tcp { address } => address.clone(),
            Address::Unix { path } => format!("unix:{path}"),
        };
        let text = match self {
            Self::Connect(error) => format!("cannot connect to {place}: {error}"),
            Self::SignIn(error) if error.kind() == ErrorKind::AuthenticationFailed => {
                format!("{place} does not let us in: it has no such user and password")
            }
            Self::SignIn(error) => format!("{place} does not let us in: {error}"),
            Self::Answer(error) => format!("{place} answered: {error}"),
            Self::Silent(wait_ms) => format!("{place} has not answered within {wait_ms}ms"),
        };
        match store.password.as_ref().filter(|password| !password.0.is_empty()) {
            Some(password) => text.replace(&password.0, "…"),
            None => text,
        }
    }
}
