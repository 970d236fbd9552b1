//! Places in the log, between what the server says, what a checkpoint says and what is asked for.
//! Pure.

use std::cmp::Ordering;

use super::dump::StartPoint;
use super::error::SourceError;
use super::log_point::LogPoint;
use super::preflight::{Gtids, ServerFacts};
use super::settings::Flavor;
use crate::config::{LogPosition, MysqlConfig};
use crate::offsets::position::{BinlogFile, MariadbPosition, MysqlPosition, Position};

/// What a new position is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbering {
    MysqlGtids,
    MysqlFile,
    MariadbGtids,
}

impl Numbering {
    /// What a position is already made of.
    pub(super) fn of_position(position: &Position) -> Self {
        match position {
            Position::Mysql(MysqlPosition { gtids: Some(_), .. }) => Self::MysqlGtids,
            Position::Mysql(MysqlPosition { gtids: None, .. })
            | Position::Postgres(_)
            | Position::Mongodb(_) => Self::MysqlFile,
            Position::Mariadb(_) => Self::MariadbGtids,
        }
    }
}

/// What the configuration and the server come to.
///
/// # Errors
/// When GTIDs are asked for and the server has none.
pub(super) fn numbering(
    flavor: Flavor,
    config: &MysqlConfig,
    facts: &ServerFacts,
) -> Result<Numbering, SourceError> {
    match (flavor, config.position, facts.gtids) {
        // Refused in the configuration.
        (Flavor::Mariadb, LogPosition::Auto | LogPosition::Gtid | LogPosition::File, _) => {
            Ok(Numbering::MariadbGtids)
        }
        (Flavor::Mysql, LogPosition::Gtid, Gtids::Off) => Err(SourceError::Setting {
            endpoint: config.host.clone(),
            flavor,
            setting: "gtid_mode",
            found: "not ON".to_owned(),
            wanted: "ON",
        }),
        (Flavor::Mysql, LogPosition::File, _) | (Flavor::Mysql, LogPosition::Auto, Gtids::Off) => {
            Ok(Numbering::MysqlFile)
        }
        (Flavor::Mysql, LogPosition::Auto | LogPosition::Gtid, Gtids::Sets | Gtids::Domains) => {
            Ok(Numbering::MysqlGtids)
        }
    }
}

/// The log's end as the start checks saw it.
pub(super) fn log_end(facts: &ServerFacts) -> LogPoint {
    LogPoint {
        file: facts.log_end.file.clone(),
        offset: facts.log_end.position,
        gtids: Some(facts.executed.clone()),
    }
}

/// # Errors
/// When the server's GTIDs make no sense.
pub(super) fn position(
    point: &LogPoint,
    facts: &ServerFacts,
    numbering: Numbering,
) -> Result<Position, SourceError> {
    let file = BinlogFile { name: point.file.clone(), offset: point.offset };
    let text = point.gtids.as_deref().unwrap_or_default();
    let server_uuid = facts.server_uuid.clone().unwrap_or_default();
    let refused = |detail| SourceError::GtidText { text: text.to_owned(), detail };
    Ok(match numbering {
        Numbering::MysqlFile => Position::Mysql(MysqlPosition::new(server_uuid, None, file)),
        Numbering::MysqlGtids => {
            let gtids = text.parse().map_err(|_| refused("it is the server's own"))?;
            Position::Mysql(MysqlPosition::new(server_uuid, Some(gtids), file))
        }
        Numbering::MariadbGtids => {
            let gtids = text.parse();
            let gtids =
                gtids.map_err(|_| refused("a GTID of MariaDB is domain-server-sequence"))?;
            Position::Mariadb(MariadbPosition::new(gtids, file))
        }
    })
}

/// The same place, but reading begins at an earlier one: of what lies between, only transactions
/// that are prepared and not decided are kept, and the rest is passed over.
pub(super) fn reading_from(at: Position, earlier: &Position) -> Position {
    match (at, earlier) {
        (Position::Mysql(at), Position::Mysql(earlier)) => {
            Position::Mysql(match (&at.gtids, &earlier.gtids) {
                (Some(gtids), Some(before)) => MysqlPosition {
                    again: gtids.minus(before),
                    gtids: Some(gtids.intersection(before)),
                    ..at
                },
                _ if at.file == earlier.file => at,
                _ => MysqlPosition { restart: Some(earlier.file.clone()), ..at },
            })
        }
        (Position::Mariadb(at), Position::Mariadb(earlier)) => {
            let restart = (at.gtids != earlier.gtids).then(|| earlier.gtids.clone());
            Position::Mariadb(MariadbPosition { restart, ..at })
        }
        (at, _) => at,
    }
}

/// A checkpoint's position as one on the server that we came to, which proved that it continues
/// there. Places in files, but for the one that GTIDs are not used for, are of one server's log.
///
/// # Errors
/// When it is the same server and its files have begun anew since.
pub(super) fn on_server(
    position: Position,
    facts: &ServerFacts,
    same_server: bool,
) -> Result<Position, SourceError> {
    let end = BinlogFile { name: facts.log_end.file.clone(), offset: facts.log_end.position };
    let check = |file: &BinlogFile| match file.compare(&end) {
        Some(Ordering::Greater) if same_server => Err(SourceError::BeyondLog {
            file: file.name.clone(),
            position: file.offset,
            end: end.to_string(),
        }),
        Some(_) | None => Ok(()),
    };
    match position {
        Position::Mysql(position) if position.gtids.is_some() => {
            check(&position.file)?;
            let server_uuid = facts.server_uuid.clone().unwrap_or_default();
            let begun = if same_server { position.begun } else { 0 };
            Ok(Position::Mysql(MysqlPosition { server_uuid, begun, ..position }))
        }
        Position::Mariadb(position) => {
            check(&position.file)?;
            let begun = if same_server { position.begun } else { 0 };
            Ok(Position::Mariadb(MariadbPosition { begun, ..position }))
        }
        // The checks of a file's own place have looked at all of it.
        Position::Mysql(_) | Position::Postgres(_) | Position::Mongodb(_) => Ok(position),
    }
}

/// What to ask for to go on from a position, and the server that it is a place on, where it is one
/// on a single server.
pub(super) fn start_point(position: &Position) -> (StartPoint, Option<&str>) {
    match position {
        Position::Mysql(MysqlPosition { gtids: Some(gtids), .. }) => {
            (StartPoint::Gtids(gtids.to_string()), None)
        }
        Position::Mysql(position) => {
            let BinlogFile { name, offset } = position.read_from();
            let from = StartPoint::File { file: name.clone(), position: *offset };
            (from, Some(&position.server_uuid))
        }
        Position::Mariadb(position) => {
            (StartPoint::MariadbGtids(position.read_from().to_string()), None)
        }
        // Refused by `check_flavor`; nothing is at this place.
        Position::Postgres(_) | Position::Mongodb(_) => {
            (StartPoint::File { file: String::new(), position: 0 }, None)
        }
    }
}

/// # Errors
/// When a checkpoint is another kind of source's.
pub(super) fn check_flavor(position: &Position, flavor: Flavor) -> Result<(), SourceError> {
    match (position, flavor) {
        (Position::Mysql(_), Flavor::Mysql) | (Position::Mariadb(_), Flavor::Mariadb) => Ok(()),
        (
            Position::Postgres(_)
            | Position::Mysql(_)
            | Position::Mariadb(_)
            | Position::Mongodb(_),
            _,
        ) => Err(SourceError::ForeignPosition { position: Box::new(position.clone()), flavor }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::mysql::preflight::{LogEnd, RowImage};

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn facts(gtids: Gtids) -> ServerFacts {
        ServerFacts {
            server_id: 1,
            server_uuid: (gtids != Gtids::Domains).then(|| UUID.to_owned()),
            account: "'u'@'%'".to_owned(),
            gtids,
            executed: match gtids {
                Gtids::Sets | Gtids::Off => format!("{UUID}:1-5"),
                Gtids::Domains => "0-1-5,1-1-7".to_owned(),
            },
            purged: String::new(),
            log_end: LogEnd { file: "binlog.000002".to_owned(), position: 157 },
            row_image: RowImage::Full,
            lower_case_table_names: 0,
            explicit_timestamps: true,
        }
    }

    #[test]
    fn what_the_log_ends_with_is_asked_for_again_in_the_same_terms() {
        let file = StartPoint::File { file: "binlog.000002".to_owned(), position: 157 };
        for (gtids, numbering, start, server) in [
            (Gtids::Sets, Numbering::MysqlGtids, StartPoint::Gtids(format!("{UUID}:1-5")), None),
            (Gtids::Off, Numbering::MysqlFile, file.clone(), Some(UUID)),
            (Gtids::Sets, Numbering::MysqlFile, file, Some(UUID)),
            (
                Gtids::Domains,
                Numbering::MariadbGtids,
                StartPoint::MariadbGtids("0-1-5,1-1-7".to_owned()),
                None,
            ),
        ] {
            let facts = facts(gtids);
            let position = position(&log_end(&facts), &facts, numbering).unwrap();
            assert_eq!(start_point(&position), (start, server), "{numbering:?}");
            assert_eq!(Numbering::of_position(&position), numbering);
        }
    }

    #[test]
    fn a_checkpoint_of_another_kind_of_source_is_refused() {
        let facts = facts(Gtids::Domains);
        let position = position(&log_end(&facts), &facts, Numbering::MariadbGtids).unwrap();
        assert!(check_flavor(&position, Flavor::Mariadb).is_ok());
        let error = check_flavor(&position, Flavor::Mysql).unwrap_err();
        assert!(matches!(error, SourceError::ForeignPosition { .. }), "{error}");
    }
}
