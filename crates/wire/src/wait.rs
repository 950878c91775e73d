//! A request waits for room at an endpoint of its pool.

use crate::answer::Answer;
use crate::exchange::Exchange;
use crate::forward::Failed;
use crate::leg::Held;
use crate::local::LocalTable;
use crate::tries::Course;
use std::rc::Rc;

/// Waits in the pool's queue until an endpoint has room, or it has been too long.
pub(crate) async fn wait_for_room(
    _exchange: &mut Exchange<'_>,
    _table: &Rc<LocalTable>,
    _course: &Course,
) -> Result<Held, Failed> {
    Err(Failed::Client(Answer::Shed))
}
