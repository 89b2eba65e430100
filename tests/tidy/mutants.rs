//! Every planted bug is listed in `docs/chaos.md` with the test that sees it, and that test exists.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn texts(folder: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the folder is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            texts(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(fs::read_to_string(&path).expect("a source is text"));
        }
    }
}

/// What stands between `before` and the next quote.
fn named<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
}

#[test]
fn every_planted_bug_is_listed_with_the_test_that_sees_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = vec![];
    texts(&root.join("src"), &mut sources);
    texts(&root.join("tests"), &mut sources);
    let ask = ["mutants::", "on(\""].concat();
    let planted: BTreeSet<&str> = sources.iter().flat_map(|text| named(text, &ask)).collect();
    let page = fs::read_to_string(root.join("docs/chaos.md")).expect("the page is there");
    let table = page.split("| bug |").nth(1).expect("the page has a table of bugs");
    let rows = table.lines().skip(2).take_while(|l| l.starts_with("| `"));
    let ticked = |row: &str| row.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let listed: BTreeMap<String, String> = rows.map(ticked).map(|t| (t[0].clone(), t[t.len() - 1].clone())).collect();
    assert!(planted.len() > 15, "the planted bugs were not found: {planted:?}");
    assert_eq!(
        listed.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        planted,
        "docs/chaos.md and the sources differ"
    );
    for (bug, test) in &listed {
        let function = format!("fn {test}(");
        assert!(
            sources.iter().any(|s| s.contains(&function)),
            "{bug} is said to be seen by {test}, which is not there"
        );
    }
}
