//! What an armed failpoint does, as text: `before_pg_commit=kill,skip=3;in_infer=panic,match=boom`.

use std::time::Duration;

use super::Point;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// SIGKILL to the own process.
    Kill,
    /// SIGABRT, as a fault in native code ends it.
    Abort,
    Panic,
    Sleep(Duration),
    /// Stands until the plan no longer says so.
    Pause,
}

/// One entry of a plan.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Entry {
    pub point: Point,
    pub action: Action,
    /// Passes before the first that counts.
    pub skip: u64,
    /// Fires so often at most.
    pub times: u64,
    /// Fires with this probability.
    pub chance: f64,
    /// Fires only where this text is in a payload that the step holds.
    pub marker: Option<String>,
}

/// A plan cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanError {
    #[error("failpoint entry `{0}` is not written like `point=action,key=value`")]
    Form(String),
    #[error("there is no failpoint `{0}`; docs/chaos.md has the list")]
    Point(String),
    #[error("there is no action `{0}`: take kill, abort, panic, pause, sleep(MS) or off")]
    Action(String),
    #[error("`{0}` is not one of skip=N, times=N, chance=0..1, match=TEXT")]
    Key(String),
}

/// Entries are separated by `;` or new lines; `off` ones are left out.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, PlanError> {
    let lines = text.split([';', '\n']).map(str::trim).filter(|l| !l.is_empty());
    lines.filter_map(|line| entry(line).transpose()).collect()
}

fn entry(line: &str) -> Result<Option<Entry>, PlanError> {
    let (name, rest) = line.split_once('=').ok_or_else(|| PlanError::Form(line.to_owned()))?;
    let point = Point::ALL.iter().find(|p| p.name() == name.trim());
    let point = *point.ok_or_else(|| PlanError::Point(name.to_owned()))?;
    let mut parts = rest.split(',').map(str::trim);
    let word = parts.next().unwrap_or_default();
    let Some(action) = action(word)? else { return Ok(None) };
    let mut entry = Entry { point, action, skip: 0, times: u64::MAX, chance: 1.0, marker: None };
    for part in parts {
        let wrong = || PlanError::Key(part.to_owned());
        let (key, value) = part.split_once('=').ok_or_else(wrong)?;
        match key {
            "skip" => entry.skip = value.parse().map_err(|_| wrong())?,
            "times" => entry.times = value.parse().map_err(|_| wrong())?,
            "chance" => {
                let chance: f64 = value.parse().map_err(|_| wrong())?;
                entry.chance = Some(chance).filter(|c| (0.0..=1.0).contains(c)).ok_or_else(wrong)?;
            }
            "match" if !value.is_empty() => entry.marker = Some(value.to_owned()),
            _ => return Err(wrong()),
        }
    }
    Ok(Some(entry))
}

fn action(word: &str) -> Result<Option<Action>, PlanError> {
    let sleep = || {
        let millis = word.strip_prefix("sleep(")?.strip_suffix(')')?;
        Some(Action::Sleep(Duration::from_millis(millis.parse().ok()?)))
    };
    match word {
        "off" => Ok(None),
        "kill" => Ok(Some(Action::Kill)),
        "abort" => Ok(Some(Action::Abort)),
        "panic" => Ok(Some(Action::Panic)),
        "pause" => Ok(Some(Action::Pause)),
        _ => sleep().map(Some).ok_or_else(|| PlanError::Action(word.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_and_what_is_wrong_is_named() {
        let plan = parse("before_pg_commit=kill,skip=3;\n in_infer=panic,match=a=b,times=2\nafter_poll=off").unwrap();
        let [commit, infer] = &plan[..] else { panic!("{plan:?}") };
        assert_eq!((commit.point, commit.action, commit.skip), (Point::BeforePgCommit, Action::Kill, 3));
        assert_eq!((infer.marker.as_deref(), infer.times, infer.chance), (Some("a=b"), 2, 1.0));
        let sleep = parse("in_drain=sleep(250),chance=0.5").unwrap();
        assert_eq!((sleep[0].action, sleep[0].chance), (Action::Sleep(Duration::from_millis(250)), 0.5));
        assert_eq!(parse("nowhere=kill"), Err(PlanError::Point("nowhere".into())));
        assert_eq!(parse("in_drain"), Err(PlanError::Form("in_drain".into())));
        assert_eq!(parse("in_drain=sleep(x)"), Err(PlanError::Action("sleep(x)".into())));
        for wrong in ["chance=2", "skip=-1", "match=", "word"] {
            assert_eq!(parse(&format!("in_drain=kill,{wrong}")), Err(PlanError::Key(wrong.into())));
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = Point::ALL.iter().map(|p| p.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
