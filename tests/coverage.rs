//! `docs/faults.md` says of every fault which test shows it, or why none does. Here it is held to that: no line is missing or
//! empty, and every test that it names exists.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Faults by the letter of their chapter.
const FAULTS: [(char, usize); 10] =
    [('A', 19), ('B', 31), ('C', 12), ('D', 29), ('E', 19), ('F', 12), ('G', 7), ('H', 6), ('I', 7), ('J', 17)];
/// How a line without a test begins: what is seen instead has to be a reason.
const REASONS: [&str; 3] = ["Not tested", "Does not exist: ", "Not promised: "];
/// A shorter reason is none.
const REASON_MIN: usize = 25;

/// All that is wrong with the page, when these tests exist.
fn problems(page: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut found = BTreeMap::new();
    let mut wrong = vec![];
    for line in page.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| id ") && !l.starts_with("| --- ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [id, fault, shown, seen] = cells[..] else {
            wrong.push(format!("not four cells: {line}"));
            continue;
        };
        if found.insert(id.to_owned(), ()).is_some() {
            wrong.push(format!("{id} is there twice"));
        }
        if fault.is_empty() || seen.is_empty() {
            wrong.push(format!("{id} has an empty cell"));
        }
        let names: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        for name in &names {
            if !tests.contains(*name) {
                wrong.push(format!("{id} names `{name}`, which is no test"));
            }
        }
        let reasoned = REASONS.iter().any(|r| seen.starts_with(r));
        if names.is_empty() && (shown != "-" || !reasoned || seen.len() < REASON_MIN) {
            wrong.push(format!("{id} has neither a test nor a reason"));
        }
        if !names.is_empty() && reasoned {
            wrong.push(format!("{id} has a test and a reason why it has none"));
        }
    }
    let want = FAULTS.iter().flat_map(|(letter, count)| (1..=*count).map(move |n| format!("{letter}{n}")));
    wrong.extend(want.filter(|id| found.remove(id).is_none()).map(|id| format!("{id} is missing")));
    wrong.extend(found.into_keys().map(|id| format!("{id} is no fault that we know")));
    wrong
}

/// Names of all functions in files that hold tests.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the sources are there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("a source in UTF-8");
            let holds_tests = text.contains("#[test]")
                || text.contains("#[tokio::test")
                || path.to_string_lossy().contains("/tests/");
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            found.extend(names.filter(|_| holds_tests).map(str::to_owned));
        }
    }
}

#[test]
fn every_fault_has_a_test_that_exists_or_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = BTreeSet::new();
    ["src", "onnx/src", "tests"].iter().for_each(|folder| tests(&root.join(folder), &mut all));
    assert!(all.len() > 500, "the tests were not found");
    let page = fs::read_to_string(root.join("docs/faults.md")).expect("the page is there");
    let wrong = problems(&page, &all);
    assert!(wrong.is_empty(), "docs/faults.md:\n{}", wrong.join("\n"));
}

#[test]
fn a_page_with_gaps_is_seen() {
    let tests = BTreeSet::from(["it_holds".to_owned()]);
    let good: Vec<String> = FAULTS
        .iter()
        .flat_map(|(letter, count)| {
            (1..=*count).map(move |n| format!("| {letter}{n} | broken | `it_holds` | it holds |"))
        })
        .collect();
    assert_eq!(problems(&good.join("\n"), &tests), Vec::<String>::new());
    for (line, told) in [
        ("", "A1 is missing"),
        ("| A1 | broken | `it_held` | it holds |", "A1 names `it_held`, which is no test"),
        ("| A1 | broken | - | it holds |", "A1 has neither a test nor a reason"),
        ("| A1 | broken | - | Not tested: no |", "A1 has neither a test nor a reason"),
        ("| A1 | broken | `it_holds` |  |", "A1 has an empty cell"),
        ("| A1 | broken | `it_holds` | it holds |\n| A1 | broken | `it_holds` | it holds |", "A1 is there twice"),
        (
            "| A1 | broken | `it_holds` | it holds |\n| K1 | broken | `it_holds` | it holds |",
            "K1 is no fault that we know",
        ),
    ] {
        let page = line.to_owned() + "\n" + &good[1..].join("\n");
        assert_eq!(problems(&page, &tests), [told], "{line}");
    }
}
