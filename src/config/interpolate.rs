//! `${env:NAME}` and `${file:PATH}` in the text of scalars.
//!
//! Works on the parsed tree, so what comes from outside can never add a key or end a quote.
//! `$${` stands for `${` itself. A lone `$` means nothing special.

use std::path::Path;

use super::diagnose::Finding;
use super::tree::{Kind, Node};

/// Largest secret file: a token or password is far smaller, a log file given by mistake is not.
pub(super) const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// What the references are looked up in. The process in life, a table in tests.
pub(super) trait Lookup {
    fn env(&self, name: &str) -> Option<String>;
    /// # Errors
    /// A fragment that says what is wrong with the file.
    fn file(&self, path: &Path) -> Result<String, String>;
}

pub(super) struct Process;

impl Lookup for Process {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        let meta = std::fs::metadata(path).map_err(|e| describe(&e))?;
        if !meta.is_file() {
            return Err("it is not a regular file".to_owned());
        }
        if meta.len() > SECRET_BYTES_MAX {
            return Err(format!("it is larger than {} KiB", SECRET_BYTES_MAX / 1024));
        }
        std::fs::read_to_string(path).map_err(|e| describe(&e))
    }
}

/// Replaces every reference in the tree; all failures are reported, not only the first.
pub(super) fn interpolate(root: &mut Node, lookup: &dyn Lookup) -> Vec<Finding> {
    let mut findings = Vec::new();
    visit(root, &mut Vec::new(), lookup, &mut findings);
    findings
}

fn visit(
    node: &mut Node,
    path: &mut Vec<String>,
    lookup: &dyn Lookup,
    findings: &mut Vec<Finding>,
) {
    let place = node.place;
    match &mut node.kind {
        Kind::Scalar(scalar) => match expand(&scalar.text, lookup) {
            Ok(None) => {}
            Ok(Some(Expanded { text, from_outside })) => {
                scalar.text = text;
                scalar.interpolated = from_outside;
            }
            Err(problem) => {
                // The text stays as it is; nobody reads it after a finding.
                findings.push(Finding::at(place, path, problem));
            }
        },
        Kind::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push(index.to_string());
                visit(item, path, lookup, findings);
                path.pop();
            }
        }
        Kind::Map(entries) => {
            for entry in entries {
                path.push(entry.key.clone());
                visit(&mut entry.value, path, lookup, findings);
                path.pop();
            }
        }
    }
}

struct Expanded {
    text: String,
    from_outside: bool,
}

/// `None` when the text holds no reference.
fn expand(text: &str, lookup: &dyn Lookup) -> Result<Option<Expanded>, String> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::new();
    let mut from_outside = false;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((reference, after)) = after.split_once('}') else {
            return Err(
                "`${` without its `}`; write `$${` for the two characters themselves".to_owned()
            );
        };
        out.push_str(&resolve(reference, lookup)?);
        from_outside = true;
        rest = after;
    }
    out.push_str(rest);
    Ok(Some(Expanded { text: out, from_outside }))
}

fn resolve(reference: &str, lookup: &dyn Lookup) -> Result<String, String> {
    match reference.split_once(':') {
        Some(("env", name)) if !name.is_empty() => {
            let value = lookup
                .env(name)
                .ok_or_else(|| format!("the environment variable {name} is not set"))?;
            if value.is_empty() {
                return Err(format!("the environment variable {name} is empty"));
            }
            Ok(value)
        }
        Some(("file", path)) if !path.is_empty() => {
            let content = lookup
                .file(Path::new(path))
                .map_err(|why| format!("cannot read the secret file {path}: {why}"))?;
            let value = strip_newline(&content);
            if value.is_empty() {
                return Err(format!("the secret file {path} is empty"));
            }
            Ok(value.to_owned())
        }
        _ => Err("an unknown reference; there are `${env:NAME}` and `${file:PATH}`".to_owned()),
    }
}

/// One newline at the end is the editor's, not the secret's.
fn strip_newline(content: &str) -> &str {
    let content = content.strip_suffix('\n').unwrap_or(content);
    content.strip_suffix('\r').unwrap_or(content)
}

fn describe(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}
