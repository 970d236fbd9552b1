//! What statements make of tables, ours beside the server's: the catalogue is the oracle.

use tailwater::config::TableFilter;
use tailwater::sources::mysql::ddl::SqlMode;
use tailwater::sources::mysql::definitions::{Definitions, Seen};
use tailwater::sources::mysql::schemas::{Belief, SchemaSettings, Schemas, Statement};
use tailwater::sources::mysql::settings::Flavor;
use tailwater::sources::mysql::types::MysqlType;

use crate::support::mysql::{Kind, Server, Session};

/// Name, type, character set and nullability.
type Column = (String, Option<MysqlType>, Option<String>, bool);

/// Follows what a session runs.
struct Follower<'s> {
    session: &'s Session,
    database: String,
    schemas: Schemas,
}

impl<'s> Follower<'s> {
    fn new(kind: Kind, session: &'s Session, database: &str) -> Self {
        let flavor = match kind {
            Kind::Mysql => Flavor::Mysql,
            Kind::Mariadb => Flavor::Mariadb,
        };
        let settings = SchemaSettings {
            flavor,
            filter: TableFilter::new(Vec::new(), Vec::new()).unwrap(),
            lower_case: false,
            explicit_timestamps: true,
        };
        let definitions = Definitions { seen: Seen::All, ..Definitions::default() };
        let mut schemas = Schemas::of_definitions(settings, &definitions);
        let text = format!("create database {database} character set utf8mb4");
        session.run(&text);
        session.run(&format!("use {database}"));
        Self::follow(&mut schemas, &text, database);
        Self { session, database: database.to_owned(), schemas }
    }

    fn follow(schemas: &mut Schemas, text: &str, database: &str) {
        let (sql_mode, server_charset) = (SqlMode::default(), Some("utf8mb4"));
        schemas.follow(&Statement { text, database, sql_mode, server_charset });
    }

    fn run(&mut self, statement: &str) {
        self.session.run(statement);
        Self::follow(&mut self.schemas, statement, &self.database);
    }

    /// The columns of `t`.
    fn ours(&self) -> Option<Vec<Column>> {
        match self.schemas.belief(&self.database, "t")? {
            Belief::Known(model) => {
                let columns = model.columns.iter().map(|column| {
                    let data_type = column.data_type.mysql_type();
                    (column.name.clone(), data_type, column.charset.clone(), column.nullable)
                });
                Some(columns.collect())
            }
            Belief::Unknown => None,
        }
    }

    fn theirs(&self) -> Vec<Column> {
        let rows = self.session.rows(&format!(
            "select column_name, column_type, character_set_name, is_nullable
             from information_schema.columns
             where table_schema = '{}' and table_name = 't' order by ordinal_position",
            self.database
        ));
        let column = |row: Vec<Option<String>>| {
            let [name, declared, charset, nullable] = <[_; 4]>::try_from(row).unwrap();
            let data_type = MysqlType::declared(&declared.unwrap());
            (name.unwrap(), data_type, charset, nullable.unwrap() == "YES")
        };
        rows.into_iter().map(column).collect()
    }
}

/// The character set of a table is that of its new columns wherever it stands in the statement.
#[test]
fn a_statement_is_read_to_its_end_before_anything_is_done() {
    for kind in Kind::BOTH {
        let server = Server::shared(kind);
        let session = server.session();
        let mut follower = Follower::new(kind, &session, &crate::support::unique("order"));
        for statement in [
            "add b varchar(5), default character set latin1",
            "default character set latin1, add b varchar(5)",
            "add b text, character set = ascii, add c char(3) character set latin1",
            "modify a varchar(9), collate latin1_bin, add b enum('x', 'y')",
            "add b char(5), convert to character set latin1",
            "convert to character set latin1, add b char(5)",
            "add b char(5) character set ascii, convert to character set latin1",
            "convert to character set latin1, modify a char(5) character set ascii",
            "add b varchar(5), convert to character set latin1, add c varchar(6), comment 'x'",
        ] {
            follower.run("create table t (id int primary key, a varchar(5)) charset utf8mb4");
            follower.run(&format!("alter table t {statement}"));
            let theirs = follower.theirs();
            assert_eq!(follower.ours(), Some(theirs), "{kind:?}: {statement}");
            // What comes later has the table's, too.
            follower.run("alter table t add z varchar(5)");
            let theirs = follower.theirs();
            assert_eq!(follower.ours(), Some(theirs), "{kind:?}: after {statement}");
            follower.run("drop table t");
        }
    }
}
