//! What can go wrong, on demand.

use std::sync::Mutex;
use std::time::Duration;

use super::error::Refusal;

/// Something that goes wrong once (or as often as it says), with whichever session gets there first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A COPY (into the table of this name, if one is given) fails when half of its rows are read.
    CopyFails { table: Option<String> },
    /// The connection closes after a COMMIT has been carried out and before its answer.
    CommitAnswerLost,
    /// The connection closes before the statement that contains this text, of which nothing is carried out.
    ClosedBefore(String),
    /// The same, but the server takes so long to notice: until then the session and its locks stay, unless it is ended.
    ClosedUnnoticed(String, Duration),
    /// So many COMMITs fail by a serializable isolation violation, and their transactions with them.
    ConflictAtCommit { times: usize },
    /// The statement that contains this text fails by a serializable isolation violation.
    ConflictAt(String),
    /// The statement that contains this text fails with this SQLSTATE and message.
    RefusedAt(String, &'static str, &'static str),
    /// The statement that contains this text first waits so long; it can be cancelled meanwhile. A transaction that has
    /// read nothing yet sees what there was when it began to wait.
    Wait(String, Duration),
    /// A login is asked for the SHA-256 digest of its password, by a message that only Redshift's own drivers know.
    DigestDemanded,
}

#[derive(Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub fn add(&self, fault: Fault) {
        self.0.lock().unwrap().push(fault);
    }

    /// How many have not happened yet.
    pub fn pending(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub fn copy(&self, table: &str) -> bool {
        let is_it = |fault: &Fault| match fault {
            Fault::CopyFails { table: Some(name) } => name == table,
            Fault::CopyFails { table: None } => true,
            _ => false,
        };
        self.take(is_it).is_some()
    }

    pub fn commit_answer(&self) -> bool {
        self.take(|fault| *fault == Fault::CommitAnswerLost).is_some()
    }

    pub fn closed_before(&self, text: &str) -> bool {
        let is_it =
            |fault: &Fault| matches!(fault, Fault::ClosedBefore(part) if text.contains(part));
        self.take(is_it).is_some()
    }

    pub fn unnoticed(&self, text: &str) -> Option<Duration> {
        let is_it =
            |fault: &Fault| matches!(fault, Fault::ClosedUnnoticed(part, _) if text.contains(part));
        match self.take(is_it) {
            Some(Fault::ClosedUnnoticed(_, duration)) => Some(duration),
            _ => None,
        }
    }

    pub fn conflict_at_commit(&self) -> bool {
        let mut faults = self.0.lock().unwrap();
        for at in 0..faults.len() {
            if let Fault::ConflictAtCommit { times } = &mut faults[at] {
                *times = times.saturating_sub(1);
                if *times == 0 {
                    faults.remove(at);
                }
                return true;
            }
        }
        false
    }

    pub fn conflict_at(&self, text: &str) -> bool {
        let is_it = |fault: &Fault| matches!(fault, Fault::ConflictAt(part) if text.contains(part));
        self.take(is_it).is_some()
    }

    pub fn refused_at(&self, text: &str) -> Option<Refusal> {
        let is_it =
            |fault: &Fault| matches!(fault, Fault::RefusedAt(part, ..) if text.contains(part));
        match self.take(is_it) {
            Some(Fault::RefusedAt(_, code, message)) => Some(Refusal::new(code, message)),
            _ => None,
        }
    }

    pub fn wait(&self, text: &str) -> Option<Duration> {
        let is_it = |fault: &Fault| matches!(fault, Fault::Wait(part, _) if text.contains(part));
        match self.take(is_it) {
            Some(Fault::Wait(_, duration)) => Some(duration),
            _ => None,
        }
    }

    pub fn digest(&self) -> bool {
        self.take(|fault| *fault == Fault::DigestDemanded).is_some()
    }

    fn take(&self, mut is_it: impl FnMut(&Fault) -> bool) -> Option<Fault> {
        let mut faults = self.0.lock().unwrap();
        let at = faults.iter().position(&mut is_it)?;
        Some(faults.remove(at))
    }
}
