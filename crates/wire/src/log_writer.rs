//! The thread that writes the access log, so that no exchange ever waits for a disk. Does nothing while the log is off.

use crate::events::Events;
use bascule_contract::event::What;
use bascule_contract::snapshot::{AccessLog, AccessLogFormat};
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Batches of lines on their way to the writer before lines are dropped.
const QUEUE: usize = 1024;
/// How long the end of the process waits for lines that cannot be written.
const PATIENCE: Duration = Duration::from_secs(1);

const FORMATS: [Option<AccessLogFormat>; 3] =
    [None, Some(AccessLogFormat::Json), Some(AccessLogFormat::Combined)];

/// Which log a line belongs to: a reload may replace it while lines of the old one are on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogId(u64);

impl LogId {
    /// `None` while the log is off.
    pub(crate) fn format(self) -> Option<AccessLogFormat> {
        FORMATS[(self.0 % FORMATS.len() as u64) as usize]
    }
}

/// The way to the writer thread; shared by all threads.
#[derive(Debug)]
pub(crate) struct LogWriter {
    to_writer: Sender<Order>,
    /// The id of the log that lines are to be written for now.
    current: AtomicU64,
    queued: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Order {
    Lines { lines: Vec<u8>, count: u64, log: LogId },
    Open(LogId, Option<AccessLog>),
    Reopen,
    Flushed(Sender<()>),
}

impl LogWriter {
    pub(crate) fn start(events: Arc<Events>) -> io::Result<Self> {
        let (to_writer, orders) = channel();
        let (queued, lost) = (Arc::<AtomicUsize>::default(), Arc::<AtomicU64>::default());
        let mut writing = Writing {
            queued: Arc::clone(&queued),
            lost: Arc::clone(&lost),
            events,
            failed: false,
            open: Vec::new(),
        };
        thread::Builder::new().name("bascule-log".to_owned()).spawn(move || writing.run(&orders))?;
        Ok(Self { to_writer, current: AtomicU64::new(0), queued, lost })
    }

    /// Whether the log can be written, before anything depends on it.
    pub(crate) fn check(wanted: &AccessLog) -> io::Result<()> {
        open(wanted).map(drop)
    }

    pub(crate) fn open(&self, wanted: Option<AccessLog>) {
        let format = wanted.as_ref().map(|log| log.format);
        let position = FORMATS.iter().position(|known| *known == format).unwrap_or(0) as u64;
        let formats = FORMATS.len() as u64;
        let id = (self.current.load(Relaxed) / formats + 1) * formats + position;
        // First the writer, then the threads: no line comes for a log that is not open.
        let _ = self.to_writer.send(Order::Open(LogId(id), wanted));
        self.current.store(id, Relaxed);
    }

    /// The log that is on now.
    pub(crate) fn current(&self) -> LogId {
        LogId(self.current.load(Relaxed))
    }

    /// Opens the file again by its name, after a rotation.
    pub(crate) fn reopen(&self) {
        let _ = self.to_writer.send(Order::Reopen);
    }

    /// Never waits: a writer that cannot keep up loses lines, not requests.
    pub(crate) fn lines(&self, lines: Vec<u8>, count: u64, log: LogId) {
        if self.queued.load(Relaxed) >= QUEUE {
            self.lost.fetch_add(count, Relaxed);
            return;
        }
        self.queued.fetch_add(1, Relaxed);
        let _ = self.to_writer.send(Order::Lines { lines, count, log });
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Waits until all that was sent before is written, but not for ever.
    pub(crate) fn flush(&self) {
        let (done, waiting) = channel();
        if self.to_writer.send(Order::Flushed(done)).is_ok() {
            let _ = waiting.recv_timeout(PATIENCE);
        }
    }
}

/// Where lines go.
#[derive(Debug)]
enum Place {
    Nowhere,
    StandardOutput,
    File(File),
}

impl Place {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::StandardOutput => io::stdout().lock().write_all(lines),
            Self::File(file) => file.write_all(lines),
        }
    }
}

/// What the writer thread knows.
struct Writing {
    queued: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
    events: Arc<Events>,
    failed: bool,
    /// The log of now, last, and the one before it, for lines that were on their way.
    open: Vec<(LogId, Option<AccessLog>, Place)>,
}

impl Writing {
    fn run(&mut self, orders: &Receiver<Order>) {
        for order in orders {
            let done = match order {
                Order::Lines { lines, count, log } => self.write(&lines, count, log),
                Order::Open(id, wanted) => self.replace(id, wanted),
                Order::Reopen => self.reopen(),
                Order::Flushed(done) => {
                    let _ = done.send(());
                    continue;
                }
            };
            // One event per stretch of failures: a full disk must not also fill the ring.
            match done {
                Err(error) if !self.failed => {
                    self.failed = true;
                    self.events.add(What::LogFailed { reason: error.to_string() });
                }
                Err(_) => {}
                Ok(()) => self.failed = false,
            }
        }
    }

    fn write(&mut self, lines: &[u8], count: u64, log: LogId) -> io::Result<()> {
        self.queued.fetch_sub(1, Relaxed);
        let place = self.open.iter_mut().find(|(id, _, _)| *id == log).map(|(_, _, place)| place);
        let written = place.map_or(Err(io::ErrorKind::NotFound.into()), |place| place.write(lines));
        if written.is_err() {
            self.lost.fetch_add(count, Relaxed);
        }
        written
    }

    fn replace(&mut self, id: LogId, wanted: Option<AccessLog>) -> io::Result<()> {
        let opened = wanted.as_ref().map_or(Ok(Place::Nowhere), open);
        let (place, result) = match opened {
            Ok(place) => (place, Ok(())),
            Err(error) => (Place::Nowhere, Err(error)),
        };
        self.open.push((id, wanted, place));
        if self.open.len() > 2 {
            self.open.remove(0);
        }
        result
    }

    fn reopen(&mut self) -> io::Result<()> {
        let Some((_, Some(wanted), place)) = self.open.last_mut() else { return Ok(()) };
        *place = open(wanted)?;
        Ok(())
    }
}

/// Opens without waiting: a pipe that nobody reads is refused, and one whose reader is stuck loses lines.
fn open(wanted: &AccessLog) -> io::Result<Place> {
    let Some(path) = &wanted.path else { return Ok(Place::StandardOutput) };
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let opened = OpenOptions::new().append(true).create(true).custom_flags(flags).open(path);
    opened.map(Place::File).map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => {
            io::Error::other("it is a pipe that nobody reads; start its reader first")
        }
        _ => error,
    })
}
