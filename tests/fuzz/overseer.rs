//! The parent: starts a child for each target, with limited memory, and tells what became of it.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitCode;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::Mutex;
use std::thread;

use crate::arguments::Arguments;
use crate::engine;
use crate::random::hash;
use crate::targets;

/// Targets that run at once.
const AT_ONCE: usize = 2;

pub fn oversee(arguments: &Arguments) -> ExitCode {
    let all: Vec<(&'static str, u64)> = targets::all().iter().map(|t| (t.name(), t.memory_mib())).collect();
    let wanted = |name: &str| arguments.targets.is_empty() || arguments.targets.iter().any(|t| t == name);
    let mut chosen: Vec<(&str, u64)> = all.iter().copied().filter(|(name, _)| wanted(name)).collect();
    if arguments.list {
        all.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() && (arguments.seconds.is_some() || arguments.input.is_some()) {
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        eprintln!("no such target: {}; there are {}", arguments.targets.join(", "), names.join(", "));
        return ExitCode::from(2);
    }
    let left_out = all.len() - chosen.len();
    println!("\nrunning {} tests", chosen.len());
    chosen.reverse();
    let (queue, results) = (Mutex::new(chosen), Mutex::new(vec![]));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("nobody panics with it").pop();
                    let Some((name, memory)) = next else { return };
                    let result = run(name, memory, arguments);
                    match &result {
                        Ok(told) => println!("test {name} ... ok ({told})"),
                        Err(_) => println!("test {name} ... FAILED"),
                    }
                    results.lock().expect("nobody panics with it").push((name, result));
                }
            });
        }
    });
    let results = results.into_inner().expect("nobody panics with it");
    let failed: Vec<_> = results.iter().filter_map(|(name, r)| Some((name, r.as_ref().err()?))).collect();
    for (name, told) in &failed {
        println!("\n---- {name} ----\n{told}");
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    let passed = results.len() - failed.len();
    println!(
        "\ntest result: {word}. {passed} passed; {} failed; 0 ignored; 0 measured; {left_out} filtered out",
        failed.len()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// Runs one target in a process of its own; what it came to, or what went wrong and how to repeat it.
fn run(name: &str, memory_mib: u64, arguments: &Arguments) -> Result<String, String> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let current = folder.join(format!("{name}-{}.current", std::process::id()));
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new("sh");
    // The limit is on address space, which is what an allocation takes first.
    command.arg("-c").arg(format!("ulimit -v {}; exec \"$@\"", memory_mib << 10)).arg("fuzz").arg(program);
    command.args(["--child", name, "--current"]).arg(&current);
    for (argument, value) in [("--seconds", arguments.seconds), ("--seed", arguments.seed)] {
        if let Some(value) = value {
            command.args([argument, &value.to_string()]);
        }
    }
    if let Some(input) = &arguments.input {
        command.arg("--input").arg(input);
    }
    if arguments.save {
        command.arg("--save");
    }
    let done = command.stdin(Stdio::null()).output().map_err(|e| format!("the target does not start: {e}"))?;
    let out = String::from_utf8_lossy(&done.stdout).into_owned();
    let summary = out.lines().find_map(|l| l.strip_prefix("summary "));
    let told = match summary.filter(|_| done.status.success()) {
        Some(summary) => Ok(tell(summary)),
        None => Err(died(name, &done.status, &current, &out, &String::from_utf8_lossy(&done.stderr))),
    };
    let _ = fs::remove_file(&current);
    told
}

fn tell(summary: &str) -> String {
    let numbers: Vec<f64> = summary.split(' ').filter_map(|n| n.parse().ok()).collect();
    let [executions, corpus, outcomes, seconds] = numbers[..] else { return summary.to_owned() };
    let pace = executions / seconds.max(1e-3);
    format!("{executions} executions, {pace:.0}/s, corpus {corpus}, {outcomes} outcomes")
}

fn died(name: &str, status: &ExitStatus, current: &Path, out: &str, err: &str) -> String {
    let how = match status.code() {
        Some(code) if code == i32::from(engine::PANICKED) => "an input panics".to_owned(),
        Some(code) if code == i32::from(engine::HUNG) => "an input does not end".to_owned(),
        _ => format!("an input ends the process ({status}): stack or memory"),
    };
    let saved = save(name, current).unwrap_or_else(|e| format!("(the input could not be saved: {e})"));
    format!(
        "{how}\n{}\n{}\nrepeat it: cargo test --features mutants,onnxruntime --test fuzz -- --target {name} --input {saved}",
        out.trim_end(),
        err.trim_end()
    )
}

/// Copies the input that was under way to a file of its own.
fn save(name: &str, current: &Path) -> Result<String, String> {
    let bytes = fs::read(current).map_err(|e| e.to_string())?;
    let (head, rest) = bytes.split_first_chunk::<8>().ok_or("no input was written")?;
    let input = rest.get(..u64::from_le_bytes(*head) as usize).ok_or("the input was cut")?;
    let file = current.with_file_name(format!("crash-{name}-{:016x}", hash(&[input])));
    fs::write(&file, input).map_err(|e| e.to_string())?;
    Ok(file.display().to_string())
}
