//! One row's whole way, and the ways of starting and ending.

use crate::support::postgres::Postgres;
use crate::support::tailwater::Setup;
use crate::support::{eventually, seconds};

#[test]
fn rows_of_snapshot_and_stream_arrive_once_and_in_order() {
    let database = Postgres::shared().database("basics");
    database.run("create table t (id int primary key, v text); insert into t values (1, 'a')");
    let setup = Setup::stdout(&database);
    let tailwater = setup.start();
    tailwater.ready();
    let session = database.session();
    session.run("insert into t values (2, 'b')");
    session.run("update t set v = 'c' where id = 2");
    session.run("delete from t where id = 1");
    let seen = |text: &str| text.lines().count() >= 5;
    let arrived = eventually(seconds(20), || {
        let text = std::fs::read_to_string(&tailwater.stdout).unwrap_or_default();
        seen(&text).then_some(())
    });
    assert!(arrived.is_some(), "{}", tailwater.said());
    let ended = tailwater.stop().expect(0, &[]);
    let ops: Vec<_> = ended.lines().iter().map(|l| l["value"]["op"].to_string()).collect();
    assert_eq!(ops, ["\"r\"", "\"c\"", "\"u\"", "\"d\"", "null"]);
    database.drop_with_slots();
}
