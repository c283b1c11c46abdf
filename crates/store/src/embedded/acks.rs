//! Tells authors what became of their commits.

use std::io;
use std::sync::mpsc::{SendError, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::{CommitError, Revision};

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, CommitError>>;
/// Answers that are true once the changes admitted with them are durable.
pub(crate) type Answers = Vec<(Result<Revision, CommitError>, Reply<Revision>)>;

/// More answers than this are given by a thread of their own.
const BY_THE_WRITER: usize = 4;

/// Gives answers. Waking many authors takes about as long as syncing their commits, so that happens
/// while the writer goes on.
pub(crate) struct Acks {
    queue: Option<Sender<Answers>>,
    thread: Option<JoinHandle<()>>,
}

impl Acks {
    pub(crate) fn spawn() -> io::Result<Self> {
        let (queue, batches) = channel::<Answers>();
        let thread = std::thread::Builder::new()
            .name("store-acks".into())
            .spawn(move || batches.iter().for_each(give))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    pub(crate) fn send(&self, answers: Answers) {
        match &self.queue {
            Some(queue) if answers.len() > BY_THE_WRITER => {
                if let Err(SendError(answers)) = queue.send(answers) {
                    give(answers);
                }
            }
            _ => give(answers),
        }
    }
}

impl Drop for Acks {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn give(answers: Answers) {
    for (answer, reply) in answers {
        // The caller may have left.
        let _ = reply.send(answer);
    }
}
