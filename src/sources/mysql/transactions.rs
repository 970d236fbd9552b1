//! A first look at the events of a stream: just enough to know whether a transaction is half on
//! its way. Everything else is the decoder's. A wrong answer costs a replay and nothing else.

use super::binlog::gtid::MariadbGtidEvent;
use super::binlog::header::{Header, kind};
use super::binlog::query::Query;
use super::statement::Statement;

/// Where in the transactions of the log the last event left us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    Between,
    /// Behind the name of a transaction: the next event says whether it is all of it.
    Named,
    Inside,
}

impl Place {
    /// Behind `event`.
    pub(super) fn after(self, event: &[u8]) -> Self {
        let Ok((header, body)) = Header::parse(event) else { return self };
        match header.kind {
            kind::GTID | kind::ANONYMOUS_GTID | kind::GTID_TAGGED => Self::Named,
            kind::MARIADB_GTID => match MariadbGtidEvent::parse(body, header.server_id) {
                Ok(event) if !event.standalone => Self::Inside,
                Ok(_) | Err(_) => Self::Named,
            },
            kind::XID | kind::XA_PREPARE | kind::TRANSACTION_PAYLOAD => Self::Between,
            kind::MARIADB_QUERY_COMPRESSED if self == Self::Named => Self::Between,
            kind::QUERY => match Query::parse(body) {
                Ok(query) => self.after_statement(&Statement::of(query.text)),
                Err(_) => self,
            },
            _ => self,
        }
    }

    fn after_statement(self, statement: &Statement<'_>) -> Self {
        match statement {
            Statement::Begin | Statement::XaStart(_) | Statement::DdlThenRows => Self::Inside,
            Statement::Commit | Statement::Rollback => Self::Between,
            Statement::RollbackTo | Statement::Nothing | Statement::XaEnd => self,
            Statement::XaCommit(_)
            | Statement::XaRollback(_)
            | Statement::Rows { .. }
            | Statement::Empty(_)
            | Statement::Ddl => match self {
                Self::Inside => Self::Inside,
                Self::Named | Self::Between => Self::Between,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut event = vec![0, 0, 0, 0, kind];
        event.extend_from_slice(&[0; 14]);
        event.extend_from_slice(body);
        event
    }

    fn query(text: &str) -> Vec<u8> {
        event(kind::QUERY, &[&[0; 13][..], &[0], text.as_bytes()].concat())
    }

    /// A number, a domain, and the flags.
    fn mariadb(flags: u8) -> Vec<u8> {
        event(
            kind::MARIADB_GTID,
            &[&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, flags][..], &[0; 6]].concat(),
        )
    }

    #[test]
    fn a_transaction_lasts_from_its_name_to_its_end() {
        use Place::{Between, Inside, Named};
        let check = |events: &[(Vec<u8>, Place)]| {
            let mut place = Place::default();
            for (at, (event, expected)) in events.iter().enumerate() {
                place = place.after(event);
                assert_eq!(place, *expected, "event {at}");
            }
        };
        let gtid = event(kind::GTID, &[]);
        let rows = event(kind::WRITE_ROWS, &[]);
        let xid = event(kind::XID, &[]);
        check(&[
            (gtid.clone(), Named),
            (query("BEGIN"), Inside),
            (rows.clone(), Inside),
            (query("SAVEPOINT `a`"), Inside),
            (rows.clone(), Inside),
            (xid.clone(), Between),
            (gtid.clone(), Named),
            (query("create table t (id int)"), Between),
            (event(kind::HEARTBEAT, &[]), Between),
            (event(kind::ANONYMOUS_GTID, &[]), Named),
            (query("BEGIN"), Inside),
            (query("COMMIT"), Between),
            (gtid.clone(), Named),
            (event(kind::TRANSACTION_PAYLOAD, &[]), Between),
            (gtid.clone(), Named),
            (query("XA START X'61',X'',1"), Inside),
            (rows.clone(), Inside),
            (query("XA END X'61',X'',1"), Inside),
            (event(kind::XA_PREPARE, &[]), Between),
            (gtid, Named),
            (query("XA COMMIT X'61',X'',1"), Between),
        ]);
        check(&[
            (mariadb(0), Inside),
            (rows, Inside),
            (xid, Between),
            (mariadb(1), Named),
            (query("drop table t"), Between),
        ]);
        assert_eq!(Inside.after(b"short"), Inside);
    }
}
