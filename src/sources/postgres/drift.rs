//! Looks at the publication again while a session runs: what is taken out of it, or filtered, is
//! missing in the stream without a word of the server's.
//!
//! It looks over a connection of its own and takes what it read apart on a thread of its own, so
//! that a look in a large catalogue keeps no row waiting. A connection that is lost costs looks,
//! never the stream. A table that nobody has published yet is a warning, once; it stops nothing.
//!
//! Known gap: what is taken out and put back between two looks is not seen.

use std::collections::HashSet;
use std::error::Error as _;
use std::panic;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::catalog_query::{self, Listed, Sizes};
use super::connection::{PgConnection, Purpose};
use super::error::SourceError;
use super::preflight;
use super::publication::{self, PublicationFacts};
use crate::config::PostgresConfig;
use crate::failpoint;
use crate::offsets::SourceAck;
use crate::sources::{BoxError, RawSender, Session, SourceFuture};

const INTERVAL: Duration = Duration::from_secs(30);
/// Tables and publication are read one after the other: a table that is dropped between the two
/// looks like one that was taken out. It does not look so twice.
const SECOND_LOOK: Duration = Duration::from_secs(2);

/// A session whose publication is looked after.
pub(super) struct Watched {
    pub(super) session: Box<dyn Session>,
    pub(super) config: PostgresConfig,
    /// Oids of the tables that were captured and covered when the session began.
    pub(super) covered: HashSet<u32>,
}

impl Session for Watched {
    fn run(
        self: Box<Self>,
        out: RawSender,
        acks: watch::Receiver<Option<SourceAck>>,
        stop: CancellationToken,
    ) -> SourceFuture<'static, ()> {
        let Self { session, config, covered } = *self;
        let session = session.run(out, acks, stop);
        let drift = Drift { config, seen: Seen::new(covered), blind: false };
        Box::pin(until_drift(session, drift.run()))
    }
}

/// Ends with the session, or with what `drift` finds.
async fn until_drift(
    session: SourceFuture<'static, ()>,
    drift: impl Future<Output = SourceError> + Send + 'static,
) -> Result<(), BoxError> {
    let gone = CancellationToken::new();
    let _ends_with_this_future = gone.clone().drop_guard();
    let runtime = Handle::current();
    let mut watcher = JoinSet::new();
    watcher.spawn_blocking(move || {
        runtime.block_on(async move { gone.run_until_cancelled(drift).await })
    });
    tokio::select! {
        biased;
        // 1. Ends on a drift only, and first, because a session with much to read uses up its
        // task's budget and leaves none for whoever comes after it. Dropping the session closes its
        // connections; what it handed on is complete up to there, and the position is saved with
        // it as ever.
        Some(drift) = watcher.join_next() => Err(found(drift)),
        // 2. The work, and its end.
        ended = session => ended,
    }
}

fn found(drift: Result<Option<SourceError>, JoinError>) -> BoxError {
    match drift {
        Ok(drift) => drift.expect("only the end of the waiting future cancels it").into(),
        // Nobody else has the handle, so nobody cancelled it: a panic goes on up.
        Err(error) => panic::resume_unwind(error.into_panic()),
    }
}

struct Drift {
    config: PostgresConfig,
    seen: Seen,
    /// The last look failed.
    blind: bool,
}

impl Drift {
    async fn run(mut self) -> SourceError {
        let mut connection = None;
        loop {
            tokio::time::sleep(failpoint::wait(failpoint::LOOK, INTERVAL)).await;
            if self.look(&mut connection).await.is_none() {
                continue;
            }
            tokio::time::sleep(SECOND_LOOK).await;
            if let Some(drift) = self.look(&mut connection).await {
                return drift;
            }
        }
    }

    /// A drift that loses changes. A look that fails finds none, and connects anew the next time.
    async fn look(&mut self, connection: &mut Option<PgConnection>) -> Option<SourceError> {
        match self.try_look(connection.take()).await {
            Ok((alive, found)) => {
                if self.blind {
                    tracing::info!("the publication can be looked at again");
                }
                self.blind = false;
                *connection = Some(alive);
                found.err()
            }
            Err(error) => {
                if !self.blind {
                    let cause = error.source().map(tracing::field::display);
                    tracing::warn!(%error, cause, "the publication could not be looked at");
                }
                self.blind = true;
                None
            }
        }
    }

    async fn try_look(
        &mut self,
        connection: Option<PgConnection>,
    ) -> Result<(PgConnection, Result<(), SourceError>), SourceError> {
        let mut sql = match connection {
            Some(connection) => connection,
            None => PgConnection::connect(&self.config, Purpose::Sql).await?,
        };
        let all = preflight::tables(&mut sql).await?;
        let name = &self.config.publication.name;
        let facts = publication::read(&mut sql, name).await?;
        let oids: Vec<u32> = self.seen.covered.iter().copied().collect();
        let relations = catalog_query::relations(&mut sql, &oids, Sizes::Noted).await?;
        let matching: Vec<&Listed> = all
            .iter()
            .filter(|t| t.logged && self.config.tables.matches(&t.schema, &t.table))
            .collect();
        let Some(facts) = facts else {
            let gone = SourceError::PublicationMissing {
                publication: name.clone(),
                sql: publication::creation_statement(name, &matching),
            };
            return Ok((sql, Err(gone)));
        };
        let filtered = publication::check_rows_and_columns(name, &facts, &relations);
        let found = self.seen.judge(name, &facts, &all, &matching).and(filtered);
        Ok((sql, found))
    }
}

/// What earlier looks saw, by oid.
struct Seen {
    covered: HashSet<u32>,
    warned: HashSet<u32>,
}

impl Seen {
    fn new(covered: HashSet<u32>) -> Self {
        Self { covered, warned: HashSet::new() }
    }

    /// # Errors
    /// When changes of a table that was in the stream are no longer.
    fn judge(
        &mut self,
        name: &str,
        facts: &PublicationFacts,
        all: &[Listed],
        matching: &[&Listed],
    ) -> Result<(), SourceError> {
        let missing: HashSet<u32> =
            publication::uncovered(facts, matching).iter().map(|table| table.oid).collect();
        match publication::coverage(name, facts, all, matching) {
            Ok(_) => {}
            Err(SourceError::PublicationTables { tables, sql, .. })
                if missing.is_disjoint(&self.covered) =>
            {
                if !missing.is_subset(&self.warned) {
                    tracing::warn!(tables, sql, "tables are asked for and not published");
                }
                self.warned.extend(&missing);
            }
            Err(error) => return Err(error),
        }
        let there = matching.iter().map(|table| table.oid);
        self.covered.extend(there.filter(|oid| !missing.contains(oid)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::publication::tests::{facts, leaf, listed, root};
    use super::*;

    #[tokio::test]
    async fn a_session_that_never_rests_is_ended_by_a_drift_all_the_same() {
        let busy: SourceFuture<'static, ()> = Box::pin(async {
            loop {
                tokio::task::consume_budget().await;
            }
        });
        let drift = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let (publication, table) = ("p".to_owned(), "t".to_owned());
            SourceError::PublicationRowFilter { publication, table }
        };
        let limit = Duration::from_secs(20);
        let ended = tokio::time::timeout(limit, until_drift(busy, drift)).await;
        assert!(ended.expect("it ends").is_err());
    }

    #[test]
    fn only_what_was_covered_before_ends_the_session() {
        let mut seen = Seen::new(HashSet::from([1, 2]));
        let mut all = vec![listed(1, "a"), root(2, "t")];
        let mut judge = |published: &[&str], all: &[Listed]| {
            let matching: Vec<&Listed> = all.iter().filter(|t| t.table != "t_out").collect();
            let judged = seen.judge("p", &facts(published, false), all, &matching);
            (judged.err().map(|error| error.to_string()), seen.warned.len())
        };
        assert_eq!(judge(&["a"], &all), (None, 0));
        // A new partition of a published root, and a new table that nobody has added.
        all.push(leaf(3, "t_eu", 2));
        all.push(listed(4, "new"));
        assert_eq!(judge(&["a", "t_eu"], &all), (None, 1));
        assert_eq!(judge(&["a", "t_eu"], &all), (None, 1));
        // Added, and taken out again: from then on its changes would be missed.
        assert_eq!(judge(&["a", "t_eu", "new"], &all), (None, 1));
        let gone = |table: &str| Some(format!("use publication `p`: it does not publish {table}"));
        assert_eq!(judge(&["a", "t_eu"], &all), (gone("public.new"), 1));
        assert_eq!(judge(&["t_eu", "new"], &all), (gone("public.a"), 1));
        // Dropped altogether.
        all.retain(|table| table.table != "a");
        assert_eq!(judge(&["t_eu", "new"], &all), (None, 1));
        // A partition that the filter does not take swallows rows of the root.
        all.push(leaf(5, "t_out", 2));
        assert!(judge(&["t_eu", "t_out", "new"], &all).0.unwrap().contains("public.t_out"));
    }
}
