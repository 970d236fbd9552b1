//! The statement that reads a table for the snapshot.
//!
//! Values come in the text protocol, as the servers print them; [`super::text`] reads them back.
//! What they print says less than what they have for numbers of the FLOAT family: a FLOAT has six
//! digits there, and `DOUBLE(10,3)` three behind the point. Multiplied by `1e0` both are DOUBLEs,
//! which are printed so that they read back the same (`my_gcvt` of `dtoa.c`), a negative zero too.

use crate::sources::mysql::catalog::{ColumnFacts, TableFacts};
use crate::sources::mysql::sql::{quote_ident, quote_table};
use crate::sources::mysql::types::MysqlType;

/// Every column by its name: `*` leaves out invisible ones, which the log has.
#[must_use]
pub fn select_statement(facts: &TableFacts) -> String {
    let columns: Vec<String> = facts.columns.iter().map(expression).collect();
    format!("SELECT {} FROM {}", columns.join(", "), quote_table(&facts.database, &facts.table))
}

fn expression(column: &ColumnFacts) -> String {
    let name = quote_ident(&column.name);
    match column.data_type {
        Some(MysqlType::Float { .. }) => format!("{name} * 1e0"),
        Some(MysqlType::Double) if column.declared.contains('(') => format!("{name} * 1e0"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::mysql::catalog::DefaultText;

    fn column(name: &str, declared: &str) -> ColumnFacts {
        ColumnFacts {
            name: name.to_owned(),
            data_type: MysqlType::declared(declared),
            declared: declared.to_owned(),
            nullable: true,
            default: DefaultText::None,
            charset: None,
        }
    }

    #[test]
    fn numbers_are_asked_for_with_all_of_their_digits() {
        let facts = TableFacts {
            database: "my shop".to_owned(),
            table: "odd`t".to_owned(),
            columns: vec![
                column("id", "int"),
                column("f", "float"),
                column("fm", "float(7,4)"),
                column("d", "double"),
                column("dm", "double(10,3) unsigned"),
                column("n", "decimal(65,30)"),
            ],
            key: vec!["id".to_owned()],
            transactional: true,
            estimated_rows: 0,
            estimated_bytes: 0,
        };
        assert_eq!(
            select_statement(&facts),
            "SELECT `id`, `f` * 1e0, `fm` * 1e0, `d`, `dm` * 1e0, `n` \
             FROM `my shop`.`odd``t`"
        );
    }
}
