//! Answers of upstream servers, kept for as long as they allow.

use std::collections::HashMap;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

/// Entries kept; the ones that end first make room.
const CAPACITY: usize = 4096;
/// Longest time an answer is kept.
const MAX_TTL: u32 = 3600;
/// Longest time a denial is kept.
const MAX_NEGATIVE_TTL: u32 = 30;

/// A question: name in lower case, type, and whether signatures were wanted.
pub(crate) type Question = (Name, RecordType, bool);

/// Answers by question.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<HashMap<Question, Entry>>);

#[derive(Debug)]
struct Entry {
    answer: Message,
    stored: Instant,
    until: Instant,
}

impl Cache {
    /// An answer that still holds, its times to live reduced by its age.
    pub(crate) fn get(&self, question: &Question) -> Option<Message> {
        let mut entries = self.0.lock();
        let entry = entries.get(question)?;
        let now = Instant::now();
        if entry.until <= now {
            entries.remove(question);
            return None;
        }
        let age = now.duration_since(entry.stored).as_secs() as u32;
        let mut answer = entry.answer.clone();
        let Message { answers, authorities, additionals, .. } = &mut answer;
        for record in answers.iter_mut().chain(authorities).chain(additionals) {
            record.ttl = record.ttl.saturating_sub(age);
        }
        Some(answer)
    }

    /// Keeps an answer where it may be kept.
    pub(crate) fn put(&self, question: Question, answer: &Message) {
        let Some(ttl) = lifetime(answer).filter(|ttl| *ttl > 0) else { return };
        let stored = Instant::now();
        let until = stored + Duration::from_secs(ttl.into());
        let mut entries = self.0.lock();
        if entries.len() >= CAPACITY {
            entries.retain(|_, entry| entry.until > stored);
        }
        if entries.len() >= CAPACITY {
            let first = entries.iter().min_by_key(|(_, entry)| entry.until);
            if let Some(question) = first.map(|(question, _)| question.clone()) {
                entries.remove(&question);
            }
        }
        entries.insert(question, Entry { answer: answer.clone(), stored, until });
    }
}

/// Seconds for which an answer holds; `None` for one that says nothing lasting.
fn lifetime(answer: &Message) -> Option<u32> {
    if answer.metadata.truncation {
        return None;
    }
    match answer.metadata.response_code {
        ResponseCode::NoError if !answer.answers.is_empty() => {
            answer.answers.iter().map(|record| record.ttl).min().map(|ttl| ttl.min(MAX_TTL))
        }
        ResponseCode::NoError | ResponseCode::NXDomain => {
            // RFC 2308: the lesser of the SOA's own time to live and its minimum.
            answer.authorities.iter().find_map(|record| match &record.data {
                RData::SOA(soa) => Some(record.ttl.min(soa.minimum).min(MAX_NEGATIVE_TTL)),
                _ => None,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::{MessageType, OpCode};
    use hickory_proto::rr::Record;

    fn question(name: &str) -> Question {
        (Name::from_ascii(name).unwrap(), RecordType::A, false)
    }

    fn answer(ttl: u32) -> Message {
        let mut message = Message::new(1, MessageType::Response, OpCode::Query);
        let name = Name::from_ascii("a.").unwrap();
        message.add_answer(Record::from_rdata(
            name,
            ttl,
            std::net::Ipv4Addr::new(10, 0, 0, 1).into(),
        ));
        message
    }

    #[tokio::test(start_paused = true)]
    async fn answers_age_and_end() {
        let cache = Cache::default();
        cache.put(question("a."), &answer(10));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(cache.get(&question("a.")).unwrap().answers[0].ttl, 6);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(cache.get(&question("a.")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_not_kept_and_the_size_is_bounded() {
        let cache = Cache::default();
        let mut failed = answer(10);
        failed.metadata.response_code = ResponseCode::ServFail;
        cache.put(question("f."), &failed);
        assert!(cache.get(&question("f.")).is_none());
        for number in 0..CAPACITY + 10 {
            cache.put(question(&format!("n{number}.")), &answer(100 + number as u32));
        }
        assert_eq!(cache.0.lock().len(), CAPACITY);
        assert!(cache.get(&question("n0.")).is_none() && cache.get(&question("n20.")).is_some());
    }
}
