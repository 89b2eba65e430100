//! Templates decide and read as the plain reader does, and as `serde_json`, whatever they have learnt.

use super::super::samples;
use super::super::samples::Rng;
use super::tests::*;
use crate::domain::fields::FieldKind;

/// An event whose structure is anything that JSON allows: repeated and escaped keys, arrays, objects in place of scalars.
fn structure(rng: &mut Rng, rig: &Rig, number: usize) -> Vec<u8> {
    let event = whole(rng, number * 777);
    let mut bent = event.clone();
    for _ in 0..rng.below(5) {
        spoil(rng, &mut bent);
    }
    if reference(&bent, &rig.wants).is_some() { bent } else { event }
}

#[test]
fn templates_that_hit_decide_and_read_as_the_plain_reader_and_serde_json_do() {
    let mut rng = Rng::new();
    let (mut rig, mut plain) = (Rig::new(many_wants(), 127), Rig::plain(many_wants()));
    let (mut hits, mut taken, mut rounds) = (0, 0, 0);
    for phase in 0..40 {
        if phase % 2 == 0 {
            hits += rig.hits();
            rig = Rig::new(many_wants(), 127);
        }
        // few structures at a time, so that most events hit; the next ones meet a trie full of the old ones
        let known: Vec<Vec<u8>> = (0..1 + rng.below(4)).map(|k| structure(&mut rng, &rig, phase + k)).collect();
        for _ in 0..500 {
            let mut event = known[rng.below(known.len())].clone();
            for _ in 0..rng.below(3) {
                let way = if rng.below(8) == 0 { rng.below(10) } else { 8 + rng.below(2) };
                spoil_in(&mut rng, &mut event, way);
            }
            let (got, alone) = (rig.read(&event), plain.read(&event));
            let shown = || String::from_utf8_lossy(&event).into_owned();
            assert_eq!(got.as_ref().ok(), alone.as_ref().ok(), "{}", shown());
            assert_eq!(got.as_ref().err().map(|e| &e.detail), alone.as_ref().err().map(|e| &e.detail), "{}", shown());
            assert_eq!(got.ok(), reference(&event, &rig.wants), "{}", shown());
            (rounds, taken) = (rounds + 1, taken + usize::from(alone.is_ok()));
        }
    }
    hits += rig.hits();
    println!("{rounds} events, {taken} taken, {hits} by a template");
    assert!(taken > rounds / 3 && hits > rounds / 8, "{rounds} events, {taken} taken, {hits} by a template");
}

#[test]
fn events_of_one_structure_hit_from_the_second_on() {
    let mut rng = Rng::new();
    let fields: Vec<_> = samples::fraud_fields();
    let mut rig = Rig::of(&fields);
    for number in 0..1000 {
        rig.read(samples::payment(&mut rng, number).as_bytes()).unwrap();
    }
    assert_eq!(rig.hits(), 999);
}

#[test]
fn structures_that_never_come_again_are_soon_left_alone_and_make_room_for_others() {
    let mut rng = Rng::new();
    let mut rig = Rig::of(&[("a", FieldKind::Number), ("b.c", FieldKind::Text)]);
    for number in 0..20_000 {
        rig.read(format!("{{\"a\":1,\"k{number}\":[1,2],\"b\":{{\"c\":\"x\"}}}}").as_bytes()).unwrap();
        assert!(rig.steps() <= 1024);
    }
    // at most one event in 64 is tried once the rate is low
    assert!(rig.learnt() < 600, "{}", rig.learnt());
    let before = rig.hits();
    for _ in 0..20_000 {
        rig.read(format!("{{\"b\":{{\"c\":\"{}\"}},\"a\":{}}}", rng.below(100), rng.below(100)).as_bytes()).unwrap();
    }
    assert!(rig.hits() > before + 10_000, "{}", rig.hits() - before);
}

#[test]
fn what_a_miss_left_behind_is_forgotten() {
    let fields = [("a", FieldKind::Number), ("b", FieldKind::Text), ("c", FieldKind::Number)];
    let mut rig = Rig::of(&fields);
    rig.read(br#"{"a":1,"b":"x","c":2}"#).unwrap();
    // fits up to the last key: `b` is wrong there, `a` present
    for event in
        [&br#"{"a":1,"b":7}"#[..], br#"{"a":1,"b":"\n","d":2}"#, br#"{"a":1,"b":"x","c":2"#, br#"{"a":1,"b":null}"#]
    {
        assert_eq!(rig.read(event).ok(), reference(event, &rig.wants), "{}", event.escape_ascii());
    }
    for event in [&br#"{"c":3}"#[..], br#"{"a":1,"b":"x","c":2} "#, b"{\"a\":1,\"b\":\"x\",\"c\":2}\0"] {
        assert_eq!(rig.read(event).ok(), reference(event, &rig.wants), "{}", event.escape_ascii());
    }
    assert_eq!(rig.hits(), 0);
}
