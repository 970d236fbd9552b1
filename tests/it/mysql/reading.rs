//! A session of the source, read as the transcoder would.

use std::time::{Duration, Instant};

use tailwater::disposition::Diagnose;
use tailwater::sources::mysql::connection::MyConnection;
use tailwater::sources::mysql::dump::{self, DumpSettings, StartPoint};
use tailwater::sources::mysql::error::SourceError;
use tailwater::sources::mysql::session::{MysqlSession, Phase, StreamPhase};
use tailwater::sources::mysql::settings::ConnectSettings;
use tailwater::sources::{RawBatch, RawSender, Session};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::mysql::{Kind, Server};
use crate::support::{runtime, seconds};

pub(super) mod kind {
    pub(crate) const QUERY: u8 = 2;
    pub(crate) const ROTATE: u8 = 4;
    pub(crate) const FORMAT_DESCRIPTION: u8 = 15;
    pub(crate) const XID: u8 = 16;
    pub(crate) const HEARTBEAT: u8 = 27;
    pub(crate) const WRITE_ROWS: u8 = 30;
    pub(crate) const GTID: u8 = 33;
    pub(crate) const PAYLOAD: u8 = 40;
    pub(crate) const GTID_TAGGED: u8 = 42;
    pub(crate) const MARIADB_ANNOTATE: u8 = 160;
    pub(crate) const MARIADB_GTID: u8 = 162;
    /// `WRITE_ROWS` of MariaDB is of the first version.
    pub(crate) const WRITE_ROWS_V1: u8 = 23;
}

pub(super) struct Event {
    pub(super) kind: u8,
    pub(super) body: Vec<u8>,
}

impl Event {
    pub(super) fn is_rows(&self) -> bool {
        matches!(self.kind, kind::WRITE_ROWS | kind::WRITE_ROWS_V1)
    }
}

pub(super) struct Reader {
    pub(super) batches: mpsc::Receiver<RawBatch>,
    events: std::collections::VecDeque<Event>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), tailwater::sources::BoxError>>,
    _acks: watch::Sender<Option<tailwater::offsets::SourceAck>>,
}

/// Notices silence soon.
pub(super) fn settings(pipeline: &str) -> DumpSettings {
    DumpSettings::of_pipeline(pipeline, None, seconds(3))
}

pub(super) fn connect(settings: &ConnectSettings) -> MyConnection {
    runtime().block_on(MyConnection::connect(settings)).unwrap()
}

impl Reader {
    pub(super) fn start(to: &ConnectSettings, from: StartPoint, dump: DumpSettings) -> Self {
        let mut connection = connect(to);
        runtime().block_on(dump::register(&mut connection, &dump)).unwrap();
        let phase = StreamPhase { connection, settings: dump, from };
        let phase = Phase::Stream(Box::new(phase));
        let (sender, batches) = mpsc::channel(2);
        let (_acks, acks) = watch::channel(None);
        let stop = CancellationToken::new();
        let session = Box::new(MysqlSession::new(phase));
        let run = session.run(RawSender::new(sender, 64 << 20), acks, stop.clone());
        let task = runtime().spawn(run);
        Self { batches, events: std::collections::VecDeque::new(), stop, task, _acks }
    }

    fn try_next(&mut self, limit: Duration) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let received = runtime().block_on(async { timeout(limit, self.batches.recv()).await });
        let batch = received.ok().flatten()?;
        for range in &batch.messages {
            let event = &batch.data[range.start as usize..range.end as usize];
            self.events.push_back(Event { kind: event[4], body: event[19..].to_vec() });
        }
        self.events.pop_front()
    }

    pub(super) fn next(&mut self) -> Event {
        match self.try_next(seconds(20)) {
            Some(event) => event,
            None if self.task.is_finished() => {
                panic!("the session ended: {:?}", runtime().block_on(&mut self.task))
            }
            None => panic!("no event"),
        }
    }

    pub(super) fn until(&mut self, wanted: u8) -> Event {
        loop {
            let event = self.next();
            if event.kind == wanted {
                return event;
            }
        }
    }

    /// Bodies of the next `n` insertions.
    pub(super) fn rows(&mut self, n: usize) -> Vec<Event> {
        let mut found = Vec::new();
        while found.len() < n {
            let event = self.next();
            if event.is_rows() {
                found.push(event);
            }
        }
        found
    }

    /// That for a while nothing comes but signs of life.
    pub(super) fn expect_quiet(&mut self) {
        let end = Instant::now() + Duration::from_millis(700);
        while Instant::now() < end {
            if let Some(event) = self.try_next(Duration::from_millis(100)) {
                assert!(!event.is_rows(), "rows that nobody asked for");
            }
        }
    }

    pub(super) fn finish(self) -> Result<(), tailwater::sources::BoxError> {
        self.stop.cancel();
        drop(self.batches);
        runtime().block_on(async { timeout(seconds(5), self.task).await }).unwrap().unwrap()
    }

    /// What the session ends with by itself.
    pub(super) fn error(mut self, limit: Duration) -> tailwater::sources::BoxError {
        let end = Instant::now() + limit;
        while !self.task.is_finished() {
            assert!(Instant::now() < end, "the session goes on");
            self.try_next(Duration::from_millis(50));
        }
        runtime().block_on(self.task).unwrap().expect_err("the session fails")
    }
}

/// The server's own words, where it had any.
pub(super) fn chain(error: &dyn Diagnose) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Where the log ends now, in GTIDs and in bytes.
pub(super) fn here(server: &Server) -> (StartPoint, StartPoint) {
    let session = server.session();
    let (status, gtids) = match server.kind {
        Kind::Mysql => ("show binary log status", "select @@global.gtid_executed"),
        Kind::Mariadb => ("show master status", "select @@global.gtid_binlog_pos"),
    };
    let row = session.rows(status).remove(0);
    let gtids = session.value(gtids).unwrap_or_default();
    let gtids = match server.kind {
        Kind::Mysql => StartPoint::Gtids(gtids),
        Kind::Mariadb => StartPoint::MariadbGtids(gtids),
    };
    let file = row[0].clone().unwrap();
    let position = row[1].clone().unwrap().parse().unwrap();
    (gtids, StartPoint::File { file, position })
}

pub(super) fn describe(error: &SourceError) -> String {
    format!("{} / {}", chain(error), error.hint().unwrap_or_default())
}
