//! `tailwater schema`, `completions` and `man`: texts made from the code itself.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::report::Report;
use crate::config;
use crate::exit;

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Shell that will read the script
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// Subcommand whose page is wanted, such as `run`
    subcommand: Option<String>,
}

pub(super) fn schema() -> Result<exit::Code, Report> {
    super::print(&format!("{:#}\n", config::json_schema()))
}

pub(super) fn completions(arguments: &Completions) -> Result<exit::Code, Report> {
    let mut script = Vec::new();
    let mut command = super::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "tailwater", &mut script);
    super::print(&String::from_utf8_lossy(&script))
}

pub(super) fn man(arguments: &Man) -> Result<exit::Code, Report> {
    let mut command = super::Arguments::command();
    command.build();
    let page = match &arguments.subcommand {
        None => clap_mangen::Man::new(command),
        Some(name) => match command.find_subcommand(name) {
            Some(found) => clap_mangen::Man::new(found.clone()).title(format!("tailwater-{name}")),
            None => {
                let failed = format!("find the manual page of `{name}`");
                let hint = "`tailwater help` lists the subcommands".to_owned();
                return Err(Report::refused(failed, hint));
            }
        },
    };
    let mut text = Vec::new();
    match page.render(&mut text) {
        Ok(()) => super::print(&String::from_utf8_lossy(&text)),
        Err(error) => Err(Report::new(exit::Code::Internal, "write the manual page", &error)),
    }
}
