//! The ways to a configuration: a file, a text, or a single URL.

use std::path::Path;

use super::diagnose::{ConfigError, Finding};
use super::interpolate::{self, Lookup, Process};
use super::written::Written;
use super::{Config, defaults, read, resolve, tree};

/// A usable configuration, and what is allowed but worth a warning.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Finding>,
}

/// Reads, checks and resolves a file. No side effects but the reading of secrets.
///
/// # Errors
/// With everything that is wrong with it.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let file = path.display().to_string();
    let whole = |problem: String| ConfigError::whole(&file, problem);
    let meta = std::fs::metadata(path).map_err(|error| whole(error.to_string()))?;
    if meta.len() > defaults::FILE_BYTES_MAX {
        return Err(whole(format!("larger than {} bytes", defaults::FILE_BYTES_MAX)));
    }
    let bytes = std::fs::read(path).map_err(|error| whole(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| whole("not UTF-8 text".to_owned()))?;
    parse(&text, &file, &Process)
}

/// Checks and resolves a text; `file` is only what messages call it.
fn parse(text: &str, file: &str, lookup: &dyn Lookup) -> Result<Loaded, ConfigError> {
    let error = |findings| ConfigError { file: file.to_owned(), findings };
    let mut root = tree::parse(text).map_err(|malformed| {
        let problem = malformed.problem;
        error(vec![Finding { place: malformed.place, path: String::new(), problem }])
    })?;
    let findings = interpolate::interpolate(&mut root, lookup);
    if !findings.is_empty() {
        return Err(error(findings));
    }
    let written: Written = read::read(&root).map_err(|finding| error(vec![finding]))?;
    let (config, warnings) = resolve::resolve(written, &root).map_err(error)?;
    Ok(Loaded { config, warnings })
}

/// The JSON Schema of the configuration, for editors.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Written).to_value()
}

#[cfg(test)]
mod tests;
