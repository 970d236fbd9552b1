//! Asking for the binary log: who we are, how we want it, and from where.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication.html>

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::connection::MyConnection;
use super::error::SourceError;
use super::inspect::Extent;
use super::settings::Flavor;
use super::sql::quote_literal;
use crate::offsets::position::{BinlogFile, GtidSet};

const OPERATION: &str = "ask for the binary log";
pub(super) const LOOK: &str = "look into the log for statements about a table";

/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_binlog_dump_gtid.html>
mod command {
    pub(super) const BINLOG_DUMP: u8 = 0x12;
    pub(super) const REGISTER_REPLICA: u8 = 0x15;
    pub(super) const BINLOG_DUMP_GTID: u8 = 0x1E;
}
/// `BINLOG_SEND_ANNOTATE_ROWS_EVENT` in MariaDB's `sql/sql_const.h`: with the statements.
const SEND_ANNOTATE_ROWS: u16 = 2;
/// `BINLOG_DUMP_NON_BLOCK` of both servers: at the log's end there is an end.
const NON_BLOCK: u16 = 1;
/// Whoever only looks is nobody's replica: the server ends no other reader for it
/// (`kill_zombie_dump_threads` in `sql/rpl_source.cc`; MariaDB's `dispatch_command`).
const NOBODY: u32 = 0;
/// Behind the four bytes that every file begins with.
const FIRST_POSITION: u64 = 4;
/// `MARIA_SLAVE_CAPABILITY_GTID` in `sql/log_event.h`: nothing is rewritten for an older reader.
const MARIADB_CAPABILITY: u32 = 4;
/// `report_host` has room for 255 bytes on new servers and for 60 on old ones.
const LABEL_BYTES_MAX: usize = 60;

/// From where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartPoint {
    /// Everything that is not in this GTID set of MySQL.
    Gtids(String),
    /// Everything behind these GTIDs of MariaDB, one for each domain.
    MariadbGtids(String),
    /// Everything from here on.
    File { file: String, position: u64 },
}

/// As whom, and how often the server shall give a sign of life.
#[derive(Clone, Debug)]
pub struct DumpSettings {
    pub server_id: u32,
    /// What `SHOW REPLICAS` shows as our host, so that a person knows us and we know ourselves.
    pub label: String,
    /// Ours among all replicas. The server ends an older reader with the same one, which is what
    /// is left of ourselves after a cut.
    pub replica_uuid: String,
    pub heartbeat: Duration,
    /// Longer than several heartbeats: a connection on which nothing arrives for this long.
    pub silence_limit: Duration,
}

impl DumpSettings {
    /// What a pipeline is called among replicas follows from its name, so that it stays.
    #[must_use]
    pub fn of_pipeline(pipeline: &str, server_id: Option<u32>, silence_limit: Duration) -> Self {
        const HEARTBEATS_PER_LIMIT: u32 = 3;
        let label: String = format!("tailwater:{pipeline}")
            .chars()
            .scan(0, |n_bytes, c| {
                *n_bytes += c.len_utf8();
                (*n_bytes <= LABEL_BYTES_MAX).then_some(c)
            })
            .collect();
        let hash: [u8; 32] = Sha256::digest(format!("tailwater replica {pipeline}")).into();
        let server_id = server_id.unwrap_or_else(|| derived_id(&hash));
        // With the id, so that two pipelines of one name in two places can be told apart by it.
        let hash: [u8; 32] = Sha256::digest([&hash[..], &server_id.to_le_bytes()].concat()).into();
        Self {
            server_id,
            label,
            replica_uuid: derived_uuid(&hash),
            heartbeat: silence_limit / HEARTBEATS_PER_LIMIT,
            silence_limit,
        }
    }
}

/// Above what people give to their servers: they count from 1, or write addresses and dates.
fn derived_id(hash: &[u8; 32]) -> u32 {
    let [.., a, b, c, d] = *hash;
    // u32::MAX is nobody's.
    (u32::from_le_bytes([a, b, c, d]) | 1 << 31).min(u32::MAX - 1)
}

/// Version 8 of RFC 9562: our own way of making it.
fn derived_uuid(hash: &[u8; 32]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in hash.iter().take(16).enumerate() {
        let byte = match at {
            6 => byte & 0x0F | 0x80,
            8 => byte & 0x3F | 0x80,
            _ => *byte,
        };
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

impl StartPoint {
    pub(super) fn extent(&self) -> Extent {
        match self {
            Self::Gtids(_) | Self::MariadbGtids(_) => Extent::Groups,
            Self::File { file, position } => {
                Extent::From { file: file.clone(), position: *position }
            }
        }
    }
}

/// Tells the server that a replica is here. Fails where the user may not be one.
///
/// # Errors
/// When a right is missing, or the connection is lost.
pub async fn register(
    connection: &mut MyConnection,
    settings: &DumpSettings,
) -> Result<(), SourceError> {
    if connection.flavor() == Flavor::Mysql {
        // The names of 8.0.26 and later beside those of before.
        let uuid = quote_literal(&settings.replica_uuid);
        let sql = format!("SET @slave_uuid = {uuid}, @replica_uuid = {uuid}");
        connection.query("set up the stream", &sql).await?;
    }
    let mut command = vec![command::REGISTER_REPLICA];
    command.extend_from_slice(&settings.server_id.to_le_bytes());
    command.push(u8::try_from(settings.label.len()).unwrap_or_default());
    command.extend_from_slice(settings.label.as_bytes());
    // User, password and port, for servers that would connect back; rank and source, unused.
    command.extend_from_slice(&[0; 2 + 2 + 4 + 4]);
    connection.command("register as a replica", &command).await
}

/// Begins the stream; events follow from [`MyConnection::read_events`].
///
/// # Errors
/// When the start point makes no sense, or the connection is lost. What the server thinks of it
/// comes with the first event.
pub(super) async fn begin(
    connection: &mut MyConnection,
    settings: &DumpSettings,
    from: &StartPoint,
) -> Result<(), SourceError> {
    let variables = variables(connection.flavor(), settings, from);
    connection.query("set up the stream", &variables).await?;
    let flags = every_event(connection.flavor());
    let command = dump_command(settings.server_id, flags, from)?;
    connection.send_command(OPERATION, &command).await
}

/// Begins a look at the log as it is, up to its present end, from this place or, where the command
/// has no room for that, from the beginning of its file; gives which of the two.
///
/// # Errors
/// As [`begin`].
pub(super) async fn look(
    connection: &mut MyConnection,
    from: &BinlogFile,
) -> Result<Extent, SourceError> {
    let file = from.name.clone();
    let position = u32::try_from(from.offset).map_or(FIRST_POSITION, u64::from);
    let from = StartPoint::File { file, position };
    let sql = checksums(connection.flavor());
    connection.query("set up the look", &sql).await?;
    let flags = NON_BLOCK | every_event(connection.flavor());
    let command = dump_command(NOBODY, flags, &from)?;
    connection.send_command(LOOK, &command).await?;
    Ok(from.extent())
}

/// Files without checksums are sent without; the name says what we can check.
fn checksums(flavor: Flavor) -> String {
    let source = match flavor {
        Flavor::Mysql => ", @source_binlog_checksum = 'CRC32'".to_owned(),
        Flavor::Mariadb => format!(", @mariadb_slave_capability = {MARIADB_CAPABILITY}"),
    };
    format!("SET @master_binlog_checksum = 'CRC32'{source}")
}

/// How a replica says what it wants: by user variables of its session (`Binlog_sender::init` in
/// MySQL's `sql/rpl_binlog_sender.cc`, `init_binlog_sender` in MariaDB's `sql/sql_repl.cc`).
fn variables(flavor: Flavor, settings: &DumpSettings, from: &StartPoint) -> String {
    let heartbeat_ns = settings.heartbeat.as_nanos();
    let mut sql = checksums(flavor);
    sql.push_str(&format!(", @master_heartbeat_period = {heartbeat_ns}"));
    if flavor == Flavor::Mysql {
        sql.push_str(&format!(", @source_heartbeat_period = {heartbeat_ns}"));
    }
    if let StartPoint::MariadbGtids(gtids) = from {
        // Strict: a GTID that the server does not have is an error and not a place somewhere near.
        sql.push_str(&format!(
            ", @slave_connect_state = {}, @slave_gtid_strict_mode = 1, \
             @slave_gtid_ignore_duplicates = 0",
            quote_literal(gtids)
        ));
    }
    sql
}

/// What it takes to get every event of the log: one that is left out is a gap.
fn every_event(flavor: Flavor) -> u16 {
    match flavor {
        Flavor::Mysql => 0,
        Flavor::Mariadb => SEND_ANNOTATE_ROWS,
    }
}

fn dump_command(server_id: u32, flags: u16, from: &StartPoint) -> Result<Vec<u8>, SourceError> {
    match from {
        StartPoint::Gtids(gtids) => {
            let refused = |detail| SourceError::GtidText { text: gtids.clone(), detail };
            let set: GtidSet = gtids.parse().map_err(|_| refused("it is no set of MySQL's"))?;
            let set = set.encode();
            let set_bytes =
                u32::try_from(set.len()).map_err(|_| refused("a set has less than 4 GiB"))?;
            let mut command = vec![command::BINLOG_DUMP_GTID];
            command.extend_from_slice(&0u16.to_le_bytes());
            command.extend_from_slice(&server_id.to_le_bytes());
            // No file: the server looks for the one that the set leads to.
            command.extend_from_slice(&0u32.to_le_bytes());
            command.extend_from_slice(&FIRST_POSITION.to_le_bytes());
            command.extend_from_slice(&set_bytes.to_le_bytes());
            command.extend_from_slice(&set);
            Ok(command)
        }
        StartPoint::MariadbGtids(_) => Ok(by_position((server_id, flags), "", 4)),
        StartPoint::File { file, position } => {
            // The command has 32 bits for it, whatever the server could do with more.
            let at = u32::try_from(*position).map_err(|_| SourceError::PositionTooLarge {
                file: file.clone(),
                position: *position,
            })?;
            Ok(by_position((server_id, flags), file, at))
        }
    }
}

/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_binlog_dump.html>
fn by_position((server_id, flags): (u32, u16), file: &str, position: u32) -> Vec<u8> {
    let mut command = vec![command::BINLOG_DUMP];
    command.extend_from_slice(&position.to_le_bytes());
    command.extend_from_slice(&flags.to_le_bytes());
    command.extend_from_slice(&server_id.to_le_bytes());
    command.extend_from_slice(file.as_bytes());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn a_pipeline_is_always_the_same_replica_and_never_another_pipelines() {
        let shop = DumpSettings::of_pipeline("shop", None, LIMIT);
        let again = DumpSettings::of_pipeline("shop", None, LIMIT);
        let other = DumpSettings::of_pipeline("shop2", None, LIMIT);
        assert_eq!((shop.server_id, &shop.replica_uuid), (again.server_id, &again.replica_uuid));
        assert_ne!(shop.server_id, other.server_id);
        assert_ne!(shop.replica_uuid, other.replica_uuid);
        let elsewhere = DumpSettings::of_pipeline("shop", Some(7), LIMIT);
        assert_ne!(shop.replica_uuid, elsewhere.replica_uuid);
        assert!(shop.server_id >= 1 << 31 && shop.server_id < u32::MAX);
        assert_eq!(shop.replica_uuid.len(), 36);
        assert_eq!(shop.label, "tailwater:shop");
        assert_eq!(DumpSettings::of_pipeline("shop", Some(7), LIMIT).server_id, 7);
        assert_eq!(shop.heartbeat, Duration::from_secs(20));
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let settings = DumpSettings::of_pipeline(&"ü".repeat(60), None, LIMIT);
        assert!(settings.label.len() <= LABEL_BYTES_MAX);
        assert!(settings.label.starts_with("tailwater:üü"));
    }

    #[test]
    fn each_server_is_told_what_it_understands() {
        let settings = DumpSettings::of_pipeline("shop", None, LIMIT);
        let mysql = variables(Flavor::Mysql, &settings, &StartPoint::Gtids(String::new()));
        assert!(mysql.contains("@source_heartbeat_period = 20000000000"));
        assert!(!mysql.contains("mariadb"));
        let from = StartPoint::MariadbGtids("0-1-100,1-2-3".into());
        let mariadb = variables(Flavor::Mariadb, &settings, &from);
        assert!(mariadb.contains("@slave_connect_state = '0-1-100,1-2-3'"));
        assert!(mariadb.contains("@mariadb_slave_capability = 4"));
        let file = StartPoint::File { file: "b.000001".into(), position: 4 };
        assert!(!variables(Flavor::Mariadb, &settings, &file).contains("connect_state"));
    }

    #[test]
    fn a_place_that_the_command_cannot_name_is_refused() {
        let at = |position| {
            let from = StartPoint::File { file: "b.000001".into(), position };
            dump_command(7, 0, &from)
        };
        assert_eq!(at(4).unwrap(), b"\x12\x04\0\0\0\0\0\x07\0\0\0b.000001");
        assert!(at(u64::from(u32::MAX)).is_ok());
        let error = at(u64::from(u32::MAX) + 1).unwrap_err();
        assert!(matches!(error, SourceError::PositionTooLarge { .. }), "{error}");
    }

    #[test]
    fn gtids_are_asked_for_without_a_file() {
        let command = dump_command(7, 0, &StartPoint::Gtids(String::new())).unwrap();
        let expected =
            [&b"\x1e\0\0\x07\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x08\0\0\0"[..], &[0; 8]].concat();
        assert_eq!(command, expected);
        let one = StartPoint::Gtids("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5".to_owned());
        let command = dump_command(7, 0, &one).unwrap();
        assert_eq!(command[19..23], 48_u32.to_le_bytes());
        // Behind count and UUID: one interval, from 1, up to the first that is not in it.
        let (words, _) = command[23 + 8 + 16..].as_chunks::<8>();
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        assert_eq!(words, [1, 1, 6]);
        let error = dump_command(7, 0, &StartPoint::Gtids("0-1-100".to_owned()));
        assert!(matches!(error, Err(SourceError::GtidText { .. })));
    }
}
