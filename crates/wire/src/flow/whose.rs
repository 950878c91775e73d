//! Stage 1 where connections are passed on by another balancer, and stage 3 where an endpoint is told whose they are: PROXY
//! headers, or the client's address itself.

use crate::client::announced::hear;
use crate::deadline::Deadline;
use crate::endpoint::connect::NotConnected;
use crate::flow::Guest;
use crate::flow::hello::Hello;
use bascule_contract::proxy_protocol::Announce;
use bascule_decide::table::Target;
use std::net::IpAddr;
use tokio::time::Instant;

const OTHER_FAMILY: &str =
    "the pool is transparent, and the client's address is of another family than the endpoint's";
const NO_ADDRESS: &str = "the pool is transparent, and the client has no address";

impl Guest {
    /// Reads the PROXY header, and takes the client that it names for the one whose connection this is. False: there is
    /// none to be relied on, or that client has connections enough.
    pub(super) async fn hear_whose(&mut self, until: Instant) -> bool {
        let mut deadline = Deadline::default();
        deadline.set(until);
        match hear(&self.socket, &self.worker, &mut deadline).await {
            Ok(client) => {
                self.peer = self.peer.named(client);
                self.told.is_of(self.peer.ip);
                self.arrival.take_seat(&self.acceptor, &self.peer)
            }
            Err(missing) => {
                missing.count(&self.worker, &self.acceptor, &self.peer);
                false
            }
        }
    }

    /// The header that tells an endpoint whose flow it is.
    pub(super) fn announcement(&self, announce: &Announce, hello: &Hello) -> Vec<u8> {
        let own_id = format!("{}-{:x}", self.worker.name, self.serial);
        self.peer.announcement(announce, self.socket.local_address(), hello.spoken(), &own_id)
    }

    /// The address that a connection to an endpoint is to come from, where that is the client's.
    ///
    /// # Errors
    /// The endpoint cannot be reached from there.
    pub(super) fn origin(&self, target: &Target) -> Result<Option<IpAddr>, NotConnected> {
        let Target::Tcp(endpoint) = target else { return Ok(None) };
        match self.peer.ip {
            Some(ip) if ip.is_ipv4() == endpoint.is_ipv4() => Ok(Some(ip)),
            Some(_) => Err(NotConnected::for_client(OTHER_FAMILY)),
            None => Err(NotConnected::for_client(NO_ADDRESS)),
        }
    }
}
