//! Versions as servers print them: `9.7.4-2`, `10.11.18-MariaDB-0+deb12u1-log`.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    text: String,
    numbers: (u32, u32, u32),
}

impl Version {
    /// Numbers that are not there count as 0.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split('.').map(|part| {
            let digits = part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            digits.parse().unwrap_or(0)
        });
        let mut next = || parts.next().unwrap_or(0);
        Self { text: text.to_owned(), numbers: (next(), next(), next()) }
    }

    #[must_use]
    pub fn is_at_least(&self, major: u32, minor: u32, patch: u32) -> bool {
        self.numbers >= (major, minor, patch)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_their_numbers() {
        for (text, at_least, older) in [
            ("9.7.4-2", (9, 7, 4), (9, 7, 5)),
            ("8.0.22", (8, 0, 22), (8, 2, 0)),
            ("10.11.18-MariaDB-0+deb12u1-log", (10, 11, 18), (10, 12, 0)),
            ("8.4", (8, 4, 0), (8, 4, 1)),
            ("odd", (0, 0, 0), (0, 0, 1)),
        ] {
            let version = Version::parse(text);
            assert!(version.is_at_least(at_least.0, at_least.1, at_least.2), "{text}");
            assert!(!version.is_at_least(older.0, older.1, older.2), "{text}");
            assert_eq!(version.to_string(), text);
        }
    }
}
