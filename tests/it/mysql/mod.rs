//! The MySQL source's rooms against real servers of both kinds.

mod basics;
mod binlog_text;
mod canonical;
mod chain;
mod failover;
mod faults;
mod giants;
mod gone;
mod history;
mod kinds;
mod known;
mod literals;
mod login;
mod modes;
mod mysqlbinlog;
mod oracle;
mod order_law;
mod places;
mod reading;
mod replica;
mod rows;
mod snapshot;
mod start_checks;
mod stream;
mod workload;
mod xa;
