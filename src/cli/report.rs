//! The last words: what failed, why, and what a person can do.

use std::error::Error;
use std::fmt::Write as _;

use crate::config::ConfigError;
use crate::disposition::Diagnose;
use crate::exit;
use crate::logs::Style;

/// An error in three parts, and the exit code that it ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    code: exit::Code,
    /// Finishes "failed to …".
    failed: String,
    causes: Vec<String>,
    hint: Option<String>,
}

impl Report {
    /// `cause` and everything below it become the causes.
    pub(super) fn new(code: exit::Code, failed: &str, cause: &(dyn Error + 'static)) -> Self {
        Self { code, failed: failed.to_owned(), causes: chain(Some(cause)), hint: None }
    }

    pub(super) fn of(code: exit::Code, error: &dyn Diagnose) -> Self {
        let causes = chain(error.source());
        Self { code, failed: error.to_string(), causes, hint: error.hint() }
    }

    pub(super) fn refused(failed: String, hint: String) -> Self {
        let (code, causes) = (exit::Code::Configuration, Vec::new());
        Self { code, failed, causes, hint: Some(hint) }
    }

    /// Shows it on stderr and gives the code to exit with.
    pub(super) fn print(&self, style: Style) -> exit::Code {
        match style {
            Style::Json => {
                let (error, causes) =
                    (format!("failed to {}", self.failed), self.causes.join(": "));
                let (hint, exit_code) = (self.hint.as_deref(), self.code.number());
                tracing::error!(error, causes, hint, exit_code, "tailwater ends");
            }
            Style::Text => {
                use std::io::Write;
                // Nobody is left to tell where stderr is closed.
                std::io::stderr().write_all(self.text().as_bytes()).ok();
            }
        }
        self.code
    }

    fn text(&self) -> String {
        let mut text = format!("error: failed to {}\n", self.failed);
        for cause in &self.causes {
            text.push_str("  ");
            text.push_str(cause);
            text.push('\n');
        }
        if let Some(hint) = &self.hint {
            writeln!(text, "hint: {hint}").expect("a String takes every text");
        }
        text
    }
}

impl From<ConfigError> for Report {
    fn from(error: ConfigError) -> Self {
        let causes = error.lines();
        Self { causes, ..Self::of(exit::Code::Configuration, &error) }
    }
}

fn chain(mut error: Option<&(dyn Error + 'static)>) -> Vec<String> {
    let mut causes = Vec::new();
    while let Some(cause) = error {
        let text = cause.to_string();
        // Some libraries print their cause and give it too.
        if !causes.last().is_some_and(|above: &String| above.ends_with(&text)) {
            causes.push(text);
        }
        error = cause.source();
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offsets::OffsetError;

    #[test]
    fn three_parts_are_shown() {
        let error = OffsetError::Io {
            operation: "write",
            location: "/var/lib/tailwater".to_owned(),
            source: std::io::Error::other("no space"),
        };
        assert_eq!(
            Report::of(exit::Code::Offsets, &error).text(),
            "error: failed to write the offsets at /var/lib/tailwater\n  \
             no space\n\
             hint: check owner, mode and free space of the folder in `offsets.file.path`\n"
        );
    }
}
