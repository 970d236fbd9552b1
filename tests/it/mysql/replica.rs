//! A pipeline that is pointed at a replica: one that has not come so far yet is waited for, one
//! that will never have what was read is refused.

use crate::support::mysql::{Kind, Server};
use crate::support::tailwater::{Ended, Setup, exit};
use crate::support::{eventually, seconds};

/// Longer than the first attempts of a run take.
const DELAY_S: u32 = 8;

/// A server that follows another one, from its beginning.
struct Replica(Server);

impl Replica {
    fn of(source: &Server) -> Self {
        source.session().script(
            "create user repl@'%' identified by 'r'; grant replication slave on *.* to repl@'%'",
        );
        let server = match source.kind {
            Kind::Mysql => Server::start(Kind::Mysql, &["--server-id=2"]),
            Kind::Mariadb => {
                Server::start(Kind::Mariadb, &["--server-id=2", "--log-slave-updates=ON"])
            }
        };
        if source.kind == Kind::Mysql {
            // Both began as copies of one folder, and a server does not follow its own UUID.
            server.stop("TERM");
            std::fs::remove_file(server.data().join("auto.cnf")).unwrap();
            server.resume();
        }
        let replica = Self(server);
        let port = source.port;
        match replica.0.kind {
            Kind::Mysql => replica.0.run(&format!(
                "change replication source to source_host = '127.0.0.1', source_port = {port}, \
                source_user = 'repl', source_password = 'r', source_auto_position = 1, \
                get_source_public_key = 1"
            )),
            Kind::Mariadb => replica.0.run(&format!(
                "change master to master_host = '127.0.0.1', master_port = {port}, \
                master_user = 'repl', master_password = 'r', master_use_gtid = slave_pos"
            )),
        }
        replica
    }

    /// Applies what is at least so old.
    fn follow(&self, delay_s: u32) {
        self.0.session().script(&match self.0.kind {
            Kind::Mysql => format!(
                "stop replica; change replication source to source_delay = {delay_s}; start replica"
            ),
            Kind::Mariadb => {
                format!("stop slave; change master to master_delay = {delay_s}; start slave")
            }
        });
    }

    /// As when it is promoted: the settings stay, and nothing is applied.
    fn stop(&self) {
        self.0.run(match self.0.kind {
            Kind::Mysql => "stop replica",
            Kind::Mariadb => "stop slave",
        });
    }

    fn has(&self, query: &str) -> bool {
        let found = || self.0.session().try_rows(query).ok().filter(|rows| !rows.is_empty());
        eventually(seconds(60), found).is_some()
    }
}

fn ids(ended: &Ended) -> Vec<i64> {
    ended.lines().iter().map(|line| line["value"]["after"]["id"].as_i64().unwrap()).collect()
}

fn point_at(setup: &mut Setup, server: &Server) {
    let host = server.socket().display().to_string();
    setup.set(&format!("source.{}.host", server.kind.name()), host);
}

#[test]
fn a_replica_that_has_not_come_so_far_is_waited_for_and_a_promoted_one_is_refused() {
    for kind in Kind::BOTH {
        let source = Server::start(kind, &[]);
        let replica = Replica::of(&source);
        replica.follow(0);
        source.session().script(
            "create database d; create table d.t (id int primary key); insert into d.t values (1)",
        );
        assert!(replica.has("select 1 from d.t where id = 1"), "{kind:?}: it follows");
        let mut setup = Setup::mysql(&source, "d");
        assert_eq!(ids(&setup.catch_up()), [1]);
        replica.follow(DELAY_S);
        source.run("insert into d.t values (2)");
        assert_eq!(ids(&setup.catch_up()), [2]);
        source.run("insert into d.t values (3)");

        point_at(&mut setup, &replica.0);
        let waiting = setup.start();
        waiting.says("it is a replica that does not have", seconds(30));
        let third = eventually(seconds(60), || {
            std::fs::read_to_string(&waiting.stdout).ok().filter(|text| text.contains("\"id\":3"))
        });
        assert!(third.is_some(), "{kind:?}: {}", waiting.said());
        assert_eq!(ids(&waiting.stop().expect(0, &[])), [3]);

        // The source goes on alone, and is lost with what it has.
        replica.stop();
        source.run("insert into d.t values (4)");
        point_at(&mut setup, &source);
        assert_eq!(ids(&setup.catch_up()), [4]);
        point_at(&mut setup, &replica.0);
        setup.fails(exit::SOURCE, &["this server does not have it", "went another way"]);
    }
}
