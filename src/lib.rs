//! # The map of the house
//!
//! Tailwater tails a database's log and turns every committed row change into an envelope in a
//! Kafka topic, as Debezium would have written it. This page says where things are and what must
//! stay true; each room's own page says how.
//!
//! ## The way of one row
//!
//! ```text
//!  database ─▶ Session ──RawBatch──▶ Transcoder ──RecordBatch──▶ Sink ──Receipt──▶ Checkpointer
//!     ▲        sources/              pipeline/transcode          sinks/            offsets/
//!     │        owns sockets,         own thread; decoder         reports           │
//!     │        wire bytes only       (sources/) + encoder        durability        │
//!     │                              (encode/), no I/O           in order          │
//!     └──────────────────────────────── SourceAck ◀───────────────────────────────-┘
//! ```
//!
//! 1. A [`sources::Session`] reads the socket and hands on batches of untouched bytes. It answers
//!    keepalives and sends acknowledgements whatever happens behind it.
//! 2. The transcoder's [`sources::Decode`] walks the bytes and hands out [`change::Change`]s whose
//!    values are borrowed from them; [`encode::Encoder`] appends each as one to three records to
//!    the arena of a [`record::RecordBatch`]. Nothing is allocated per row. A schema that was inferred
//!    is durable before the first row that has it ([`pipeline::keep`]).
//! 3. A [`sinks::Sink`] delivers, and gives a [`sinks::Receipt`] for each batch, in order, when
//!    it and all before it are durable.
//! 4. The [`offsets::Checkpointer`] consumes receipts and writes checkpoints. Only a checkpoint
//!    that became durable yields an [`offsets::SourceAck`].
//! 5. The session tells the database what the acknowledgement says. Nothing else travels back.
//!
//! ## The rooms, from the bottom up; imports point down only (`tests/tidy.rs`)
//!
//! | room | question it answers |
//! |---|---|
//! | [`value`] | what is one column value? |
//! | [`disposition`] | what follows an error, and what is a person told? |
//! | [`config`] | what did the operator ask for? |
//! | [`offsets::position`] | where can a source start again? |
//! | [`kafka_client`] | how is a Kafka cluster reached, by sink and offset store alike? |
//! | [`schema`] | what does a table version look like, in itself and as Connect and Avro schema? |
//! | [`change`] | what is one row change? |
//! | [`budget`] | how much memory may the records of one batch of wire bytes take? |
//! | [`record`] | what does a sink get? |
//! | [`sources`] | how are a database's bytes read and understood? |
//! | [`encode`] | how does a change become bytes? |
//! | [`sinks`] | how do bytes become durable? |
//! | [`offsets`] | what is durable, and who may know? |
//! | [`stats`] | how far is everything? |
//! | [`pipeline`] | how do the rooms run together, and what happens when one fails? |
//! | [`admin`] | what can be asked of a running process? |
//! | [`app`] | which source meets which sink? |
//! | [`cli`] | what was typed, and which exit code answers? |
//! | [`exit`], [`logs`], [`failpoint`] | how does the process end, talk, and die in tests? |
//!
//! ## What must stay true
//!
//! * **Order law.** acknowledged <= checkpointed <= durable in the sink <= read, at every instant,
//!   through every crash. Types hold it: a `Receipt` is made only in `sinks`, a `SourceAck` only
//!   in `offsets::checkpointer`, each from the one before.
//! * **One way to start.** Every run begins from the durable checkpoint and proves the source's
//!   identity first. A reconnect is a new run.
//! * **Positions never move back**, and are places to restart from, never addresses of rows.
//! * **Nothing is skipped because it was not understood.** Unknown is a loud stop or a dead letter.
//! * **Null, absent and unavailable** are three different values.
//! * **Sources know no sink, sinks know no source.** They meet in [`app`] alone.
//! * **Pure rooms stay pure**: `value`, `change`, `schema` (but its registry client), the decoders,
//!   `encode`, `offsets::position`, `offsets::checkpointer`'s decisions: no sockets, no clock.
//! * **Every queue is bounded**, and the memory budget counts bytes from socket to receipt.
//!
//! ## The sources
//!
//! | folder | log | what keeps the log for us | position |
//! |---|---|---|---|
//! | [`sources::postgres`] | logical replication (pgoutput) | a slot, told by acknowledgements | LSN of one timeline |
//! | [`sources::mysql`], MySQL | binary log | nothing but the server's retention | GTID set, or file and offset |
//! | [`sources::mysql`], MariaDB | binary log | nothing but the server's retention | last GTID of each domain |
//! | [`sources::mongodb`] | change stream | nothing but the oplog's size | resume token |
//!
//! ## Where the next source goes
//!
//! A folder in `sources/`, a variant in `config::SourceConfig`, one in `offsets::position::Position`
//! and one in `offsets::SourceIdentity`, and an arm in `app`. Nothing else should notice.

pub mod admin;
pub mod app;
pub mod budget;
pub mod change;
pub mod cli;
pub mod config;
pub mod disposition;
pub mod encode;
pub mod exit;
pub mod failpoint;
pub mod kafka_client;
pub mod logs;
pub mod offsets;
pub mod pipeline;
pub mod record;
pub mod schema;
pub mod sinks;
pub mod sources;
pub mod stats;
pub mod value;
