//! Every algorithm that ships.

use super::{
    Registration, fastest, first, hash, least_busy, prequal, random, round_robin, two_choices,
    weighted_round_robin,
};

/// In the order in which the catalogue shows them; the default comes first.
pub static ALGORITHMS: &[Registration] = &[
    fastest::REGISTRATION,
    least_busy::REGISTRATION,
    two_choices::REGISTRATION,
    round_robin::REGISTRATION,
    weighted_round_robin::REGISTRATION,
    random::REGISTRATION,
    prequal::REGISTRATION,
    hash::REGISTRATION,
    first::REGISTRATION,
];

/// The algorithm of this name, or a sentence that names them all.
pub fn find(name: &str) -> Result<&'static Registration, String> {
    ALGORITHMS.iter().find(|it| it.name == name).ok_or_else(|| {
        let names: Vec<_> = ALGORITHMS.iter().map(|it| it.name).collect();
        format!("unknown algorithm \"{name}\"; there are {}", names.join(", "))
    })
}
