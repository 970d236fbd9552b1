//! A table's definition as a topic of schema changes shows it (`TableChanges` of Debezium).

/// What a statement did to one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableChange {
    pub kind: TableChangeKind,
    /// `"database"."table"`
    pub id: String,
    /// The table afterwards; `None` where there is none.
    pub definition: Option<TableDefinition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableChangeKind {
    Create,
    Alter,
    Drop,
}

impl TableChangeKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Alter => "ALTER",
            Self::Drop => "DROP",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableDefinition {
    pub charset: Option<String>,
    pub key: Vec<String>,
    pub columns: Vec<ColumnDefinition>,
    pub comment: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnDefinition {
    pub name: String,
    /// `java.sql.Types`
    pub jdbc_type: i32,
    /// As it was written, in upper case, without arguments.
    pub type_name: String,
    pub charset: Option<String>,
    pub length: Option<i32>,
    pub scale: Option<i32>,
    pub optional: bool,
    /// The server gives the value.
    pub automatic: bool,
    pub comment: Option<String>,
    pub default: Option<String>,
    /// Of ENUM and SET, in quotes.
    pub labels: Option<Vec<String>>,
}
