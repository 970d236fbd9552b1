//! What every source has: tables and encryption.

use super::checks::{Checks, is_local};
use crate::config::{TableFilter, TlsConfig, TlsMode, defaults, written};

/// How a source is spoken of.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// Its key below `source`.
    pub(super) key: &'static str,
    /// The key of its patterns.
    pub(super) list: &'static str,
    /// What a table's full name is made of.
    pub(super) table: &'static str,
    /// The first part of a table's name in an example.
    pub(super) example: &'static str,
}

/// The filter of `tables`, or what the source calls them.
pub(super) fn tables(checks: &mut Checks<'_>, kind: Kind, written: written::Tables) -> TableFilter {
    if written.include.as_ref().is_some_and(Vec::is_empty) {
        checks.refuse(
            &["source", kind.key, kind.list, "include"],
            format!(
                "an empty list captures nothing; leave the key out to capture every {}",
                kind.list.trim_end_matches('s')
            ),
        );
    }
    let mut patterns = |key: &'static str, list: Option<Vec<String>>| {
        let mut fine = Vec::new();
        for (index, pattern) in list.unwrap_or_default().into_iter().enumerate() {
            let index = index.to_string();
            let path = &["source", kind.key, kind.list, key, &index];
            match check_pattern(kind, &pattern) {
                Ok(()) => fine.push(pattern),
                Err(why) => {
                    let shown = checks.shown(path, &pattern);
                    let table = kind.table;
                    checks.refuse(path, format!("{shown} is no pattern over `{table}`: {why}"));
                }
            }
        }
        fine
    };
    let include = patterns("include", written.include);
    let exclude = patterns("exclude", written.exclude);
    TableFilter::new(include, exclude).expect("every pattern was just compiled")
}

fn check_pattern(kind: Kind, pattern: &str) -> Result<(), String> {
    if !pattern.contains('.') && pattern != "*" {
        let example = kind.example;
        return Err(format!("there is no dot in it, as in `{example}.orders` or `{example}.*`"));
    }
    match globset::Glob::new(pattern) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.kind().to_string()),
    }
}

pub(super) fn tls(
    checks: &mut Checks<'_>,
    kind: Kind,
    host: &str,
    written: written::Tls,
) -> TlsConfig {
    let (whole, mode_path) = (["source", kind.key, "tls"], ["source", kind.key, "tls", "mode"]);
    checks.certificate_pair(&whole, written.certificate.as_ref(), written.key.as_ref());
    let local = is_local(host);
    let mode = match written.mode {
        None if local => defaults::TLS_MODE_LOCAL,
        None => defaults::TLS_MODE_REMOTE,
        Some(written::TlsMode::Disable) => TlsMode::Disable,
        Some(written::TlsMode::Prefer) => TlsMode::Prefer,
        Some(written::TlsMode::Require) => TlsMode::Require,
        Some(written::TlsMode::VerifyCa) => TlsMode::VerifyCa,
        Some(written::TlsMode::VerifyFull) => TlsMode::VerifyFull,
    };
    let has_files = written.ca.is_some() || written.certificate.is_some();
    match mode {
        TlsMode::Disable if has_files => {
            checks.refuse(
                &mode_path,
                "`disable` never looks at the certificates that are given beside it",
            );
        }
        TlsMode::Disable | TlsMode::Prefer if !local => {
            checks.warn(
                &mode_path,
                "passwords and rows may cross the network unencrypted; `verify-full` prevents that",
            );
        }
        TlsMode::Require if !local => {
            checks.warn(&mode_path, "the server's certificate is not verified, so anybody in between can pose as it; `verify-full` prevents that");
        }
        TlsMode::Disable
        | TlsMode::Prefer
        | TlsMode::Require
        | TlsMode::VerifyCa
        | TlsMode::VerifyFull => {}
    }
    TlsConfig { mode, ca: written.ca, certificate: written.certificate, key: written.key }
}
