//! Where the first claim of a partition starts: the decision of rule C4, without any I/O.

use crate::adapters::kafka::start_from::StartFrom;

const PREFIX: &str = "tidemill uid=";

/// Metadata of our commits: they say whose they are.
pub fn mark(uid: &str) -> String {
    format!("{PREFIX}{uid}")
}

/// Uid of the source whose commit this is; `None` for a commit that is not by Tidemill.
pub fn owner_of(metadata: &str) -> Option<&str> {
    metadata.strip_prefix(PREFIX)
}

/// What the group has committed for a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    pub offset: i64,
    pub metadata: String,
}

/// What to do for a partition that has no progress row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// An earlier consumer of this group got here: go on behind it.
    Adopt(i64),
    /// Nobody was here: look the offset up.
    Find(StartFrom),
    /// The text says why, and the way out.
    Park(String),
}

/// Decides. `first_claim`: the source itself is new, so `start_from` holds; partitions added later start at their beginning.
pub fn decide(commit: Option<&Commit>, uid: &str, start_from: StartFrom, first_claim: bool) -> Decision {
    match commit {
        None if first_claim => Decision::Find(start_from),
        None => Decision::Find(StartFrom::Earliest),
        Some(commit) => match owner_of(&commit.metadata) {
            None => Decision::Adopt(commit.offset),
            Some(theirs) if theirs == uid => Decision::Park(format!(
                "its progress row is missing, but the group holds our commit of offset {}: the database lost rows. Restore it, \
                 or set the position, see docs/operations.md",
                commit.offset
            )),
            Some(_) => Decision::Park(format!(
                "the group holds a commit of offset {} by another source of Tidemill: this database is not the one that knows it. \
                 Connect to that one, choose another group, or set the position, see docs/operations.md",
                commit.offset
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c4_first_offset_is_decided_never_reset() {
        let commit = |offset, metadata: &str| Some(Commit { offset, metadata: metadata.into() });
        let decided = |commit: Option<Commit>, first| decide(commit.as_ref(), "u1", StartFrom::Latest, first);
        assert_eq!(decided(None, true), Decision::Find(StartFrom::Latest));
        assert_eq!(decided(None, false), Decision::Find(StartFrom::Earliest));
        for first in [true, false] {
            assert_eq!(decided(commit(7, ""), first), Decision::Adopt(7));
            assert_eq!(decided(commit(7, "some other consumer"), first), Decision::Adopt(7));
            for metadata in [mark("u1"), mark("u2")] {
                let Decision::Park(why) = decided(commit(7, &metadata), first) else { panic!("{metadata}") };
                assert!(why.contains("offset 7") && why.contains("docs/operations.md"), "{why}");
            }
        }
    }
}
