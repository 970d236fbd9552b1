//! Every captured table as the server defines it, with what else its statements depend on.

use std::sync::Arc;

use super::catalog::{TableFacts, TableName};
use super::catalog_query::misread;
use super::connection::MyConnection;
use super::ddl::{Ddl, Dialect, Origin, TableModel};
use super::error::SourceError;
use super::settings::Flavor;
use super::sql::{Columns, quote_table};

const ASK: &str = "ask how tables are defined";
/// `ER_NO_SUCH_TABLE`
const NO_SUCH_TABLE: u16 = 1146;

/// Definitions of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    pub server_charset: String,
    pub server_collation: String,
    pub databases: Vec<DatabaseDefinition>,
    pub tables: Vec<Definition>,
    pub seen: Seen,
    /// Databases that came or went while all of this was read.
    pub fleeting: Vec<String>,
}

/// Of which databases every table is shown to us: those on all of which we have a right. Of
/// others the catalogue shows the tables that we have a right on, and says nothing of the rest.
/// <https://dev.mysql.com/doc/refman/8.4/en/information-schema-introduction.html>
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    All,
    Databases(Vec<String>),
}

impl Definitions {
    /// What was so at both times and, unless it was altered meanwhile and back again, at the moment
    /// between; `None` where something was altered.
    #[must_use]
    pub fn confirmed_by(mut self, later: &Self) -> Option<Self> {
        let same_database = |ours: &DatabaseDefinition| {
            let theirs = later.databases.iter().find(|theirs| theirs.name == ours.name);
            theirs.is_none_or(|theirs| theirs == ours)
        };
        // Not the statements: they have numbers in them that rows move on.
        let tables = |definitions: &Self| {
            let tables = definitions.tables.iter();
            tables.map(|table| (table.name.clone(), table.model.clone())).collect::<Vec<_>>()
        };
        if self.server_charset != later.server_charset
            || !self.databases.iter().all(same_database)
            || tables(&self) != tables(later)
        {
            return None;
        }
        let (stayed, left): (Vec<_>, Vec<_>) =
            self.databases.into_iter().partition(|ours| later.databases.contains(ours));
        let came = later.databases.iter().filter(|theirs| !stayed.contains(theirs));
        self.fleeting = left.iter().chain(came).map(|database| database.name.clone()).collect();
        self.databases = stayed;
        Some(self)
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self::Databases(Vec::new())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseDefinition {
    pub name: String,
    pub charset: String,
    pub collation: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub name: TableName,
    /// As SHOW CREATE TABLE prints it.
    pub create: String,
    /// `None`: it cannot be told.
    pub model: Option<Arc<TableModel>>,
}

/// The definitions of these tables, databases and the server.
///
/// # Errors
/// When the server cannot be asked.
pub async fn read(
    connection: &mut MyConnection,
    tables: &[TableFacts],
) -> Result<Definitions, SourceError> {
    // The rights first: one that is given meanwhile shows more than was known to be shown.
    let seen = seen(connection).await?;
    let sql = "SELECT @@GLOBAL.character_set_server, @@GLOBAL.collation_server";
    let row = connection.query(ASK, sql).await?.into_iter().next().unwrap_or_default();
    let mut columns = Columns::new(connection.endpoint(), row);
    let (server_charset, server_collation) = (columns.text()?, columns.text()?);
    let databases = databases(connection).await?;
    let mut definitions = Vec::with_capacity(tables.len());
    for facts in tables {
        definitions.extend(one(connection, facts).await?);
    }
    let (tables, fleeting) = (definitions, Vec::new());
    Ok(Definitions { server_charset, server_collation, databases, tables, seen, fleeting })
}

async fn databases(connection: &mut MyConnection) -> Result<Vec<DatabaseDefinition>, SourceError> {
    let sql = "SELECT schema_name, default_character_set_name, default_collation_name \
        FROM information_schema.schemata WHERE schema_name NOT IN \
        ('information_schema', 'mysql', 'performance_schema', 'sys') ORDER BY 1";
    let mut databases = Vec::new();
    for row in connection.query(ASK, sql).await? {
        let mut columns = Columns::new(connection.endpoint(), row);
        let (name, charset, collation) = (columns.text()?, columns.text()?, columns.text()?);
        databases.push(DatabaseDefinition { name, charset, collation });
    }
    Ok(databases)
}

/// A user whose name has an @ in it, and rights by a role, are not found here, which makes less of
/// the truth known and nothing wrong.
async fn seen(connection: &mut MyConnection) -> Result<Seen, SourceError> {
    const OURS: &str = "privilege_type = 'SELECT' \
        AND grantee = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')";
    // MySQL 8.0.16 and newer: a right on everything may be taken back for one database.
    let sql = "SHOW GLOBAL VARIABLES LIKE 'partial_revokes'";
    let row = connection.query(ASK, sql).await?.into_iter().next();
    let revokes = row.and_then(|row| row.into_iter().nth(1)).flatten();
    let sql = format!("SELECT 1 FROM information_schema.user_privileges WHERE {OURS}");
    let sees_all = !connection.query(ASK, &sql).await?.is_empty();
    if sees_all && revokes.is_none_or(|setting| setting != "ON") {
        return Ok(Seen::All);
    }
    let sql = format!("SELECT table_schema FROM information_schema.schema_privileges WHERE {OURS}");
    let mut names = Vec::new();
    for row in connection.query(ASK, &sql).await? {
        let pattern = Columns::new(connection.endpoint(), row).text()?;
        // `_` and `%` may stand for others too; what they themselves stand in is one of them.
        names.push(pattern.replace("\\_", "_").replace("\\%", "%"));
    }
    Ok(Seen::Databases(names))
}

/// `ER_TABLEACCESS_DENIED_ERROR`
const DENIED: u16 = 1142;

/// One table; `None` where it is gone.
///
/// # Errors
/// When the server cannot be asked.
pub async fn one(
    connection: &mut MyConnection,
    facts: &TableFacts,
) -> Result<Option<Definition>, SourceError> {
    let sql = format!("SHOW CREATE TABLE {}", quote_table(&facts.database, &facts.table));
    let create = match connection.query(ASK, &sql).await {
        Err(error) if error.has_code(NO_SUCH_TABLE) => return Ok(None),
        // The catalogue's tables show what we have any right on; the statement asks for more.
        Err(error) if error.has_code(DENIED) => String::new(),
        rows => {
            let row = rows?.into_iter().next();
            let create = row.and_then(|row| row.into_iter().nth(1)).flatten();
            create.ok_or_else(|| misread(connection, &"SHOW CREATE TABLE without a statement"))?
        }
    };
    let name = TableName { database: facts.database.clone(), table: facts.table.clone() };
    let model = model(facts, &create, connection.flavor()).map(Arc::new);
    Ok(Some(Definition { name, create, model }))
}

/// The statement tells more than the catalogue's tables, and is believed where they agree.
fn model(facts: &TableFacts, create: &str, flavor: Flavor) -> Option<TableModel> {
    let read = match Ddl::of(create, Dialect::of(flavor)) {
        // It always names the character set.
        Ddl::Create(create) => create.model(None),
        _ => None,
    };
    let agreed = read.filter(|model| model.agrees_with(facts)).map(|mut model| {
        for (column, facts) in model.columns.iter_mut().zip(&facts.columns) {
            column.default = facts.default.clone();
            column.charset.clone_from(&facts.charset);
        }
        TableModel { origin: Origin::Catalog, ..model }
    });
    if agreed.is_none() {
        let table = quote_table(&facts.database, &facts.table);
        // Not the statement, which may have a password in it (CONNECTION of FEDERATED).
        tracing::debug!(table, "the statement is read otherwise than the catalogue");
    }
    agreed.or_else(|| TableModel::of_facts(facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definitions(database_charset: &str, create: &str) -> Definitions {
        let Ddl::Create(read) = Ddl::of(create, Dialect::of(Flavor::Mysql)) else {
            panic!("{create}")
        };
        let table = Definition {
            name: TableName { database: "d".to_owned(), table: "t".to_owned() },
            create: create.to_owned(),
            model: read.model(None).map(Arc::new),
        };
        let database = DatabaseDefinition {
            name: "d".to_owned(),
            charset: database_charset.to_owned(),
            collation: format!("{database_charset}_bin"),
        };
        let (databases, tables) = (vec![database], vec![table]);
        Definitions { databases, tables, ..Definitions::default() }
    }

    /// What no column shows, and later statements depend on.
    #[test]
    fn a_state_is_another_one_with_another_character_set_of_a_database_or_a_table() {
        const T: &str = "create table t (a int) charset latin1";
        let before = definitions("latin1", T);
        let confirmed = |later: &Definitions| before.clone().confirmed_by(later);
        let moved_on = definitions("latin1", &format!("{T} auto_increment = 7"));
        assert_eq!(confirmed(&moved_on).as_ref(), Some(&before));
        assert_eq!(confirmed(&definitions("utf8mb4", T)), None);
        let other = definitions("latin1", "create table t (a int) charset utf8mb4");
        assert_eq!(confirmed(&other), None);
        assert_eq!(confirmed(&definitions("latin1", &format!("{T} comment 'x'"))), None);
        assert_eq!(confirmed(&Definitions { tables: Vec::new(), ..before.clone() }), None);
        let other = Definitions { server_charset: "x".to_owned(), ..before.clone() };
        assert_eq!(confirmed(&other), None);
        // One that comes or goes holds nobody up, and nothing is known of it.
        let gone = Definitions { databases: Vec::new(), ..before.clone() };
        for found in [confirmed(&gone).unwrap(), gone.confirmed_by(&before).unwrap()] {
            assert_eq!((found.databases.len(), found.fleeting), (0, vec!["d".to_owned()]));
        }
    }
}
