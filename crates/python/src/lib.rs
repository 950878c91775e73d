//! The extension `bascule.plane._plane`: contract messages in, contract messages out. Never calls Python back.

use bascule_contract::codec::{decode, encode};
use bascule_contract::explain::Question;
use bascule_contract::mark::Mark;
use bascule_contract::settings::Settings;
use bascule_contract::snapshot::Snapshot;
use bascule_contract::{CONTRACT_VERSION, schema};
use bascule_decide::random::Random;
use bascule_decide::table::{States, Table};
use bascule_decide::time::Tick;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::io;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Only the Rust side allocates here; Python keeps its own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

create_exception!(
    bascule.plane._plane,
    Refused,
    PyException,
    "A snapshot was refused; the only argument is the receipt's bytes."
);

/// The running data plane, as Python sees it. Every argument and answer is a contract message.
#[pyclass(frozen, module = "bascule.plane._plane")]
struct Plane(bascule_wire::Plane);

#[pymethods]
impl Plane {
    /// Starts the threads; they listen nowhere until a snapshot is applied.
    #[new]
    fn start(py: Python<'_>, settings: &[u8]) -> PyResult<Self> {
        let settings: Settings = decode(settings).map_err(PyValueError::new_err)?;
        py.detach(|| bascule_wire::Plane::start(&settings)).map(Self).map_err(PyOSError::new_err)
    }

    /// Takes certificates, keys and authorities that the next snapshot names.
    fn give(&self, py: Python<'_>, material: &[u8]) -> PyResult<()> {
        // What is wrong is not said: it could be a key.
        let material =
            decode(material).map_err(|_| PyValueError::new_err("the material is not understood"))?;
        py.detach(|| self.0.give(material)).map_err(PyValueError::new_err)
    }

    /// Takes copies of the listening sockets of a process before this one; the caller closes its own.
    fn inherit(&self, sockets: Vec<(String, Vec<RawFd>)>) -> PyResult<()> {
        let copies = |all: Vec<RawFd>| all.into_iter().map(copy_of).collect::<io::Result<_>>();
        let sockets = sockets.into_iter().map(|(name, all)| Ok((name, copies(all)?)));
        self.0.inherit(sockets.collect::<io::Result<_>>()?);
        Ok(())
    }

    /// Copies of all listening sockets, for a process after this one; the caller closes them.
    fn sockets(&self) -> PyResult<Vec<(String, Vec<RawFd>)>> {
        let raw = |all: Vec<OwnedFd>| all.into_iter().map(IntoRawFd::into_raw_fd).collect();
        let sockets = self.0.sockets()?;
        Ok(sockets.into_iter().map(|(name, all)| (name, raw(all))).collect())
    }

    /// A process after this one has taken the sockets over.
    fn bequeath(&self) {
        self.0.bequeath();
    }

    /// Makes `snapshot` live, or raises `Refused` and leaves the live one alone.
    fn apply<'py>(&self, py: Python<'py>, snapshot: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let snapshot = decode(snapshot).map_err(PyValueError::new_err)?;
        match py.detach(|| self.0.apply(snapshot)) {
            Ok(receipt) => Ok(PyBytes::new(py, &encode(&receipt))),
            Err(receipt) => Err(Refused::new_err(PyBytes::new(py, &encode(&receipt)).unbind())),
        }
    }

    /// Notes what was observed about endpoints.
    fn mark(&self, py: Python<'_>, marks: &[u8]) -> PyResult<()> {
        let marks: Vec<_> = decode(marks).map_err(PyValueError::new_err)?;
        py.detach(|| self.0.mark(&marks));
        Ok(())
    }

    /// All counters, now.
    fn stats<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let stats = py.detach(|| encode(&self.0.stats()));
        PyBytes::new(py, &stats)
    }

    /// What would become of a request now, and why.
    fn explain<'py>(&self, py: Python<'py>, question: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let question = decode(question).map_err(PyValueError::new_err)?;
        let explained = py.detach(|| self.0.explain(&question)).map_err(PyValueError::new_err)?;
        Ok(PyBytes::new(py, &encode(&explained)))
    }

    /// The oldest events, `limit` at most.
    fn events<'py>(&self, py: Python<'py>, limit: usize) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &encode(&self.0.events(limit)))
    }

    /// Readable when there are events: read it empty, then call `events`.
    fn wake_fd(&self) -> i32 {
        self.0.wake_fd()
    }

    /// Opens the access log again by its name.
    fn reopen_logs(&self) {
        self.0.reopen_logs();
    }

    /// Begins to stop and returns at once; `None` waits for exchanges in flight however long they take.
    fn stop(&self, grace_ms: Option<u64>) {
        self.0.stop(grace_ms.map(Duration::from_millis));
    }
}

#[allow(unsafe_code)]
fn copy_of(descriptor: RawFd) -> io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: it is borrowed for this call only, in which the caller holds it open; were it not, the system says so.
    unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned()
}

/// Must equal `bascule.contract.CONTRACT_VERSION`.
#[pyfunction]
fn contract_version() -> u32 {
    CONTRACT_VERSION
}

/// JSON Schema of every message, from the Rust types.
#[pyfunction]
fn contract_schema(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, &encode(&schema::every_message()))
}

/// Algorithms and matchers: name, summary, advice, option schema.
#[pyfunction]
fn catalog(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, &encode(&bascule_decide::catalog::catalog()))
}

/// What would become of a request if `snapshot` were live, and nothing but `marks` had happened yet.
#[pyfunction]
fn explain<'py>(
    py: Python<'py>,
    snapshot: &[u8],
    marks: &[u8],
    question: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let snapshot: Snapshot = decode(snapshot).map_err(PyValueError::new_err)?;
    let marks: Vec<Mark> = decode(marks).map_err(PyValueError::new_err)?;
    let question: Question = decode(question).map_err(PyValueError::new_err)?;
    let explained = py.detach(|| {
        let mut states = States::seeded(0);
        let table = Table::compile(&snapshot, &mut states).map_err(|all| all.join("; "))?;
        states.mark(&marks);
        let begun = (Tick(1), &mut Random::seeded(question.now_s));
        bascule_decide::explain::explain(&table, &snapshot, &question, begun)
    });
    Ok(PyBytes::new(py, &encode(&explained.map_err(PyValueError::new_err)?)))
}

#[pymodule]
fn _plane(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Plane>()?;
    module.add("Refused", module.py().get_type::<Refused>())?;
    module.add_function(wrap_pyfunction!(contract_version, module)?)?;
    module.add_function(wrap_pyfunction!(contract_schema, module)?)?;
    module.add_function(wrap_pyfunction!(catalog, module)?)?;
    module.add_function(wrap_pyfunction!(explain, module)?)?;
    Ok(())
}
