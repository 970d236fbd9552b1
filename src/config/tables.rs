//! Which tables are captured: patterns over `schema.table`.

use globset::{Glob, GlobSet, GlobSetBuilder};

/// Included by at least one pattern and excluded by none.
#[derive(Clone, Debug)]
pub struct TableFilter {
    include: Vec<String>,
    exclude: Vec<String>,
    include_set: GlobSet,
    exclude_set: GlobSet,
}

#[derive(Debug, thiserror::Error)]
#[error("read `{pattern}` as a pattern of tables")]
pub struct PatternError {
    pub pattern: String,
    source: globset::Error,
}

impl TableFilter {
    /// Patterns are globs over `schema.table`: `*` is any run of characters, `?` one of them,
    /// `[ab]` a choice. An empty `include` means every table.
    ///
    /// # Errors
    /// When a pattern is malformed.
    pub fn new(include: Vec<String>, exclude: Vec<String>) -> Result<Self, PatternError> {
        let include_set = build(&include)?;
        let exclude_set = build(&exclude)?;
        Ok(Self { include, exclude, include_set, exclude_set })
    }

    #[must_use]
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        let name = format!("{schema}.{table}");
        (self.include.is_empty() || self.include_set.is_match(&name))
            && !self.exclude_set.is_match(&name)
    }

    #[must_use]
    pub fn include(&self) -> &[String] {
        &self.include
    }

    #[must_use]
    pub fn exclude(&self) -> &[String] {
        &self.exclude
    }
}

fn build(patterns: &[String]) -> Result<GlobSet, PatternError> {
    let error = |pattern: &str, source| PatternError { pattern: pattern.to_owned(), source };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(|source| error(pattern, source))?);
    }
    set.build().map_err(|source| error("", source))
}
