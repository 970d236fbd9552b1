//! Tables that cannot be understood.

use crate::disposition::{Diagnose, Disposition};
use crate::sources::BoxError;
use crate::sources::mysql::catalog::{ColumnFacts, TableFacts};
use crate::sources::mysql::sql;
use crate::sources::mysql::table::{WireColumn, WireTable};

#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("read column {column} of {table}: its type `{declared}` is not known")]
    UnknownType { table: String, column: String, declared: String },
    #[error(
        "read column {column} of {table}: the log has it with the unknown type {code} (metadata {metadata:?})"
    )]
    UnknownCode { table: String, column: String, code: u8, metadata: [u8; 2] },
}

impl TableError {
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
            Self::UnknownType { .. } | Self::UnknownCode { .. } => Disposition::Stop,
        }
    }

    fn hint(&self) -> Option<String> {
        let (Self::UnknownType { table, .. } | Self::UnknownCode { table, .. }) = self;
        let name = table.replace('`', "");
        Some(format!(
            "leave the table out with `tables.exclude: [\"{name}\"]`, or change the column's type"
        ))
    }
}

impl From<TableError> for BoxError {
    fn from(error: TableError) -> Self {
        Box::new(error)
    }
}
