//! How far a conversation is: what was asked, and what was answered.

/// Datagrams of one flow, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Talk {
    /// After so many answers to each datagram it has ended; `None`: only silence ends it.
    responses: Option<u32>,
    asked: u64,
    answered: u64,
}

impl Talk {
    /// Nothing has been said yet.
    pub fn new(responses: Option<u32>) -> Self {
        Self { responses, asked: 0, answered: 0 }
    }

    /// The client has sent so many datagrams.
    pub fn ask(&mut self, count: u64) {
        self.asked += count;
    }

    /// The endpoint has sent so many datagrams.
    pub fn answer(&mut self, count: u64) {
        self.answered += count;
    }

    /// Answers that may still come; all others are not for the client.
    pub fn owed(&self) -> u64 {
        let owed = |each: u32| self.asked.saturating_mul(each.into()).saturating_sub(self.answered);
        self.responses.map_or(u64::MAX, owed)
    }

    /// The endpoint has answered something.
    pub fn is_answered(&self) -> bool {
        self.answered > 0
    }

    /// All answers that were to be expected have come. A client that asks twice gets both answers.
    pub fn is_complete(&self) -> bool {
        self.owed() == 0
    }

    /// An answer was to come, and none has: that speaks against the endpoint.
    pub fn is_ignored(&self) -> bool {
        !self.is_answered() && self.responses.is_some_and(|each| each > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::Talk;

    fn after(responses: Option<u32>, asked: u64, answered: u64) -> Talk {
        let mut talk = Talk::new(responses);
        talk.ask(asked);
        talk.answer(answered);
        talk
    }

    #[test]
    fn a_conversation_is_complete_when_every_question_has_its_answers() {
        assert!(!after(Some(1), 1, 0).is_complete());
        assert!(after(Some(1), 1, 1).is_complete());
        assert!(!after(Some(1), 2, 1).is_complete(), "the client asked again: both answers are its own");
        assert!(after(Some(2), 2, 4).is_complete());
        assert!(after(Some(0), 1, 0).is_complete(), "nothing was expected");
        assert!(!after(None, 1, 1_000).is_complete(), "only silence ends it");
    }

    #[test]
    fn no_more_answers_are_owed_than_were_asked_for() {
        assert_eq!(after(Some(2), 3, 1).owed(), 5);
        assert_eq!(after(Some(1), 1, 9).owed(), 0);
        assert_eq!(after(None, 1, 9).owed(), u64::MAX);
    }

    #[test]
    fn only_an_answer_that_was_to_come_is_missed() {
        assert!(after(Some(1), 1, 0).is_ignored());
        assert!(!after(Some(1), 2, 1).is_ignored());
        assert!(!after(Some(0), 1, 0).is_ignored());
        assert!(!after(None, 1, 0).is_ignored());
    }
}
