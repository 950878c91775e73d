//! Which endpoint of a pool a tag stands for, under every key that is accepted.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::balance::Slot;
use crate::sessions::cookie::IssuedCookies;
use crate::sessions::token::EndpointTag;

/// The tags of a pool's endpoints. Looking one up costs the same however many endpoints and keys there are.
#[derive(Debug)]
pub struct Tags {
    /// Under the first key, by slot.
    issued: Box<[EndpointTag]>,
    /// Under all keys. Whoever asks has shown that a key made the tag: no client can choose colliding ones.
    slots: HashMap<EndpointTag, Slot, FixedState>,
}

impl Tags {
    /// Computes the tags of `endpoints`: the ids of the pool's endpoints, by slot.
    pub fn compile<'a>(cookies: &IssuedCookies, endpoints: impl IntoIterator<Item = &'a str>) -> Self {
        let mut slots = HashMap::with_hasher(FixedState::default());
        let issued = (0..).map(Slot).zip(endpoints).map(|(slot, endpoint)| {
            let mut tags = cookies.tags_of(endpoint);
            let issued = tags.next();
            slots.extend(issued.into_iter().chain(tags).map(|tag| (tag, slot)));
            issued
        });
        Self { issued: issued.flatten().collect(), slots }
    }

    /// The endpoint that `tag` stands for; `None` when the pool has it no more.
    pub fn slot(&self, tag: EndpointTag) -> Option<Slot> {
        self.slots.get(&tag).copied()
    }

    /// What a cookie that is issued now calls the endpoint.
    ///
    /// # Panics
    /// When `slot` is none of the pool that this was compiled for.
    pub fn tag(&self, slot: Slot) -> EndpointTag {
        self.issued[slot.index()]
    }
}
