//! Dead letters as operators look at them and treat them: found by conditions, tried again, purged (rule J6).

mod find;
mod purge;
mod replay;

pub use self::find::Cause;
pub use self::find::Filter;
pub use self::find::Letter;
pub use self::find::Summary;
pub use self::find::Waiting;
pub use self::find::causes;
pub use self::find::list;
pub use self::find::one;
pub use self::find::waiting;
pub use self::purge::Purged;
pub use self::purge::purge;
pub use self::replay::Failure;
pub use self::replay::Prospect;
pub use self::replay::Refused;
pub use self::replay::Trial;
pub use self::replay::fail;
pub use self::replay::next;
pub use self::replay::prospect;
pub use self::replay::skip;
pub use self::replay::store;
