//! The command line: one file for each subcommand. Parses, calls, reports; decides nothing about
//! data.

mod check;
mod generate;
mod offsets;
mod report;
mod run;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::exit;
use crate::logs;
use report::Report;

/// Change data capture in one small binary: PostgreSQL, MySQL, MariaDB and MongoDB to Kafka, with Debezium's envelopes.
#[derive(Debug, Parser)]
#[command(name = "tailwater", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// What is logged, in the syntax of RUST_LOG: a level, or `target=level` pairs [default: the
    /// environment variable RUST_LOG, then `info`]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,

    /// How log lines look; `auto` is text on a terminal and JSON elsewhere
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: logs::Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one pipeline
    Run(run::Arguments),
    /// Check a configuration file without any side effect
    Check(ConfigFile),
    /// Show or change how far a pipeline got
    Offsets(offsets::Arguments),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Print a completion script for a shell
    Completions(generate::Completions),
    /// Print the manual page, of the program or of one subcommand
    Man(generate::Man),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// Configuration file (YAML)
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the program with the arguments given, the first of which is its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> exit::Code {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too; clap knows where each belongs. A closed pipe
            // leaves nobody to tell.
            error.print().ok();
            return if error.use_stderr() { exit::Code::Configuration } else { exit::Code::Ok };
        }
    };
    // Only a daemon's last words go to a log; everything else talks to a person or a script.
    let style = arguments.log_format.style();
    let report_style = match arguments.command {
        Command::Run(_) => style,
        _ => logs::Style::Text,
    };
    if let Err(error) = logs::start(arguments.log.as_deref(), style) {
        let report = Report::new(exit::Code::Configuration, "read the log filter", &error);
        return report.print(logs::Style::Text);
    }
    logs::catch_panics();
    // The one place where the crypto provider is chosen; every TLS client takes it from there. A
    // second installation, as in tests, finds the same one.
    rustls::crypto::ring::default_provider().install_default().ok();
    let done = match arguments.command {
        Command::Run(run) => run::run(run),
        Command::Check(file) => check::run(&file.config),
        Command::Offsets(offsets) => offsets::run(offsets),
        Command::Schema => generate::schema(),
        Command::Completions(completions) => generate::completions(&completions),
        Command::Man(man) => generate::man(&man),
    };
    logs::finish();
    match done {
        Ok(code) => code,
        Err(report) => {
            let code = report.print(report_style);
            logs::finish();
            code
        }
    }
}

/// Writes to stdout. A reader that went away (`| head`) is no failure.
fn print(text: &str) -> Result<exit::Code, Report> {
    use std::io::Write;

    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(exit::Code::Ok),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(exit::Code::Ok),
        Err(error) => {
            Err(Report::new(exit::Code::Internal, "write to the standard output", &error))
        }
    }
}

/// The runtime of everything that waits: one thread. What computes has threads of its own
/// (transcoder, librdkafka), so a second one here would only pass batches from core to core.
fn runtime() -> Result<tokio::runtime::Runtime, Report> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Report::new(exit::Code::Internal, "start the runtime", &error))
}
