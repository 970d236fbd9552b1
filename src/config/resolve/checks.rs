//! Collects findings, each with its place in the file.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::defaults;
use crate::config::diagnose::Finding;
use crate::config::tree::{Kind, Node};
use crate::config::units::{Size, Span};

pub(super) struct Checks<'t> {
    root: &'t Node,
    findings: Vec<Finding>,
    warnings: Vec<Finding>,
}

/// Keys from the root to a value.
pub(super) type Path<'a> = &'a [&'a str];

impl<'t> Checks<'t> {
    pub(super) fn new(root: &'t Node) -> Self {
        Self { root, findings: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn finish(self) -> (Vec<Finding>, Vec<Finding>) {
        (self.findings, self.warnings)
    }

    pub(super) fn refuse(&mut self, path: Path<'_>, problem: impl Into<String>) {
        let finding = self.finding(path, problem.into());
        self.findings.push(finding);
    }

    pub(super) fn warn(&mut self, path: Path<'_>, problem: impl Into<String>) {
        let finding = self.finding(path, problem.into());
        self.warnings.push(finding);
    }

    fn finding(&self, path: Path<'_>, problem: String) -> Finding {
        let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
        Finding::at(self.root.place_of(&path), &path, problem)
    }

    /// Whether the value at the path stands in the file as it is, and not behind a reference.
    pub(super) fn is_plain_text(&self, path: Path<'_>) -> bool {
        let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
        match self.root.get(&path).map(|node| &node.kind) {
            Some(Kind::Scalar(scalar)) => !scalar.interpolated,
            Some(Kind::List(_) | Kind::Map(_)) | None => false,
        }
    }

    /// The value in backquotes, unless it came through a reference.
    pub(super) fn shown(&self, path: Path<'_>, value: &str) -> String {
        if self.is_plain_text(path) { format!("`{value}`") } else { "the value".to_owned() }
    }

    pub(super) fn secret(&mut self, path: Path<'_>) {
        if self.is_plain_text(path) {
            self.warn(
                path,
                "a secret in plain text; `${file:PATH}` or `${env:NAME}` keeps it out of this file",
            );
        }
    }

    /// Names that become parts of topics, groups and files.
    pub(super) fn name(&mut self, path: Path<'_>, name: &str) {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > 100 || !name.chars().all(legal) {
            self.refuse(path, "expected 1 to 100 letters, digits, `.`, `_` and `-`");
        } else if name.chars().all(|c| c == '.') {
            self.refuse(path, "a name of dots alone is a folder to the file system");
        }
    }

    /// Kafka's rule for topics: 1 to 249 of letters, digits, `.`, `_` and `-`, but not `.` or `..`
    /// (org.apache.kafka.common.internals.Topic).
    pub(super) fn topic(&mut self, path: Path<'_>, name: &str) {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let fine = !name.is_empty() && name.len() <= 249 && name.chars().all(legal);
        if !fine || matches!(name, "." | "..") {
            self.refuse(path, "expected a topic name: 1 to 249 letters, digits, `.`, `_` and `-`");
        }
    }

    pub(super) fn text(&mut self, path: Path<'_>, text: &str) {
        if text.is_empty() {
            self.refuse(path, "expected some text, found an empty one");
        } else if text.contains('\0') {
            self.refuse(path, "a zero byte, which no server takes in a name");
        }
    }

    pub(super) fn duration(
        &mut self,
        path: Path<'_>,
        written: Option<Span>,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(Span(value)) = written else { return default };
        if !range.contains(&value) {
            let (low, high) = (Span(*range.start()), Span(*range.end()));
            self.refuse(path, format!("{} is out of range: {low} to {high}", Span(value)));
        }
        value
    }

    pub(super) fn size(
        &mut self,
        path: Path<'_>,
        written: Option<Size>,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> u32 {
        let Size(value) = written.unwrap_or(Size(default));
        if !range.contains(&value) {
            let (low, high) = (Size(*range.start()), Size(*range.end()));
            self.refuse(path, format!("{} is out of range: {low} to {high}", Size(value)));
        }
        u32::try_from(value).unwrap_or(u32::MAX)
    }

    pub(super) fn number<N: PartialOrd + std::fmt::Display + Copy>(
        &mut self,
        path: Path<'_>,
        written: Option<N>,
        default: N,
        range: RangeInclusive<N>,
    ) -> N {
        let Some(value) = written else { return default };
        if !range.contains(&value) {
            let (low, high) = (range.start(), range.end());
            self.refuse(path, format!("{value} is out of range: {low} to {high}"));
        }
        value
    }

    /// A client certificate is nothing without its key, and the other way round.
    pub(super) fn certificate_pair(
        &mut self,
        path: Path<'_>,
        certificate: Option<&PathBuf>,
        key: Option<&PathBuf>,
    ) {
        match (certificate, key) {
            (Some(_), None) => self.refuse(path, "`certificate` is given without its `key`"),
            (None, Some(_)) => self.refuse(path, "`key` is given without its `certificate`"),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

/// From `low` to the longest wait that any field takes.
pub(super) fn at_least(low: Duration) -> RangeInclusive<Duration> {
    low..=defaults::WAIT_MAX
}

/// Whether a host never leaves this machine.
pub(super) fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
