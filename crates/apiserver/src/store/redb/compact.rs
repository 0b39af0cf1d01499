//! Compaction: the file is written anew, with what is in it and nothing else.
//!
//! redb reuses the pages of what was removed and never gives them back, and what was in them stays readable until then: the
//! keys and Secrets of a deleted cluster too. A new file has neither. Nothing is written while it is made, so in a running
//! server only small stores are compacted, which takes a fraction of a second; larger ones are at their next start.

use std::sync::Arc;

use ::redb::{Database, StorageError as RedbError};

use super::tables::{self, Tables};
use super::{OpenError, Problem, Redb, explain, guarded};
use crate::store::storage::StorageError;

/// A file that is this much larger than what is in it is worth being compacted.
const SLACK_BYTES: u64 = 16 << 20;
/// And this many times as large.
const SLACK_FACTOR: u64 = 3;
/// Largest content that is compacted while others wait to write.
const MAX_LIVE_BYTES: u64 = 32 << 20;

impl Redb {
    pub(super) fn is_compaction_due(&self, at_start: bool) -> bool {
        let Some(length) = self.medium.length() else {
            return false;
        };
        if !at_start && self.live_bytes > MAX_LIVE_BYTES {
            return false;
        }
        self.has_dropped || length > SLACK_BYTES + SLACK_FACTOR * self.live_bytes
    }

    /// Puts a new file in the place of the old one. After an error the old one is as it was.
    pub(super) fn rewrite(&mut self) -> Result<(), StorageError> {
        let old = self.take()?;
        let path = self.path.clone();
        let (medium, migrations) = (&mut self.medium, self.migrations);
        let made = guarded(&path, "compacting", || {
            let new = medium.create_successor().map_err(|error| match error {
                OpenError::File(error) => Problem::File(error),
                OpenError::Database(error) => error.into(),
            })?;
            fill(&old, &new, migrations)?;
            Ok(new)
        });
        let new = match made {
            Ok(new) => new,
            Err(error) => {
                self.database = Some(old);
                self.medium.discard_successor();
                return Err(error);
            }
        };
        if let Err(error) = self.medium.succeed() {
            // It is unknown which file is there now: whichever it is, it is opened by its name.
            drop((old, new));
            return Err(explain(&path, "compacting", RedbError::Io(error).into()));
        }
        let readers = std::mem::take(&mut self.readers);
        if Arc::strong_count(&readers) > 1 {
            self.retired.push((Arc::downgrade(&readers), old));
        }
        self.database = Some(new);
        self.has_dropped = false;
        Ok(())
    }
}

fn fill(old: &Database, new: &Database, migrations: &[tables::Migration]) -> Result<(), Problem> {
    tables::prepare(new, migrations)?;
    Tables::open(old)?.copy_to(new)
}
