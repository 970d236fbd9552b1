//! SQL over our connection: results, long results, errors.

use tailwater::disposition::{Diagnose, Disposition};
use tailwater::sources::mysql::connection::{MyConnection, RowsRead};
use tailwater::sources::mysql::error::SourceError;
use tailwater::sources::mysql::settings::ConnectSettings;
use tailwater::sources::mysql::sql::values;

use super::login::root;
use super::reading::connect;
use crate::support::mysql::{Kind, Server};
use crate::support::runtime;

async fn lengths(connection: &mut MyConnection, sql: &str) -> Result<Vec<Vec<usize>>, SourceError> {
    connection.start_rows("test", sql).await?;
    let mut all = Vec::new();
    while let RowsRead::Rows(frames) = connection.read_rows("test").await? {
        for range in &frames.payloads {
            let row = &frames.data[range.start as usize..range.end as usize];
            all.push(values(row).map(|v| v.unwrap().map_or(0, <[u8]>::len)).collect());
        }
    }
    Ok(all)
}

#[test]
fn rows_come_in_runs_whatever_their_size() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &["--max-allowed-packet=128M"]);
        let mut connection = connect(&root(&server));
        server.session().script("create database d; create table d.t (id int primary key)");
        for n in 0..10 {
            let values: Vec<_> = (n * 1000..n * 1000 + 1000).map(|n| format!("({n})")).collect();
            server.run(&format!("insert into d.t values {}", values.join(",")));
        }
        runtime().block_on(async {
            let sql = "select id, '', null, 'four', repeat('x', 300) from d.t order by id";
            let rows = lengths(&mut connection, sql).await.unwrap();
            assert_eq!(rows.len(), 10_000);
            assert_eq!(rows[9_999], [4, 0, 0, 4, 300]);
            let sql = "select repeat('x', 40000000) union all select 'small' \
                       union all select repeat('y', 16777215 - 4)";
            let rows = lengths(&mut connection, sql).await.unwrap();
            assert_eq!(rows, [[40_000_000], [5], [16_777_211]]);
            // The connection is as new.
            assert_eq!(lengths(&mut connection, "select 1 limit 0").await.unwrap().len(), 0);
            connection.ping().await.unwrap();
            connection.close().await;
        });
    }
}

#[test]
fn the_session_is_ours_whatever_the_server_is_set_to() {
    for kind in Kind::BOTH {
        let server = Server::start(
            kind,
            &[
                "--default-time-zone=+05:30",
                "--sql-mode=ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH,NO_BACKSLASH_ESCAPES",
                "--character-set-server=latin1",
                "--wait-timeout=1",
                "--net-write-timeout=1",
                "--init-connect=set names latin1",
            ],
        );
        // `init_connect` is for everybody but administrators.
        server.session().script("set global sql_select_limit = 3; create user u identified by ''");
        let mut connection = connect(&ConnectSettings { user: "u".into(), ..root(&server) });
        let sql = "select @@time_zone, @@sql_mode, @@character_set_results, @@wait_timeout, \
                   @@net_write_timeout, 'süß', \"it\\'s\", @@autocommit";
        let rows = runtime().block_on(connection.query("test", sql)).unwrap();
        let expected = ["+00:00", "", "utf8mb4", "86400", "86400", "süß", "it's", "1"];
        assert_eq!(rows, [expected.map(|text| Some(text.to_owned())).to_vec()]);
        let sql = "select 1 union all select 2 union all select 3 union all select 4";
        assert_eq!(runtime().block_on(connection.query("test", sql)).unwrap().len(), 4);
    }
}

#[test]
fn errors_come_with_their_numbers_and_leave_the_connection_usable() {
    for kind in Kind::BOTH {
        let server = Server::shared(kind);
        let mut connection = connect(&root(server));
        runtime().block_on(async {
            for (sql, code, disposition) in [
                ("select oops from", 1064, Disposition::Stop),
                ("select * from nowhere.nothing", 0, Disposition::Stop),
                ("signal sqlstate '45000' set mysql_errno = 1205", 1205, Disposition::Reconnect),
            ] {
                let error = connection.query("test", sql).await.unwrap_err();
                let server_error = error.server().unwrap();
                assert!(code == 0 || server_error.code == code, "{server_error}");
                assert_eq!(error.disposition(), disposition, "{server_error}");
                let error = connection.start_rows("test", sql).await.unwrap_err();
                assert!(matches!(error, SourceError::Statement { .. }), "{error}");
            }
            // Neither a file of ours nor a second result is given to a statement that wants one.
            assert!(connection.query("test", "select 1; select 2").await.is_err());
            connection.ping().await.unwrap();
        });
    }
}

#[test]
fn a_statement_that_is_ended_in_the_middle_of_its_rows_says_so() {
    for kind in Kind::BOTH {
        let server = Server::shared(kind);
        let mut connection = connect(&root(server));
        let id = connection.thread_id();
        runtime().block_on(async {
            let sql = "with recursive n (n) as (select 1 union all select n + 1 from n \
                       where n < 100) select n, sleep(0.1), repeat('x', 20000) from n";
            connection.start_rows("test", sql).await.unwrap();
            assert!(matches!(connection.read_rows("test").await.unwrap(), RowsRead::Rows(_)));
        });
        server.run(&format!("kill query {id}"));
        let ended = runtime().block_on(async {
            loop {
                match connection.read_rows("test").await {
                    Ok(RowsRead::Rows(_)) => {}
                    Ok(RowsRead::Done) => break None,
                    Err(error) => break Some(error),
                }
            }
        });
        let code = ended.as_ref().and_then(SourceError::server).map(|error| error.code);
        assert_eq!(code, Some(1317), "{kind:?}");
    }
}

#[test]
fn the_results_of_a_procedure_come_together() {
    for kind in Kind::BOTH {
        let server = Server::shared(kind);
        let database = server.database("results");
        server.run(&format!("create procedure {database}.p() begin select 1; select 2; end"));
        let mut connection = connect(&root(server));
        let call = format!("call {database}.p()");
        let rows = runtime().block_on(connection.query("test", &call)).unwrap();
        assert_eq!(rows, [[Some("1".to_owned())], [Some("2".to_owned())]]);
        runtime().block_on(connection.ping()).unwrap();
    }
}
