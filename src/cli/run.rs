//! `tailwater run`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::report::Report;
use crate::admin::Admin;
use crate::app::{self, Outcome};
use crate::config::{self, Config, Loaded, Secret};
use crate::exit;
use crate::pipeline::run::goodbye;
use crate::stats::{State, Stats};

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Arguments {
    #[command(flatten)]
    origin: Origin,

    /// End with 0 when this is durable in the sink, and with 6 when it was not reached
    #[arg(long, value_enum)]
    until: Option<Until>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Origin {
    /// Configuration file (YAML)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// A first look without a file: JSON lines to stdout, offsets in ./.tailwater. A URL like
    /// postgres://user@host:5432/database?tables=public.*, mysql://user@host:3306/database,
    /// mariadb://… or mongodb://host:27017/database?replicaSet=rs0; the password comes from the
    /// environment variable PGPASSWORD, MYSQL_PWD or MONGODB_PASSWORD
    #[arg(long, value_name = "URL")]
    source: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Until {
    /// Every row of the initial snapshot; the slot stays, and a later run goes on from there
    Snapshot,
    /// The end of the log as seen at the start
    CaughtUp,
}

pub(super) fn run(arguments: Arguments) -> Result<exit::Code, Report> {
    let Loaded { config, warnings } = match (&arguments.origin.config, &arguments.origin.source) {
        (Some(file), _) => config::load(file)?,
        (None, source) => {
            let url = source.as_deref().unwrap_or_default();
            let password = std::env::var(config::password_variable(url)).ok().map(Secret::new);
            config::first_look(url, password)?
        }
    };
    for warning in warnings {
        tracing::warn!(key = warning.path, "{}", warning.problem);
    }
    let until = match arguments.until {
        None => app::Until::Stopped,
        Some(Until::Snapshot) => app::Until::Snapshot,
        Some(Until::CaughtUp) => app::Until::CaughtUp,
    };
    let runtime = super::runtime()?;
    let goodbye = goodbye(config.delivery.drain_timeout);
    let ended = runtime.block_on(run_with_admin(config, until, goodbye / 4));
    // The lock on the offsets is given back here. Blocking questions to brokers that are away may
    // take minutes; their answers serve nobody.
    runtime.shutdown_timeout(goodbye * 3 / 4);
    ended
}

async fn run_with_admin(
    config: Config,
    until: app::Until,
    close_timeout: Duration,
) -> Result<exit::Code, Report> {
    let stats = Arc::new(Stats::default());
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    if let Some(address) = config.admin {
        let admin = Admin::bind(address, Arc::clone(&stats))
            .await
            .map_err(|error| Report::of(exit::Code::Configuration, &error))?;
        tracing::info!(%address, "health and metrics are served");
        tasks.spawn(admin.serve(stop.clone()));
    }
    let pipeline = config.pipeline.clone();
    tracing::info!(pipeline, version = env!("CARGO_PKG_VERSION"), "tailwater starts");
    let done = app::run(config, until, Arc::clone(&stats)).await;
    if let Err(error) = &done {
        stats.set_state(State::Failed(error.to_string()));
    }
    stop.cancel();
    let closed = tokio::time::timeout(close_timeout, tasks.join_next()).await;
    if let Ok(Some(Ok(Err(error)))) = closed {
        tracing::warn!(%error, "health and metrics stopped early");
    }
    match done {
        Ok(Outcome::Stopped | Outcome::Reached) => {
            tracing::info!(pipeline, "tailwater ends");
            Ok(exit::Code::Ok)
        }
        Ok(Outcome::Incomplete) => {
            tracing::error!(
                pipeline,
                "tailwater ends with work left; the next start continues from the checkpoint"
            );
            Ok(exit::Code::Incomplete)
        }
        Err(error) => Err(Report::of(error.exit_code(), &error)),
    }
}
