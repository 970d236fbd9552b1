//! Stub, to be replaced at the merge.

use super::catalog::RelationFacts;
use super::sql::quote_ident;
use crate::config::UnmappedTypes;

#[must_use]
pub fn copy_statement(facts: &RelationFacts, _unmapped: UnmappedTypes) -> String {
    let columns: Vec<String> = facts.columns.iter().map(|c| quote_ident(&c.name)).collect();
    format!(
        "COPY (SELECT {} FROM {}.{}) TO STDOUT (FORMAT binary)",
        columns.join(", "),
        quote_ident(&facts.schema),
        quote_ident(&facts.table)
    )
}
