//! The metrics in the OpenMetrics text format, made of one view of the stats at each scrape.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{health, names};
use crate::stats::{DeadLetterKind, Stage, State, Stats, View};

pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// # Errors
/// Never in practice: writing to a `String` does not fail.
pub(super) fn render(stats: &Arc<Stats>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(Arc::clone(stats))));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Scrape(Arc<Stats>);

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let view = self.0.view();
        let mut out = Out(encoder);
        process(&mut out, &view)?;
        stages(&mut out, &view)?;
        counters(&mut out, &view)?;
        queues(&mut out, &view)?;
        snapshot(&mut out, &view)
    }
}

fn process(out: &mut Out<'_>, view: &View) -> fmt::Result {
    let version = [(names::LABEL_VERSION, env!("CARGO_PKG_VERSION"), 1)];
    out.gauges(names::BUILD_INFO, "Always 1; the label is the version", &version)?;
    let states = State::NAMES.map(|n| (names::LABEL_STATE, n, u64::from(n == view.state.name())));
    out.gauges(names::STATE, "1 for the state that the pipeline is in", &states)?;
    let ready = u64::from(health::not_ready(view).is_none());
    out.gauge(names::READY, "1 while /readyz answers 200", ready)?;
    out.gauge(names::UPTIME, "Seconds since the process started", view.uptime.as_secs())
}

fn stages(out: &mut Out<'_>, view: &View) -> fmt::Result {
    let each = |value: fn(&crate::stats::StageView) -> u64| {
        Stage::ALL.map(|s| (names::LABEL_STAGE, s.name(), value(&view.stages[s as usize])))
    };
    let help = "Position in the source's log that a stage has reached (PostgreSQL: LSN)";
    out.gauges(names::POSITION, help, &each(|stage| stage.position))?;
    let help = "Bytes of the source's log that a stage has still before it";
    out.gauges(names::LAG_BYTES, help, &each(|stage| stage.lag_bytes))?;
    let help = "Seconds since the newest bytes of a stage were read, while there is more to do";
    let seconds = Stage::ALL
        .map(|s| (names::LABEL_STAGE, s.name(), view.stages[s as usize].lag.as_secs_f64()));
    out.gauges(names::LAG_SECONDS, help, &seconds)
}

fn counters(out: &mut Out<'_>, view: &View) -> fmt::Result {
    out.counter(names::READ_BYTES, "Bytes read from the source", view.read_bytes)?;
    out.counter(names::ROWS, "Row changes converted", view.transcoded_rows)?;
    out.counter(names::SENT, "Records handed to the sink", view.sent_records)?;
    out.counter(names::DELIVERED, "Records durable in the sink", view.delivered_records)?;
    out.counter(names::CHECKPOINTS, "Checkpoints saved", view.checkpoints)?;
    let tables: Vec<_> =
        view.tables.iter().map(|(name, rows)| (names::LABEL_TABLE, &**name, *rows)).collect();
    let help = "Row changes of a table; `other` for all beyond the first 200 tables";
    out.counters(names::TABLE_ROWS, help, &tables)?;
    let letters = DeadLetterKind::ALL
        .map(|kind| (names::LABEL_KIND, kind.name(), view.dead_letters[kind as usize]));
    out.counters(names::DEAD_LETTERS, "Rows set aside among the dead letters", &letters)?;
    let retries: Vec<_> =
        view.retries.iter().map(|(name, n)| (names::LABEL_COMPONENT, *name, *n)).collect();
    out.counters(names::RETRIES, "Repeated attempts", &retries)
}

fn queues(out: &mut Out<'_>, view: &View) -> fmt::Result {
    out.gauge(names::QUEUE_BYTES, "Memory of the rows between socket and sink", view.queue_bytes)?;
    let help = "Bytes that may be between socket and sink (delivery.memory)";
    out.gauge(names::QUEUE_BUDGET_BYTES, help, view.queue_budget_bytes)?;
    let help = "Batches handed to the sink and not yet durable";
    out.gauge(names::BATCHES_IN_FLIGHT, help, view.batches_in_flight)
}

fn snapshot(out: &mut Out<'_>, view: &View) -> fmt::Result {
    let snapshot = view.snapshot;
    out.gauge(names::SNAPSHOT_TABLES, "Tables of the snapshot", snapshot.tables)?;
    let help = "Tables of the snapshot that are read";
    out.gauge(names::SNAPSHOT_TABLES_DONE, help, snapshot.tables_done)?;
    out.counter(names::SNAPSHOT_ROWS, "Rows read by the snapshot", snapshot.rows)?;
    out.counter(names::SNAPSHOT_BYTES, "Bytes read by the snapshot", snapshot.bytes)?;
    let help = "1 when every row of the snapshot is durable in the sink";
    out.gauge(names::SNAPSHOT_COMPLETE, help, u64::from(snapshot.complete))
}

/// A label, its value, and the number.
type Sample<'a, N> = (&'static str, &'a str, N);

struct Out<'e>(DescriptorEncoder<'e>);

impl Out<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let gauge = ConstGauge::new(value);
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        gauge.encode(encoder)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let counter = ConstCounter::new(value);
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        counter.encode(encoder)
    }

    fn gauges<N>(&mut self, name: &str, help: &str, samples: &[Sample<'_, N>]) -> fmt::Result
    where
        N: Copy,
        ConstGauge<N>: EncodeMetric,
    {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (label, value, number) in samples {
            ConstGauge::new(*number).encode(encoder.encode_family(&[(*label, *value)])?)?;
        }
        Ok(())
    }

    fn counters(&mut self, name: &str, help: &str, samples: &[Sample<'_, u64>]) -> fmt::Result {
        if samples.is_empty() {
            return Ok(());
        }
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (label, value, number) in samples {
            ConstCounter::new(*number).encode(encoder.encode_family(&[(*label, *value)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_scrape_shows_stages_tables_and_state() {
        let stats = Arc::new(Stats::default());
        stats.set_state(State::Streaming);
        stats.read(2_000, 1_500, Instant::now());
        stats.advance(Stage::Delivered, 1_000, Some(Instant::now()));
        stats.table("shop.orders\"\n").add_rows(7);
        stats.dead_letters(DeadLetterKind::Delivery, 2);
        stats.retried("sink");
        let text = render(&stats).unwrap();
        for line in [
            "# TYPE tailwater_lag_bytes gauge",
            "tailwater_lag_bytes{stage=\"delivered\"} 500",
            "tailwater_position{stage=\"read\"} 1500",
            "tailwater_read_bytes_total 2000",
            "tailwater_table_rows_total{table=\"shop.orders\\\"\\n\"} 7",
            "tailwater_state{state=\"streaming\"} 1",
            "tailwater_state{state=\"failed\"} 0",
            "tailwater_dead_letters_total{kind=\"delivery\"} 2",
            "tailwater_retries_total{component=\"sink\"} 1",
            "tailwater_ready 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} not in\n{text}");
        }
        assert!(text.lines().all(|l| l.starts_with('#') || l.starts_with("tailwater_")), "{text}");
    }
}
