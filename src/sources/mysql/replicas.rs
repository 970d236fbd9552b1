//! Our place among those who read this server's log.

use super::connection::MyConnection;
use super::dump::DumpSettings;
use super::error::SourceError;
use super::preflight::{ACCESS_DENIED, ServerFacts, missing};
use super::settings::Flavor;
use super::sql::Row;

const LOGIN_DENIED: u16 = 1045;

/// Nobody else may read with our id: MariaDB would end one of the two, and a person could not tell
/// them apart on either.
///
/// # Errors
/// When somebody has it.
pub async fn check_server_id(
    connection: &mut MyConnection,
    facts: &ServerFacts,
    settings: &DumpSettings,
) -> Result<(), SourceError> {
    let (server_id, flavor) = (settings.server_id, connection.flavor());
    let taken = |holder: String| SourceError::ServerIdTaken { server_id, holder, flavor };
    if server_id == facts.server_id {
        return Err(taken("the server itself".to_owned()));
    }
    let sql = match flavor {
        Flavor::Mysql if connection.version().is_at_least(8, 0, 22) => "SHOW REPLICAS",
        Flavor::Mysql | Flavor::Mariadb => "SHOW SLAVE HOSTS",
    };
    let rows = match connection.query("ask for the server's replicas", sql).await {
        Err(error) if error.has_code(ACCESS_DENIED) && flavor == Flavor::Mysql => {
            let what = "see the replicas, and to be one";
            return Err(missing(&facts.account, what, "REPLICATION SLAVE"));
        }
        // There it takes REPLICATION MASTER ADMIN, which a reader does not need otherwise.
        Err(error) if error.has_code(ACCESS_DENIED) => {
            tracing::debug!(%error, "who else reads the log cannot be seen");
            return Ok(());
        }
        other => other?,
    };
    match rows.iter().find_map(|row| holder(row, flavor, settings)) {
        Some(holder) => Err(taken(holder)),
        None => Ok(()),
    }
}

/// Who has our id, unless it is ourselves of a moment ago. Columns: id, host, port, source's id,
/// and in MySQL the UUID.
fn holder(row: &Row, flavor: Flavor, settings: &DumpSettings) -> Option<String> {
    let column = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
    let ours = column(0).parse() == Ok(settings.server_id);
    let (host, uuid) = (column(1), column(4));
    let ourselves = match flavor {
        Flavor::Mysql => uuid.eq_ignore_ascii_case(&settings.replica_uuid),
        Flavor::Mariadb => host == settings.label,
    };
    match (ours && !ourselves, host.as_str()) {
        (false, _) => None,
        (true, "") => Some(format!("replica {uuid}")),
        (true, host) => Some(format!("replica {uuid} `{host}`")),
    }
}

/// What [`super::dump::register`] failed with, in the words of rights.
#[must_use]
pub fn registration_error(error: SourceError, facts: &ServerFacts) -> SourceError {
    // MySQL checks this one as it checks a login.
    match error.has_code(ACCESS_DENIED) || error.has_code(LOGIN_DENIED) {
        true => missing(&facts.account, "be a replica", "REPLICATION SLAVE"),
        false => error,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_id_is_taken_by_everybody_but_ourselves() {
        let settings = DumpSettings::of_pipeline("shop", Some(7), Duration::from_secs(60));
        let row = |id: &str, host: &str, uuid: &str| -> Row {
            [id, host, "3306", "1", uuid].map(|text| Some(text.to_owned())).to_vec()
        };
        let ours = settings.replica_uuid.as_str();
        let check = |row: Row, flavor| holder(&row, flavor, &settings);
        assert_eq!(check(row("8", "", "other"), Flavor::Mysql), None);
        assert_eq!(check(row("7", "tailwater:shop", ours), Flavor::Mysql), None);
        let other = check(row("7", "", "other"), Flavor::Mysql);
        assert_eq!(other.as_deref(), Some("replica other"));
        assert_eq!(check(row("7", "tailwater:shop", ""), Flavor::Mariadb), None);
        assert!(check(row("7", "db2", ""), Flavor::Mariadb).is_some());
    }
}
