//! See the issue: to be written.
