//! Six ways to spoil a payment, so that dead letters can be seen and counted.

use super::random::Random;

/// What is wrong with a poisoned payment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Poison {
    /// A value is missing after a colon.
    Malformed,
    /// There is no `amount`.
    MissingField,
    /// `amount` is an object.
    WrongType,
    /// A text that is read (`merchant.category`) is not UTF-8.
    InvalidUtf8,
    /// Arrays in arrays, deeper than any limit.
    TooDeep,
    /// Cut anywhere, also before the first byte.
    Truncated,
}

const DEPTH: usize = 1_000;

impl Poison {
    pub const ALL: [Poison; 6] = [
        Poison::Malformed,
        Poison::MissingField,
        Poison::WrongType,
        Poison::InvalidUtf8,
        Poison::TooDeep,
        Poison::Truncated,
    ];

    /// A short stable name, for headers and summaries.
    pub fn name(self) -> &'static str {
        match self {
            Poison::Malformed => "malformed",
            Poison::MissingField => "missing_field",
            Poison::WrongType => "wrong_type",
            Poison::InvalidUtf8 => "invalid_utf8",
            Poison::TooDeep => "too_deep",
            Poison::Truncated => "truncated",
        }
    }

    /// The kind of this [`Poison::name`].
    pub fn named(name: &str) -> Option<Poison> {
        Poison::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Spoils a clean payment in place.
    pub(super) fn spoil(self, json: &mut Vec<u8>, random: &mut Random) {
        match self {
            Poison::Malformed => replace(json, b"\"amount\":", b"\"amount\":,\"was\":"),
            Poison::MissingField => replace(json, b"\"amount\":", b"\"amount_\":"),
            Poison::WrongType => replace(json, b"\"amount\":", b"\"amount\":{},\"was\":"),
            Poison::InvalidUtf8 => replace(json, b"\"category\":\"", b"\"category\":\"\xff\xc0"),
            Poison::TooDeep => {
                json.pop();
                json.extend_from_slice(b",\"extra\":");
                json.resize(json.len() + DEPTH, b'[');
                json.resize(json.len() + DEPTH, b']');
                json.push(b'}');
            }
            Poison::Truncated => json.truncate(random.below(json.len() as u64) as usize),
        }
    }
}

fn replace(json: &mut Vec<u8>, from: &[u8], to: &[u8]) {
    let at = json.windows(from.len()).position(|w| w == from).expect("every payment has this field");
    json.splice(at..at + from.len(), to.iter().copied());
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::demo::payments::Payments;

    #[test]
    fn every_kind_is_refused_or_lacks_a_usable_amount() {
        let mut payments = Payments::new(2);
        for kind in Poison::ALL {
            for _ in 0..2_000 {
                let payment = payments.make_with(0, Some(kind));
                assert_eq!(payment.poison, Some(kind));
                let read: Result<Value, _> = serde_json::from_slice(payment.payload);
                match kind {
                    Poison::MissingField => assert!(read.unwrap().get("amount").is_none()),
                    Poison::WrongType => assert!(read.unwrap()["amount"].is_object()),
                    _ => assert!(read.is_err(), "{kind:?}"),
                }
            }
        }
    }

    #[test]
    fn deep_nesting_is_well_formed_but_for_its_depth() {
        let mut payments = Payments::new(2);
        let payload = payments.make_with(0, Some(Poison::TooDeep)).payload;
        let open = payload.iter().filter(|b| **b == b'[').count();
        let close = payload.iter().filter(|b| **b == b']').count();
        assert_eq!((open, close), (DEPTH, DEPTH));
    }

    #[test]
    fn names_come_back() {
        for kind in Poison::ALL {
            assert_eq!(Poison::named(kind.name()), Some(kind));
        }
        assert_eq!(Poison::named("clean"), None);
    }
}
