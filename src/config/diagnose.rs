//! What a person is told about a configuration that cannot be used.
//!
//! A finding names file, line, column, the path of keys and what is wrong, and never the text
//! around it: a password may stand on the next line. Values are quoted only where they were
//! written in the file itself and name a choice.

use std::fmt;

use super::tree::Place;
use crate::disposition::{Diagnose, Disposition};

/// One thing that is wrong, or worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub place: Option<Place>,
    /// Dotted path of keys; empty for the file as a whole.
    pub path: String,
    pub problem: String,
}

/// A configuration that cannot be used, with everything that was found wrong at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("load the configuration {file}")]
pub struct ConfigError {
    pub file: String,
    pub findings: Vec<Finding>,
}

impl ConfigError {
    pub(super) fn whole(file: &str, problem: String) -> Self {
        let finding = Finding { place: None, path: String::new(), problem };
        Self { file: file.to_owned(), findings: vec![finding] }
    }

    /// One line for each finding: `file:line:column: path: problem`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.findings.iter().map(|finding| finding.line(&self.file)).collect()
    }
}

impl Diagnose for ConfigError {
    fn disposition(&self) -> Disposition {
        Disposition::Stop
    }

    fn hint(&self) -> Option<String> {
        Some("`tailwater schema` prints every key with its unit, range and default; `tailwater check -c FILE` tries a file without side effects".to_owned())
    }
}

impl Finding {
    pub(super) fn at(place: Place, path: &[String], problem: impl Into<String>) -> Self {
        Self { place: Some(place), path: path.join("."), problem: problem.into() }
    }

    /// `file:line:column: path: problem`, without the parts that are not known.
    #[must_use]
    pub fn line(&self, file: &str) -> String {
        let mut line = file.to_owned();
        if let Some(Place { line: row, column }) = self.place {
            line.push_str(&format!(":{row}:{column}"));
        }
        line.push_str(": ");
        line.push_str(&self.to_string());
        line
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)
    }
}

/// The known name that was most likely meant: at most a third of its letters away.
pub(crate) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let lower = written.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, name), *name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The tail of a message about an unknown name: what was meant, and what there is.
pub(crate) fn suggestion(written: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    match nearest(written, known) {
        Some(name) => format!("did you mean `{name}`? (known: {list})"),
        None => format!("known: {list}"),
    }
}
