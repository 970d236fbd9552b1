//! The ways to a configuration: a file, a text, or a single URL.

use std::io::Read;
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
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(defaults::FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| whole(error.to_string()))?;
    if bytes.len() as u64 > defaults::FILE_BYTES_MAX {
        return Err(whole(format!("larger than {} bytes", defaults::FILE_BYTES_MAX)));
    }
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
