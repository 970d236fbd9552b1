//! Tables that cannot be understood.

use crate::disposition::{Diagnose, Disposition};
use crate::sources::BoxError;
use crate::sources::mysql::catalog::{ColumnFacts, TableFacts};
use crate::sources::mysql::sql;
use crate::sources::mysql::table::{WireColumn, WireTable};
use crate::sources::mysql::types::MysqlType;

#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("read column {column} of {table}: its type `{declared}` is not known")]
    UnknownType { table: String, column: String, declared: String },
    #[error(
        "read column {column} of {table}: the log has it with the unknown type {code} (metadata {metadata:?})"
    )]
    UnknownCode { table: String, column: String, code: u8, metadata: [u8; 2] },
    /// MariaDB's log has one type for all of them.
    #[error(
        "read column {column} of {table}: the log does not tell whether it is {choice}, and the table does not have it any more"
    )]
    Ambiguous { table: String, column: String, choice: &'static str },
}

impl TableError {
    pub(crate) fn ambiguous(
        table: &WireTable<'_>,
        column: &WireColumn<'_>,
        data_type: &MysqlType,
    ) -> Self {
        Self::Ambiguous {
            table: format!(
                "{}.{}",
                sql::quote_ident(table.database),
                sql::quote_ident(table.table)
            ),
            column: sql::quote_ident(column.name),
            choice: match data_type {
                MysqlType::Binary { length: 4 } => "INET4 or BINARY(4)",
                _ => "UUID, INET6 or BINARY(16)",
            },
        }
    }

    pub(crate) fn unknown_type(table: &TableFacts, column: &ColumnFacts) -> Self {
        Self::UnknownType {
            table: format!(
                "{}.{}",
                sql::quote_ident(&table.database),
                sql::quote_ident(&table.table)
            ),
            column: sql::quote_ident(&column.name),
            declared: column.declared.clone(),
        }
    }

    pub(crate) fn unknown_code(table: &WireTable<'_>, column: &WireColumn<'_>) -> Self {
        Self::UnknownCode {
            table: format!(
                "{}.{}",
                sql::quote_ident(table.database),
                sql::quote_ident(table.table)
            ),
            column: sql::quote_ident(column.name),
            code: column.data_type.code,
            metadata: column.data_type.metadata,
        }
    }
}

impl Diagnose for TableError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::UnknownType { .. } | Self::UnknownCode { .. } | Self::Ambiguous { .. } => {
                Disposition::Stop
            }
        }
    }

    fn hint(&self) -> Option<String> {
        let exclude = |table: &str| {
            let name = table.replace('`', "");
            format!("leave the table out with `tables.exclude: [\"{name}\"]`")
        };
        Some(match self {
            Self::UnknownType { table, .. } | Self::UnknownCode { table, .. } => {
                format!("{}, or change the column's type", exclude(table))
            }
            Self::Ambiguous { table, column, .. } => format!(
                "give the table the column back until its old rows were read: ALTER TABLE {table} ADD COLUMN {column} UUID; (or what it was); or {}",
                exclude(table)
            ),
        })
    }
}

impl From<TableError> for BoxError {
    fn from(error: TableError) -> Self {
        Box::new(error)
    }
}
