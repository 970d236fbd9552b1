//! What a start refuses, and that what it says mends it.

use tailwater::disposition::{Diagnose, Disposition};
use tailwater::sources::mysql::connection::MyConnection;
use tailwater::sources::mysql::dump::{self, DumpSettings, StartPoint};
use tailwater::sources::mysql::error::SourceError;
use tailwater::sources::mysql::lineage;
use tailwater::sources::mysql::preflight::{self, Gtids, RowImage, ServerFacts};
use tailwater::sources::mysql::replicas;
use tailwater::sources::mysql::settings::ConnectSettings;

use super::login::root;
use super::reading::{connect, describe, here, settings};
use crate::support::mysql::{Kind, Server};
use crate::support::{runtime, seconds};

fn survey(to: &ConnectSettings) -> Result<(MyConnection, ServerFacts), SourceError> {
    let mut connection = connect(to);
    let facts = runtime().block_on(preflight::server(&mut connection))?;
    Ok((connection, facts))
}

fn refused(server: &Server) -> SourceError {
    survey(&root(server)).err().expect("the server is refused")
}

#[test]
fn a_server_that_is_as_it_should_be_is_known_well() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        server.session().script("create database d; create table d.t (id int)");
        let (_, facts) = survey(&root(&server)).unwrap();
        assert_eq!(facts.server_id, 1);
        assert_eq!(facts.row_image, RowImage::Full);
        assert_eq!(facts.account, "'root'@'localhost'");
        assert_eq!(facts.server_uuid.is_some(), kind == Kind::Mysql);
        let (gtids, file) = here(&server);
        let end = &facts.log_end;
        assert_eq!(file, StartPoint::File { file: end.file.clone(), position: end.position });
        match kind {
            Kind::Mysql => {
                assert_eq!(facts.gtids, Gtids::Sets);
                assert_eq!(gtids, StartPoint::Gtids(facts.executed));
            }
            Kind::Mariadb => {
                assert_eq!(facts.gtids, Gtids::Domains);
                assert_eq!(gtids, StartPoint::MariadbGtids("0-1-2".into()));
                assert_eq!(facts.executed, "0-1-2");
            }
        }
    }
}

#[test]
fn each_setting_is_refused_by_name_and_the_hint_mends_it() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        for (setting, wrong) in [("binlog_format", "STATEMENT"), ("binlog_format", "MIXED")] {
            server.run(&format!("set global {setting} = {wrong}"));
            let error = refused(&server);
            assert_eq!(error.disposition(), Disposition::Stop);
            assert!(error.to_string().contains(&format!("{setting} is `{wrong}`")), "{error}");
            let hint = error.hint().unwrap();
            server.run(hint.split(';').next().unwrap());
            survey(&root(&server)).unwrap();
        }
        // Tables are followed by statements then.
        server.run("set global binlog_row_metadata = MINIMAL");
        survey(&root(&server)).unwrap();
        server.run("set global binlog_row_image = MINIMAL");
        assert_eq!(survey(&root(&server)).unwrap().1.row_image, RowImage::Partial);
    }
}

#[test]
fn a_server_without_a_log_is_refused() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &["--skip-log-bin"]);
        let error = refused(&server);
        assert!(matches!(error, SourceError::BinlogOff { .. }), "{error}");
        assert!(error.hint().unwrap().contains("log_bin"));
    }
}

#[test]
fn without_gtids_places_are_files() {
    let server = Server::start(Kind::Mysql, &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]);
    let (mut connection, facts) = survey(&root(&server)).unwrap();
    assert_eq!(facts.gtids, Gtids::Off);
    let from = StartPoint::Gtids(format!("{}:1-3", facts.server_uuid.clone().unwrap()));
    let checked = runtime().block_on(lineage::check(&mut connection, &facts, None, from));
    assert!(matches!(checked, Err(SourceError::GtidsOff { .. })), "{checked:?}");
}

fn with_user(server: &Server, privileges: &str) -> ConnectSettings {
    server.run("drop user if exists reader@'%'");
    server.run("create user reader@'%' identified by ''");
    if !privileges.is_empty() {
        server.run(&format!("grant {privileges} on *.* to reader@'%'"));
    }
    ConnectSettings { user: "reader".into(), ..root(server) }
}

/// Everything that a start does with its rights.
fn begin(to: &ConnectSettings, dump: &DumpSettings) -> Result<(), SourceError> {
    let (mut connection, facts) = survey(to)?;
    runtime().block_on(async {
        replicas::check_server_id(&mut connection, &facts, dump).await?;
        let registered = dump::register(&mut connection, dump).await;
        registered.map_err(|error| replicas::registration_error(error, &facts))
    })
}

#[test]
fn the_rights_that_are_missing_are_named_by_the_sql_that_grants_them() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        let (client, replica) = match kind {
            Kind::Mysql => ("replication client", "replication slave"),
            Kind::Mariadb => ("binlog monitor", "replication slave"),
        };
        for privileges in ["", client, replica] {
            let to = with_user(&server, privileges);
            let error = begin(&to, &settings("rights")).expect_err("something is missing");
            assert!(matches!(error, SourceError::MissingGrants { .. }), "{}", describe(&error));
            assert_eq!(error.disposition(), Disposition::Stop);
            // One of them at a time, or both at once: the hint says what it takes.
            server.run(error.hint().unwrap().trim_end_matches(';'));
            begin(&to, &settings("rights")).unwrap();
        }
    }
}

#[test]
fn an_id_that_somebody_has_is_refused() {
    for kind in Kind::BOTH {
        let server = Server::start(kind, &[]);
        let named = |pipeline: &str, id| DumpSettings::of_pipeline(pipeline, Some(id), seconds(9));
        let own = begin(&root(&server), &named("shop", 1)).unwrap_err();
        assert!(own.to_string().ends_with("the server itself has it"), "{own}");
        let mut other = connect(&root(&server));
        runtime().block_on(dump::register(&mut other, &named("other", 77))).unwrap();
        let taken = begin(&root(&server), &named("shop", 77)).unwrap_err();
        assert!(matches!(taken, SourceError::ServerIdTaken { .. }), "{taken}");
        assert!(taken.to_string().contains("tailwater:other"), "{taken}");
        assert!(taken.hint().unwrap().contains("server_id"));
        // What is left of ourselves is no other.
        begin(&root(&server), &named("other", 77)).unwrap();
        begin(&root(&server), &named("shop", 78)).unwrap();
        runtime().block_on(other.close());
    }
}

/// The verdict on a checkpoint.
pub(super) fn resume(
    server: &Server,
    uuid: Option<&str>,
    from: StartPoint,
) -> Result<StartPoint, SourceError> {
    let (mut connection, facts) = survey(&root(server)).unwrap();
    runtime().block_on(lineage::check(&mut connection, &facts, uuid, from))
}

#[test]
fn a_checkpoint_is_reachable_until_what_comes_next_is_thrown_away() {
    let server = Server::start(Kind::Mysql, &[]);
    let session = server.session();
    session.script("create database d; create table d.t (id int)");
    let (gtids, file) = here(&server);
    let uuid = server.value("select @@server_uuid").unwrap();
    for from in [&gtids, &file] {
        assert_eq!(&resume(&server, Some(&uuid), from.clone()).unwrap(), from);
    }
    session.run("insert into d.t values (1)");
    session.run("flush binary logs");
    let newest = session.rows("show binary logs").pop().unwrap()[0].clone().unwrap();
    session.run(&format!("purge binary logs to '{newest}'"));
    let error = resume(&server, Some(&uuid), gtids).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("resume: the server threw away transactions that were not read yet: {uuid}:3")
    );
    let error = resume(&server, Some(&uuid), file).unwrap_err();
    assert!(matches!(error, SourceError::FileGone { .. }), "{error}");
    for error in [error, resume(&server, None, StartPoint::Gtids(String::new())).unwrap_err()] {
        assert_eq!(error.disposition(), Disposition::Stop);
        assert!(error.hint().unwrap().contains("tailwater offsets reset"));
    }
    // What was purged and had been read is nobody's loss.
    let (now, _) = here(&server);
    resume(&server, Some(&uuid), now).unwrap();
}

#[test]
fn another_server_and_another_past_are_recognised() {
    let server = Server::start(Kind::Mysql, &[]);
    server.session().script("create database d; create table d.t (id int)");
    let (_, file) = here(&server);
    let other = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    let error = resume(&server, Some(other), file).unwrap_err();
    assert!(matches!(error, SourceError::OtherServer { .. }), "{error}");
    let uuid = server.value("select @@server_uuid").unwrap();
    let ahead = StartPoint::Gtids(format!("{uuid}:1-5, {other}:1-9"));
    let error = resume(&server, None, ahead).unwrap_err();
    let said = error.to_string();
    assert!(said.contains(&format!("{other}:1-9")) && said.contains(&format!("{uuid}:3-5")));
    assert!(said.ends_with(" was read, and this server does not have it"), "{said}");
    assert_eq!(error.disposition(), Disposition::Stop);
    let beyond = StartPoint::File { file: "binlog.000099".into(), position: 4 };
    let error = resume(&server, Some(&uuid), beyond).unwrap_err();
    assert!(matches!(error, SourceError::BeyondLog { .. }), "{error}");
}

#[test]
fn a_domain_that_is_ahead_of_mariadb_is_recognised() {
    let server = Server::start(Kind::Mariadb, &[]);
    server.session().script("create database d; create table d.t (id int)");
    resume(&server, None, StartPoint::MariadbGtids("0-1-1".into())).unwrap();
    for (read, extra) in [("0-1-3", "3 of domain 0"), ("0-1-2,4-1-1", "1 of domain 4")] {
        let error = resume(&server, None, StartPoint::MariadbGtids(read.into())).unwrap_err();
        assert!(error.to_string().contains(extra), "{error}");
        assert_eq!(error.disposition(), Disposition::Stop);
    }
}
