//! Log lines: text where a person watches, one JSON object per line elsewhere. Always on stderr,
//! so that the records of `sink.stdout` stay alone on stdout.
//!
//! Whoever logs never waits for whoever reads: lines go through a bounded queue to a thread of
//! their own. Where nobody reads, lines are lost and counted, and the pipeline goes on. Only the
//! last words of a process are waited for.

mod queue;

use std::io::IsTerminal;
use std::sync::{Arc, OnceLock};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use queue::Queue;

/// What is logged without `--log` and `RUST_LOG`.
const FILTER: &str = "info";

/// Lines on their way to stderr, for the life of the process.
static LINES: OnceLock<Arc<Queue>> = OnceLock::new();

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text if stderr is a terminal, JSON otherwise.
    #[default]
    Auto,
    Text,
    Json,
}

/// What [`Format::Auto`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Text,
    Json,
}

impl Format {
    #[must_use]
    pub fn style(self) -> Style {
        match self {
            Self::Text => Style::Text,
            Self::Json => Style::Json,
            Self::Auto if std::io::stderr().is_terminal() => Style::Text,
            Self::Auto => Style::Json,
        }
    }
}

/// Starts logging, for the life of the process. `filter` is in the syntax of `RUST_LOG`, which is
/// what counts where it is `None`.
///
/// # Errors
/// When the filter is malformed.
pub fn start(filter: Option<&str>, style: Style) -> Result<(), ParseError> {
    let from_environment = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let filter = filter.or(from_environment.as_deref()).unwrap_or(FILTER);
    let filter = EnvFilter::builder().parse(filter)?;
    // A second start in one process, as in tests, keeps the first.
    let queue = Arc::clone(LINES.get_or_init(|| Queue::start(style, std::io::stderr)));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(queue);
    match style {
        Style::Text => {
            lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init().ok()
        }
        Style::Json => lines.json().flatten_event(true).with_target(false).try_init().ok(),
    };
    Ok(())
}

/// Waits until every line so far is written, within bounds: a process that ends calls it before
/// and behind its last words. From the first call on, lines wait for room and are not lost.
pub fn finish() {
    if let Some(queue) = LINES.get() {
        queue.finish();
    }
}

/// Logs where a panic happened. Its message only where it is a fixed text: a formatted one may
/// hold the value of a row.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("");
        tracing::error!(place, message, "panic; this is a mistake of Tailwater, please report it");
    }));
}
