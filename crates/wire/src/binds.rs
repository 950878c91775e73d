//! Which sockets there are, and how a snapshot changes that: new ones first, old ones last, unchanged ones never touched.

use crate::client::accept::ListenerCounters;
use crate::client::bind::{Bound, Held, Port, SocketFile, name_of, port_of, set_mode};
use crate::tls::fault::Fault;
use crate::worker::Command;
use bascule_contract::flows::Carries;
use bascule_contract::receipt::{Bound as BoundReceipt, Receipt};
use bascule_contract::snapshot::{Bind, Listener, Snapshot};
use bascule_contract::stats::{FailedHandshakes, ListenerStats};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use tokio::sync::mpsc::UnboundedSender;

/// The ways to all threads.
pub(crate) type Threads = [UnboundedSender<Command>];

/// Sockets that are bound but not yet served, by the name of their bind: one for each thread (or more, where another
/// process has left more to us), and their file.
pub(crate) type Fresh = HashMap<String, (Vec<Bound>, Option<SocketFile>)>;

/// Listening sockets that go from one process to the next, by the name of their bind.
pub type Sockets = Vec<(String, Vec<OwnedFd>)>;

/// The sockets that are served now, and what was counted about each listener.
#[derive(Debug, Default)]
pub(crate) struct Binds {
    served: HashMap<String, Served>,
    /// Sockets that the threads have been told to close.
    closing: Vec<Weak<Held>>,
    counters: BTreeMap<String, Arc<ListenerCounters>>,
    /// What a process before us has left to us, until the first snapshot says what is wanted of it.
    inherited: HashMap<String, Vec<OwnedFd>>,
}

#[derive(Debug)]
struct Served {
    listener: String,
    address: String,
    held: Arc<Held>,
    file: Option<SocketFile>,
    /// The sockets that the threads serve, kept for a successor.
    sockets: Vec<OwnedFd>,
}

impl Binds {
    /// Binds what is not served yet and writes a line of the receipt for every bind. Changes nothing that is served.
    ///
    /// When the receipt has problems afterwards the caller drops the result with [`discard`].
    pub(crate) fn open(&self, snapshot: &Snapshot, threads: usize, receipt: &mut Receipt) -> Fresh {
        let mut fresh = Fresh::new();
        for listener in &snapshot.listeners {
            for (position, bind) in listener.binds.iter().enumerate() {
                let name = key_of(listener, position);
                let opened = match self.served.get(&name) {
                    Some(served) => Ok(served.address.clone()),
                    None => self.bind(bind, &name, listener.carries, threads).map(|bound| {
                        let address = bound.first().map(Bound::address).unwrap_or_default();
                        fresh.insert(name.clone(), (bound, SocketFile::of(bind)));
                        address
                    }),
                };
                if let Err(error) = &opened {
                    receipt
                        .problems
                        .push(format!("listener \"{}\" cannot bind {name}: {error}", listener.id));
                }
                let refused = opened.as_ref().err().map(ToString::to_string);
                receipt.binds.push(BoundReceipt {
                    listener: listener.id.clone(),
                    asked: asked(bind),
                    address: opened.ok(),
                    refused,
                });
            }
        }
        fresh
    }

    /// The sockets of a bind: those that were left to us, or new ones.
    fn bind(&self, bind: &Bind, name: &str, carries: Carries, threads: usize) -> io::Result<Vec<Bound>> {
        let Some(inherited) = self.inherited.get(name) else {
            return Bound::bind(bind, carries, threads, self.is_ours(port_of(bind)));
        };
        // All of them are served, however many threads we have: each may have somebody in its backlog.
        let count = inherited.len().max(threads);
        let sockets = inherited.iter().cycle().take(count);
        sockets.map(|socket| Ok(Bound::adopt(bind, socket.try_clone()?))).collect()
    }

    /// Takes the sockets of a process before us, for the first snapshot.
    pub(crate) fn inherit(&mut self, sockets: Sockets) {
        self.inherited = sockets.into_iter().filter(|(_, sockets)| !sockets.is_empty()).collect();
    }

    /// Copies of all sockets that are served, for a process after us.
    pub(crate) fn sockets(&self) -> io::Result<Sockets> {
        let copies =
            |served: &Served| served.sockets.iter().map(OwnedFd::try_clone).collect::<io::Result<_>>();
        self.served.iter().map(|(name, served)| Ok((name.clone(), copies(served)?))).collect()
    }

    /// The sockets are a successor's now: their files stay.
    pub(crate) fn bequeath(&mut self) {
        self.served.values_mut().for_each(|served| served.file = None);
    }

    /// Lets go of everything that is kept for a successor: the threads' sockets are the last.
    pub(crate) fn let_go(&mut self) {
        self.served.values_mut().for_each(|served| served.sockets.clear());
        self.inherited.clear();
    }

    /// Whether a socket of ours has this port, also one that is about to close.
    fn is_ours(&self, port: Port) -> bool {
        let served = self.served.values().any(|served| served.held.port == port);
        port.is_known()
            && (served
                || self.closing.iter().any(|held| held.upgrade().is_some_and(|held| held.port == port)))
    }

    /// Hands fresh sockets to the threads, takes those back that nobody wants, and renames the rest.
    pub(crate) fn hand_over(&mut self, snapshot: &Snapshot, mut fresh: Fresh, threads: &Threads) {
        self.closing.retain(|held| held.strong_count() > 0);
        self.inherited.clear();
        let mut unwanted: HashSet<String> = self.served.keys().cloned().collect();
        for listener in &snapshot.listeners {
            for (position, bind) in listener.binds.iter().enumerate() {
                let name = key_of(listener, position);
                unwanted.remove(&name);
                match fresh.remove(&name) {
                    Some(bound) => self.serve(&listener.id, name, bound, threads),
                    None => self.keep(&listener.id, &name, bind, threads),
                }
            }
        }
        for name in unwanted {
            if let Some(served) = self.served.remove(&name) {
                served.file.iter().for_each(SocketFile::remove);
                self.closing.push(Arc::downgrade(&served.held));
            }
            let bind: Arc<str> = name.into();
            tell(threads, || Command::Unlisten { bind: Arc::clone(&bind) });
        }
    }

    fn serve(
        &mut self,
        listener: &str,
        name: String,
        (bound, file): (Vec<Bound>, Option<SocketFile>),
        threads: &Threads,
    ) {
        let Some(first) = bound.first() else { return };
        let address = first.address();
        let held = Arc::new(Held { port: first.port() });
        let (id, bind): (Arc<str>, Arc<str>) = (listener.into(), name.as_str().into());
        let counters = self.counters_of(listener);
        // Without a copy there is one socket less for a successor, and nothing else.
        let sockets = bound.iter().filter_map(|bound| bound.copy().ok()).collect();
        for (thread, bound) in threads.iter().cycle().zip(bound) {
            let _ = thread.send(Command::Listen {
                bind: Arc::clone(&bind),
                listener: Arc::clone(&id),
                counters: Arc::clone(&counters),
                bound,
                held: Arc::clone(&held),
            });
        }
        self.served.insert(name, Served { listener: listener.to_owned(), address, held, file, sockets });
    }

    fn keep(&mut self, listener: &str, name: &str, bind: &Bind, threads: &Threads) {
        // The file may be gone: whoever removed it does not care for its mode either.
        let _ = set_mode(bind);
        let counters = self.counters_of(listener);
        let Some(served) = self.served.get_mut(name).filter(|served| served.listener != listener) else {
            return;
        };
        listener.clone_into(&mut served.listener);
        let (id, bind): (Arc<str>, Arc<str>) = (listener.into(), name.into());
        tell(threads, || Command::Rename {
            bind: Arc::clone(&bind),
            listener: Arc::clone(&id),
            counters: Arc::clone(&counters),
        });
    }

    fn counters_of(&mut self, listener: &str) -> Arc<ListenerCounters> {
        Arc::clone(self.counters.entry(listener.to_owned()).or_default())
    }

    /// Removes the socket files: the balancer stops.
    pub(crate) fn remove_files(&self) {
        self.served.values().filter_map(|served| served.file.as_ref()).for_each(SocketFile::remove);
    }

    /// What was counted, by listener.
    pub(crate) fn stats(&self) -> Vec<ListenerStats> {
        let stats = |(listener, counters): (&String, &Arc<ListenerCounters>)| ListenerStats {
            listener: listener.clone(),
            accepted: counters.accepted.load(Relaxed),
            open: counters.open.load(Relaxed),
            requests: counters.requests.load(Relaxed),
            in_flight: counters.in_flight.load(Relaxed),
            turned_away: counters.turned_away.load(Relaxed),
            refused_proxy_headers: counters.refused_proxy_headers.load(Relaxed),
            handshakes: counters.handshakes.load(Relaxed),
            resumed: counters.resumed.load(Relaxed),
            failed_handshakes: failed_handshakes(counters),
            tunnels: counters.tunnels.load(Relaxed),
            flows: counters.flows.load(Relaxed),
            datagrams: counters.datagrams.stats(),
        };
        self.counters.iter().map(stats).collect()
    }
}

fn failed_handshakes(counters: &ListenerCounters) -> Vec<FailedHandshakes> {
    let counts = counters.failed_handshakes.iter().map(|count| count.load(Relaxed));
    let failed = Fault::WORDS.iter().zip(counts).filter(|(_, count)| *count > 0);
    failed.map(|(reason, count)| FailedHandshakes { reason: (*reason).to_owned(), count }).collect()
}

/// Drops sockets that will not be served. Their files must not outlive the refusal.
pub(crate) fn discard(fresh: Fresh) {
    fresh.values().filter_map(|(_, file)| file.as_ref()).for_each(SocketFile::remove);
}

pub(crate) fn tell(threads: &Threads, command: impl Fn() -> Command) {
    for thread in threads {
        let _ = thread.send(command());
    }
}

/// What a bind's socket is kept by: its address, or, when the system chooses the port, whose it is.
fn key_of(listener: &Listener, position: usize) -> String {
    let name = name_of(&listener.binds[position], listener.carries);
    if name.ends_with(":0") { format!("{name} of {} {position}", listener.id) } else { name }
}

/// As an operator would write it.
fn asked(bind: &Bind) -> String {
    match bind {
        Bind::Tcp { address } => address.clone(),
        Bind::Udp { address } => format!("udp:{address}"),
        Bind::Unix { path, .. } => format!("unix:{path}"),
    }
}
