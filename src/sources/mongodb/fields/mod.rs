//! Fields that are left out of records, or get another name there.
//!
//! What Debezium calls `field.exclude.list` and `field.renames`. In reading order: the rules as they
//! were written, how one of them meets a dotted name, and how they rewrite a document.

mod path;
mod rewrite;

use globset::{GlobBuilder, GlobMatcher};

pub(crate) use rewrite::{change, document, name};

use crate::config::FieldsConfig;
use crate::sources::mongodb::bson::BsonError;
use crate::sources::mongodb::namespace::Namespace;

/// Every rule, for every collection.
#[derive(Clone, Debug, Default)]
pub struct FieldRules {
    rules: Vec<(GlobMatcher, Rule)>,
}

/// One rule, for collections that it was found to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Names from the top of the document down. Never empty.
    pub(crate) path: Vec<String>,
    pub(crate) becomes: Becomes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Becomes {
    Nothing,
    /// The last name of the path, replaced.
    Named(String),
}

#[derive(Debug, thiserror::Error)]
pub enum FieldRuleError {
    #[error("read `{rule}` as database.collection.field")]
    Parts { rule: String },
    #[error("read `{rule}` as database.collection.field")]
    Pattern { rule: String, source: globset::Error },
    #[error("read `{rule}` as database.collection.field:new_name, where the new name has no dots")]
    NewName { rule: String },
}

impl FieldRules {
    /// Exclusions come first, then renames in their order. In database and collection `*` is any
    /// run of characters, dots included; fields may be nested, and of a document in an array they
    /// are its own.
    ///
    /// # Errors
    /// When a rule is not of its form.
    pub fn new(config: &FieldsConfig) -> Result<Self, FieldRuleError> {
        let exclude = config.exclude.iter().map(|rule| parse(rule, rule, Becomes::Nothing));
        let renames = config.rename.iter().map(|rule| match rule.rsplit_once(':') {
            Some((path, name)) if !name.is_empty() && !name.contains(['.', '\0']) => {
                parse(rule, path, Becomes::Named(name.to_owned()))
            }
            Some(_) | None => Err(FieldRuleError::NewName { rule: rule.clone() }),
        });
        let rules = exclude.chain(renames).collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// Those that hold for a collection.
    pub(crate) fn of(&self, namespace: &Namespace) -> Vec<Rule> {
        let name = namespace.to_string();
        let fitting = self.rules.iter().filter(|(pattern, _)| pattern.is_match(&name));
        fitting.map(|(_, rule)| rule.clone()).collect()
    }
}

/// Case does not count in database and collection, as Debezium has it.
fn parse(rule: &str, path: &str, becomes: Becomes) -> Result<(GlobMatcher, Rule), FieldRuleError> {
    let parts = || FieldRuleError::Parts { rule: rule.to_owned() };
    let mut names = path.trim().split('.');
    let (database, collection) = names.next().zip(names.next()).ok_or_else(parts)?;
    let path: Vec<String> = names.map(str::to_owned).collect();
    if path.is_empty() || database.is_empty() || collection.is_empty() {
        return Err(parts());
    }
    if path.iter().any(|name| name.is_empty() || name.contains('\0')) {
        return Err(parts());
    }
    let pattern = format!("{database}.{collection}");
    let pattern = GlobBuilder::new(&pattern).case_insensitive(true).build();
    let pattern =
        pattern.map_err(|source| FieldRuleError::Pattern { rule: rule.to_owned(), source })?;
    Ok((pattern.compile_matcher(), Rule { path, becomes }))
}

/// Why a document cannot be rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    #[error(transparent)]
    Bson(#[from] BsonError),
    /// Two fields of one name would make one of them unreadable; Debezium stops here too.
    #[error("rename a field: the document has one of the new name already")]
    NameTaken,
    #[error("rename a field: the document would have more than 2 GiB")]
    TooLarge,
}

#[cfg(test)]
mod tests;
