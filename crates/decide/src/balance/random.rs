//! Any endpoint, each as often as its weight says.

use super::shares::Shares;
use super::{Algorithm, Candidates, Key, Random, Registration, Slot, no_options, refuse_options};

pub(super) const REGISTRATION: Registration = Registration {
    name: "random",
    summary: "Use any endpoint, each with a chance in proportion to its weight.",
    advice: "Good for very many short and equal requests, and as a yardstick for the others. It knows nothing of load: \
             at 80 % use some endpoints have long queues while others are idle, so prefer least_busy for nearly everything.",
    follows_weights: true,
    options: no_options,
    build: |_pool, options| {
        refuse_options(options)?;
        Ok(Box::new(Weighted::default()))
    },
};

#[derive(Default)]
struct Weighted {
    shares: Shares,
}

impl Algorithm for Weighted {
    fn pick(&mut self, among: &Candidates<'_>, _key: Key, random: &mut Random) -> Option<Slot> {
        self.shares.draw(among, random)
    }
}
