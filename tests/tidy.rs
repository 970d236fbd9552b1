//! The house rules that a program can check: imports point down, sources and sinks do not know
//! each other, files and functions stay small, nothing is left behind.
//!
//! An exception is a line in `EXCEPTIONS`, with its reason.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::string_slice, reason = "cut where ASCII was just found")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;

/// `(file, rule, reason)`
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// The top of the house: wires everything, and may name everything.
const TOP: &[&str] = &["main.rs", "lib.rs", "app.rs", "cli/"];

/// Every other room, and the rooms that it may name. The first prefix that fits a file counts.
const LAYERS: &[(&str, &[&str])] = &[
    ("value.rs", &[]),
    ("disposition.rs", &[]),
    ("exit.rs", &[]),
    ("failpoint.rs", &[]),
    ("logs", &["logs"]),
    ("config/", &["config", "disposition"]),
    ("offsets/position/", &["offsets::position"]),
    ("schema/registry", &["config", "disposition", "schema::registry"]),
    ("schema/", &["value", "schema", "disposition", "config"]),
    ("change.rs", &["value", "schema", "offsets::position"]),
    ("budget.rs", &[]),
    ("record.rs", &["budget", "change"]),
    (
        "sources/",
        &[
            "budget",
            "value",
            "change",
            "schema",
            "config",
            "disposition",
            "failpoint",
            "offsets::position",
            "offsets::Checkpoint",
            "offsets::SourceAck",
            "offsets::SourceIdentity",
            "offsets::SnapshotState",
            "sources",
        ],
    ),
    ("encode/", &["value", "change", "schema", "record", "config", "disposition", "encode"]),
    (
        "sinks/",
        &["change", "record", "config", "disposition", "failpoint", "sinks", "kafka_client"],
    ),
    ("kafka_client", &["config", "disposition"]),
    (
        "offsets/",
        &[
            "change",
            "config",
            "disposition",
            "failpoint",
            "offsets",
            "schema::history",
            "sinks::Receipt",
            "kafka_client",
        ],
    ),
    ("stats.rs", &["change", "offsets", "schema", "sinks::Receipt"]),
    (
        "pipeline/",
        &[
            "value",
            "change",
            "schema",
            "record",
            "config",
            "disposition",
            "exit",
            "failpoint",
            "encode",
            "offsets",
            "sources",
            "sinks",
            "stats",
            "pipeline",
        ],
    ),
    ("admin/", &["stats", "admin", "disposition"]),
];

#[test]
fn imports_point_down() {
    let mut broken = Vec::new();
    for (name, text) in sources() {
        if TOP.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(prefix, _)| name.starts_with(prefix)) else {
            broken.push(format!("src/{name}: has no place in LAYERS"));
            continue;
        };
        for (number, line) in lines_outside_tests(&text) {
            for named in named_rooms(line) {
                let fits = allowed.iter().any(|a| {
                    named == *a
                        || named.starts_with(&format!("{a}::"))
                        || a.starts_with(&format!("{named}::"))
                });
                if !fits && !excepted(&name, "imports") {
                    broken.push(format!("src/{name}:{number}: names crate::{named}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "imports that point up or sideways:\n{}", broken.join("\n"));
}

#[test]
fn a_concrete_source_and_a_concrete_sink_meet_in_app_alone() {
    let mut broken = Vec::new();
    for (name, text) in sources() {
        let concrete = |room: &str| text.contains(room);
        let both =
            concrete("sources::postgres") && (concrete("sinks::kafka") || concrete("sinks::file"));
        if both && name != "app.rs" && !excepted(&name, "concrete") {
            broken.push(name);
        }
    }
    assert!(broken.is_empty(), "only app.rs wires sources to sinks: {broken:?}");
}

#[test]
fn files_stay_small() {
    let mut broken = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX && !excepted(&name, "file length") {
            broken.push(format!("src/{name}: {lines} lines"));
        }
    }
    assert!(broken.is_empty(), "files over {FILE_LINES_MAX} lines:\n{}", broken.join("\n"));
}

#[test]
fn functions_stay_small() {
    let mut broken = Vec::new();
    for (name, text) in sources() {
        for (function, number, lines) in functions(&text) {
            if lines > FUNCTION_LINES_MAX && !excepted(&name, "function length") {
                broken.push(format!("src/{name}:{number}: {function} has {lines} lines"));
            }
        }
    }
    assert!(broken.is_empty(), "functions over {FUNCTION_LINES_MAX} lines:\n{}", broken.join("\n"));
}

#[test]
fn every_module_says_what_it_is_for() {
    let bare: Vec<String> = sources()
        .into_iter()
        .filter(|(name, text)| {
            !text.starts_with("//!") && !name.ends_with("tests.rs") && !name.contains("/tests/")
        })
        .map(|(name, _)| name)
        .collect();
    assert!(bare.is_empty(), "files without a module page: {bare:?}");
}

#[test]
fn nothing_is_left_behind() {
    let mut broken = Vec::new();
    for (name, text) in sources() {
        for (number, line) in lines_outside_tests(&text) {
            let left = ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "XXX"];
            if left.iter().any(|l| line.contains(l)) {
                broken.push(format!("src/{name}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "left behind:\n{}", broken.join("\n"));
}

/// Cargo looks for no test by itself here, so one that is not named would silently not run.
#[test]
fn every_test_file_belongs_to_a_binary() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let named = ["Cargo.toml", "tests/rooms.rs", "tests/allocations.rs"].map(read).concat();
    let mut lost = Vec::new();
    for entry in fs::read_dir(root.join("tests")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let is_test = path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").exists();
        let ways =
            [format!("mod {name};"), format!("tests/{name}.rs"), format!("tests/{name}/main.rs")];
        if is_test && !ways.iter().any(|way| named.contains(way)) {
            lost.push(name);
        }
    }
    assert!(lost.is_empty(), "files of tests/ that no binary has: {lost:?}");
}

#[test]
fn every_exception_is_still_needed() {
    let files: Vec<String> = sources().into_iter().map(|(name, _)| name).collect();
    for (file, rule, reason) in EXCEPTIONS {
        assert!(files.iter().any(|f| f == file), "{file} ({rule}: {reason}) is gone");
        assert!(!reason.is_empty(), "{file} ({rule}) has no reason");
    }
}

fn excepted(file: &str, rule: &str) -> bool {
    EXCEPTIONS.iter().any(|(f, r, _)| *f == file && *r == rule)
}

/// The failures of others (`tests/failures.md`): each has tests that are there, or a reason.
#[test]
fn every_known_failure_has_a_test_or_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(&root.join("src"), &mut files);
    walk(&root.join("tests"), &mut files);
    let code: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let text = fs::read_to_string(root.join("tests/failures.md")).unwrap();
    let (mut broken, mut counts) = (Vec::new(), BTreeMap::<&str, [usize; 2]>::new());
    for line in text.lines().filter_map(|line| line.strip_prefix("- ")) {
        let (entry, said) = line.split_once(": ").unwrap_or((line, ""));
        let (source, number) = entry.split(' ').next().and_then(|id| id.split_once('-')).unwrap();
        let [covered, total] = counts.entry(source).or_default();
        *total += 1;
        if number.parse() != Ok(*total) {
            broken.push(format!("{source}-{number} is number {total}"));
        }
        let tests: Vec<&str> = said
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| name.contains('_') && name.chars().all(|c| !c.is_ascii_uppercase()))
            .collect();
        match said.strip_prefix("No test: ") {
            Some("") => broken.push(format!("{entry}: no reason")),
            Some(_) => {}
            None if tests.is_empty() => broken.push(format!("{entry}: no test and no reason")),
            None => *covered += 1,
        }
        let is_there = |name: &&&str| !code.contains(&format!("fn {name}("));
        let gone = tests.iter().filter(is_there).filter(|_| !said.starts_with("No test"));
        broken.extend(gone.map(|name| format!("{entry}: there is no test `{name}`")));
    }
    for (source, [covered, total]) in &counts {
        println!(
            "coverage: {source}: {covered} of {total} failures of others have tests, the rest a reason"
        );
    }
    assert!(broken.is_empty(), "tests/failures.md:\n{}", broken.join("\n"));
}

/// Every source file, by its path below `src/`.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    let named = files.into_iter().map(|path| {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).unwrap())
    });
    named.collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// Numbered lines before the file's tests, comments left out.
fn lines_outside_tests(text: &str) -> Vec<(usize, &str)> {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    let lines = text[..end].lines().enumerate().map(|(i, l)| (i + 1, l));
    lines.filter(|(_, l)| !l.trim_start().starts_with("//")).collect()
}

/// What follows each `crate::` of a line: paths, or the heads of a `crate::{…}` list.
fn named_rooms(line: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for part in line.split("crate::").skip(1) {
        let end = part.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        let path = part[..end.unwrap_or(part.len())].trim_end_matches(':');
        let path = path.replace("r#", "");
        let exported_macro = part[end.unwrap_or(part.len())..].starts_with('!');
        if path.is_empty() || exported_macro {
            continue;
        }
        match part[end.unwrap_or(part.len())..].strip_prefix('{') {
            Some(list) => {
                for item in list.split(['}', ';']).next().unwrap_or_default().split(',') {
                    let item = item.trim();
                    if !item.is_empty() {
                        rooms.push(format!("{path}::{item}"));
                    }
                }
            }
            None => rooms.push(path),
        }
    }
    rooms
}

/// Name, line and length of every function. The code is formatted, so a function ends at the
/// brace that stands under its beginning.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some(name) = function_name(code) else { continue };
        let indent = line.len() - code.len();
        let closing = format!("{}}}", " ".repeat(indent));
        let body =
            lines[at..].iter().position(|l| *l == closing || l.ends_with(';') && !l.contains('{'));
        if let Some(length) = body {
            found.push((name, at + 1, length + 1));
        }
    }
    found
}

fn function_name(code: &str) -> Option<String> {
    let rest = code
        .trim_start_matches("pub(crate) ")
        .trim_start_matches("pub(super) ")
        .trim_start_matches("pub ")
        .trim_start_matches("const ")
        .trim_start_matches("async ");
    let rest = rest.strip_prefix("fn ")?;
    Some(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}
