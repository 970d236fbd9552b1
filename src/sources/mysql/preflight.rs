//! What must be right with a server before anything is read from it.

use std::collections::HashMap;

use super::connection::MyConnection;
use super::error::SourceError;
use super::settings::Flavor;
use super::sql::{Columns, Row, quote_literal};

/// Access denied: a global privilege is missing.
pub(super) const ACCESS_DENIED: u16 = 1227;
const DAY_SECONDS: u64 = 86_400;

/// How a place in this server's log is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gtids {
    /// MySQL with `gtid_mode = ON`.
    Sets,
    /// MariaDB, always.
    Domains,
    /// MySQL with anything else: file and position.
    Off,
}

/// Which columns of a row are in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowImage {
    Full,
    /// Some are not, and count as unavailable.
    Partial,
}

/// The server as far as a run cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    pub server_id: u32,
    /// MySQL's; MariaDB has none.
    pub server_uuid: Option<String>,
    /// As a GRANT names us: `'user'@'host'`.
    pub account: String,
    pub gtids: Gtids,
    /// What the log leads up to: `gtid_executed`, or MariaDB's `gtid_binlog_pos`.
    pub executed: String,
    /// MySQL's `gtid_purged`; empty elsewhere.
    pub purged: String,
    pub log_end: LogEnd,
    pub row_image: RowImage,
    /// 0: names of tables are as they were written. 1: they are in lower case. 2: both.
    pub lower_case_table_names: u32,
    /// `explicit_defaults_for_timestamp`
    pub explicit_timestamps: bool,
}

/// Where the next transaction will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEnd {
    pub file: String,
    pub position: u64,
}

/// # Errors
/// When the server cannot be captured from.
pub async fn server(connection: &mut MyConnection) -> Result<ServerFacts, SourceError> {
    let flavor = connection.flavor();
    let endpoint = connection.endpoint().to_owned();
    check_version(connection)?;
    let variables = Variables::read(connection).await?;
    variables.check(flavor)?;
    variables.warn(flavor);
    let account = account(connection).await?;
    let log_end = log_end(connection, &account).await?;
    if !variables.is_on("log_replica_updates") && !variables.is_on("log_slave_updates") {
        check_is_no_replica(connection).await?;
    }
    let (executed, purged) = gtid_sets(connection).await?;
    let gtids = match (flavor, variables.text("gtid_mode")) {
        (Flavor::Mariadb, _) => Gtids::Domains,
        (Flavor::Mysql, "ON") => Gtids::Sets,
        (Flavor::Mysql, _) => Gtids::Off,
    };
    if gtids == Gtids::Off {
        tracing::warn!(
            endpoint,
            gtid_mode = variables.text("gtid_mode"),
            "places in the log are files and positions: no failover, nothing beyond 4 GiB of a file"
        );
    }
    Ok(ServerFacts {
        server_id: variables.number("server_id")?,
        server_uuid: variables.optional("server_uuid"),
        account,
        gtids,
        executed,
        purged,
        log_end,
        row_image: variables.row_image(),
        lower_case_table_names: variables.number("lower_case_table_names")?,
        explicit_timestamps: variables.is_on("explicit_defaults_for_timestamp"),
    })
}

fn check_version(connection: &MyConnection) -> Result<(), SourceError> {
    let (flavor, version) = (connection.flavor(), connection.version());
    let (supported, oldest) = match flavor {
        Flavor::Mysql => (version.is_at_least(8, 0, 1), "8.0"),
        Flavor::Mariadb => (version.is_at_least(10, 6, 0), "10.6"),
    };
    match supported {
        true => Ok(()),
        false => Err(SourceError::ServerVersion {
            endpoint: connection.endpoint().to_owned(),
            flavor,
            found: version.to_string(),
            oldest,
        }),
    }
}

/// Settings by their names: which of them a server has depends on its version.
struct Variables {
    endpoint: String,
    values: HashMap<String, String>,
}

impl Variables {
    async fn read(connection: &mut MyConnection) -> Result<Self, SourceError> {
        const SQL: &str = "SHOW GLOBAL VARIABLES WHERE variable_name IN ('log_bin', \
            'binlog_format', 'binlog_row_image', 'binlog_row_metadata', 'gtid_mode', 'server_id', \
            'server_uuid', 'binlog_expire_logs_seconds', 'log_replica_updates', \
            'log_slave_updates', 'lower_case_table_names', 'explicit_defaults_for_timestamp')";
        let rows = connection.query("read the server's settings", SQL).await?;
        let endpoint = connection.endpoint().to_owned();
        let mut values = HashMap::new();
        for row in rows {
            let mut columns = Columns::new(&endpoint, row);
            values.insert(columns.text()?.to_ascii_lowercase(), columns.text()?);
        }
        Ok(Self { endpoint, values })
    }

    fn text(&self, name: &str) -> &str {
        self.values.get(name).map(String::as_str).unwrap_or_default()
    }

    fn optional(&self, name: &str) -> Option<String> {
        self.values.get(name).filter(|value| !value.is_empty()).cloned()
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, SourceError> {
        self.text(name).parse().map_err(|_| SourceError::Protocol {
            endpoint: self.endpoint.clone(),
            detail: format!("{name} is `{}`", self.text(name)),
        })
    }

    fn is_on(&self, name: &str) -> bool {
        matches!(self.text(name), "ON" | "1")
    }

    fn row_image(&self) -> RowImage {
        match self.text("binlog_row_image") {
            "FULL" | "FULL_NODUP" => RowImage::Full,
            _ => RowImage::Partial,
        }
    }

    fn check(&self, flavor: Flavor) -> Result<(), SourceError> {
        if !self.is_on("log_bin") {
            return Err(SourceError::BinlogOff { endpoint: self.endpoint.clone() });
        }
        // A version that has lost the setting writes rows and nothing else.
        if self.values.contains_key("binlog_format") {
            self.check_is("binlog_format", "ROW", flavor)?;
        }
        // "With server_id = 0, a source refuses connections from any replicas" (manual, 19.1.6).
        if self.text("server_id") == "0" {
            return Err(self.setting("server_id", "1", flavor));
        }
        Ok(())
    }

    fn check_is(
        &self,
        setting: &'static str,
        wanted: &'static str,
        flavor: Flavor,
    ) -> Result<(), SourceError> {
        match self.text(setting).eq_ignore_ascii_case(wanted) {
            true => Ok(()),
            false => Err(self.setting(setting, wanted, flavor)),
        }
    }

    fn setting(&self, setting: &'static str, wanted: &'static str, flavor: Flavor) -> SourceError {
        let found = self.text(setting).to_owned();
        SourceError::Setting { endpoint: self.endpoint.clone(), flavor, setting, found, wanted }
    }

    fn warn(&self, flavor: Flavor) {
        let endpoint = self.endpoint.as_str();
        if self.row_image() == RowImage::Partial {
            let sql = match flavor {
                Flavor::Mysql => "SET PERSIST binlog_row_image = FULL;",
                Flavor::Mariadb => "SET GLOBAL binlog_row_image = FULL;",
            };
            let found = self.text("binlog_row_image");
            tracing::warn!(
                endpoint,
                binlog_row_image = found,
                mend = sql,
                "columns that a change did not touch are not in the log, and go out as unavailable"
            );
        }
        let metadata = self.text("binlog_row_metadata");
        if !metadata.eq_ignore_ascii_case("FULL") {
            let sql = match flavor {
                Flavor::Mysql => "SET PERSIST binlog_row_metadata = FULL;",
                Flavor::Mariadb => "SET GLOBAL binlog_row_metadata = FULL;",
            };
            tracing::warn!(
                endpoint,
                binlog_row_metadata = metadata,
                mend = sql,
                "the log does not name the columns of its rows: they are followed by the statements \
                 that define tables; FULL is better"
            );
        }
        // 0 means that nothing is ever thrown away.
        let kept: u64 = self.text("binlog_expire_logs_seconds").parse().unwrap_or(0);
        if (1..DAY_SECONDS).contains(&kept) {
            tracing::warn!(
                endpoint,
                binlog_expire_logs_seconds = kept,
                "the log is kept for less than a day: a stop for longer needs a new snapshot"
            );
        }
    }
}

async fn account(connection: &mut MyConnection) -> Result<String, SourceError> {
    let rows = connection.query("ask who we are", "SELECT CURRENT_USER()").await?;
    let mut columns = first_row(connection, rows);
    let account = columns.text()?;
    // The host has no @ in it, a user's name may.
    let (user, host) = account.rsplit_once('@').unwrap_or((account.as_str(), "%"));
    Ok(format!("{}@{}", quote_literal(user), quote_literal(host)))
}

fn first_row(connection: &MyConnection, rows: Vec<Row>) -> Columns<'_> {
    Columns::new(connection.endpoint(), rows.into_iter().next().unwrap_or_default())
}

/// What this kind of user may do at least.
pub(super) fn missing(account: &str, what: &str, privilege: &str) -> SourceError {
    SourceError::MissingGrants {
        user: account.to_owned(),
        missing: what.to_owned(),
        sql: format!("GRANT {privilege} ON *.* TO {account};"),
    }
}

/// # Errors
/// When a right is missing, or the connection is lost.
pub async fn log_end(connection: &mut MyConnection, account: &str) -> Result<LogEnd, SourceError> {
    let (sql, privilege) = match connection.flavor() {
        Flavor::Mysql if connection.version().is_at_least(8, 2, 0) => {
            ("SHOW BINARY LOG STATUS", "REPLICATION CLIENT, REPLICATION SLAVE")
        }
        Flavor::Mysql => ("SHOW MASTER STATUS", "REPLICATION CLIENT, REPLICATION SLAVE"),
        Flavor::Mariadb => ("SHOW MASTER STATUS", "BINLOG MONITOR, REPLICATION SLAVE"),
    };
    let rows = match connection.query("ask for the log's end", sql).await {
        Err(error) if error.has_code(ACCESS_DENIED) => {
            return Err(missing(account, "see the state of the binary log", privilege));
        }
        other => other?,
    };
    let endpoint = connection.endpoint().to_owned();
    // Empty where nothing is logged.
    let Some(row) = rows.into_iter().next() else {
        return Err(SourceError::BinlogOff { endpoint });
    };
    let mut columns = Columns::new(&endpoint, row);
    let end = LogEnd { file: columns.text()?, position: columns.parsed()? };
    let (only, without) = (columns.text()?, columns.text()?);
    if !only.is_empty() || !without.is_empty() {
        tracing::warn!(
            endpoint,
            binlog_do_db = only,
            binlog_ignore_db = without,
            "the server leaves changes of some databases out of its log: nobody can capture those"
        );
    }
    Ok(end)
}

async fn check_is_no_replica(connection: &mut MyConnection) -> Result<(), SourceError> {
    match replica_status(connection).await?.is_empty() {
        true => Ok(()),
        false => Err(SourceError::ReplicaWithoutLog {
            endpoint: connection.endpoint().to_owned(),
            flavor: connection.flavor(),
        }),
    }
}

/// Whether the server is a replica at work: what it does not have yet may still come. A server
/// that was promoted keeps its settings as a replica, but applies nothing.
///
/// # Errors
/// When the connection is lost.
pub(super) async fn applies_another_log(
    connection: &mut MyConnection,
) -> Result<bool, SourceError> {
    // Replica_SQL_Running; MariaDB has two columns more before it.
    let column = match connection.flavor() {
        Flavor::Mysql => 11,
        Flavor::Mariadb => 13,
    };
    let rows = replica_status(connection).await?;
    let runs = |row: &Row| row.get(column).is_some_and(|cell| cell.as_deref() == Some("Yes"));
    Ok(rows.iter().any(runs))
}

/// One row for each source of the server; none too where we may not see them.
async fn replica_status(connection: &mut MyConnection) -> Result<Vec<Row>, SourceError> {
    let sql = match connection.flavor() {
        Flavor::Mysql if connection.version().is_at_least(8, 0, 22) => "SHOW REPLICA STATUS",
        Flavor::Mysql => "SHOW SLAVE STATUS",
        Flavor::Mariadb => "SHOW ALL SLAVES STATUS",
    };
    match connection.query("ask whether the server is a replica", sql).await {
        Err(error) if error.has_code(ACCESS_DENIED) => {
            let endpoint = connection.endpoint();
            tracing::debug!(endpoint, %error, "whether the server is a replica cannot be seen");
            Ok(Vec::new())
        }
        other => other,
    }
}

/// Executed and purged. By SELECT, because SHOW VARIABLES cuts long values.
async fn gtid_sets(connection: &mut MyConnection) -> Result<(String, String), SourceError> {
    // Not `gtid_current_pos`: what a promoted replica got as a replica may not be in its log.
    let sql = match connection.flavor() {
        Flavor::Mysql => "SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged",
        Flavor::Mariadb => "SELECT @@GLOBAL.gtid_binlog_pos, ''",
    };
    let rows = connection.query("read the server's GTIDs", sql).await?;
    let mut columns = first_row(connection, rows);
    // The server breaks lines between UUIDs.
    Ok((columns.text()?.replace('\n', ""), columns.text()?.replace('\n', "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(changed: &[(&str, &str)]) -> Variables {
        let usual = [
            ("log_bin", "ON"),
            ("binlog_format", "ROW"),
            ("binlog_row_image", "FULL"),
            ("binlog_row_metadata", "FULL"),
            ("server_id", "1"),
        ];
        let all = usual.iter().chain(changed);
        let values = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Variables { endpoint: "here".into(), values }
    }

    #[test]
    fn settings_that_would_lose_something_are_refused_by_name() {
        assert!(variables(&[]).check(Flavor::Mysql).is_ok());
        for (name, value, said) in [
            ("log_bin", "OFF", "its binary log is switched off"),
            ("binlog_format", "MIXED", "binlog_format is `MIXED`, capture needs `ROW`"),
            ("binlog_format", "STATEMENT", "binlog_format is `STATEMENT`, capture needs `ROW`"),
            ("server_id", "0", "server_id is `0`, capture needs `1`"),
        ] {
            let error = variables(&[(name, value)]).check(Flavor::Mysql).unwrap_err();
            assert!(error.to_string().ends_with(said), "{error}");
        }
    }

    #[test]
    fn a_version_without_a_format_writes_rows() {
        let mut variables = variables(&[]);
        variables.values.remove("binlog_format");
        assert!(variables.check(Flavor::Mysql).is_ok());
    }

    #[test]
    fn a_log_that_does_not_name_columns_is_followed_by_statements() {
        for value in ["MINIMAL", "NO_LOG"] {
            let variables = variables(&[("binlog_row_metadata", value)]);
            assert!(variables.check(Flavor::Mysql).is_ok(), "{value}");
        }
    }

    #[test]
    fn row_images_with_columns_left_out_are_known() {
        for (value, image) in [
            ("FULL", RowImage::Full),
            ("FULL_NODUP", RowImage::Full),
            ("MINIMAL", RowImage::Partial),
            ("NOBLOB", RowImage::Partial),
        ] {
            assert_eq!(variables(&[("binlog_row_image", value)]).row_image(), image);
        }
    }
}
