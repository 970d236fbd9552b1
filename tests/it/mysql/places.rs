//! What of the log a checkpoint file says is done, read from outside.

use std::path::Path;

use tailwater::offsets::position::{BinlogFile, GtidSet, GtidSource, MariadbGtid, MariadbGtidList};

use crate::ledger::Floor;

/// What is done in each way that a checkpoint may say it. Both slots of the file are read: the
/// newer one holds the older one.
#[derive(Default)]
pub(super) struct Done {
    gtids: GtidSet,
    domains: MariadbGtidList,
    pub(super) file: Option<BinlogFile>,
}

impl Done {
    pub(super) fn of(offsets: &Path) -> Self {
        let mut done = Self::default();
        let files = std::fs::read_dir(offsets).expect("the offsets folder is there").flatten();
        for entry in files.filter(|entry| entry.path().is_file()) {
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            for rest in text.split("\"gtids\":\"").skip(1) {
                let gtids = rest.split('"').next().unwrap_or_default();
                if let Ok(set) = gtids.parse::<GtidSet>() {
                    done.gtids.union(&set);
                } else if let Ok(list) = gtids.parse::<MariadbGtidList>() {
                    let newer = list.iter().filter(|gtid| !done.domains.contains(gtid));
                    newer
                        .copied()
                        .collect::<Vec<_>>()
                        .into_iter()
                        .for_each(|g| done.domains.set(g));
                }
            }
            for rest in text.split("\"file\":{").skip(1) {
                let object = format!("{{{}}}", rest.split('}').next().unwrap_or_default());
                let Ok(file) = serde_json::from_str::<BinlogFile>(&object) else { continue };
                let before = done.file.as_ref().and_then(|known| known.compare(&file));
                if before.is_none_or(std::cmp::Ordering::is_lt) {
                    done.file = Some(file);
                }
            }
        }
        done
    }

    /// Whether the event of a `cdc.id`, `<transaction>:<ordinal>[:<part>]`, is done. A transaction
    /// is `<domain>-<server>-<number>`, `<uuid>:<number>` or `<file>:<offset>`.
    fn contains(&self, id: &str) -> bool {
        let mut words = id.split(':');
        let first = words.next().unwrap_or_default();
        if let Ok(gtid) = first.parse::<MariadbGtid>() {
            return self.domains.contains(&gtid);
        }
        let Some(number) = words.next().and_then(|word| word.parse().ok()) else { return false };
        if let Some(source) = of_uuid(first) {
            return self.gtids.contains(&source, number);
        }
        let begin = BinlogFile { name: first.to_owned(), offset: number };
        self.file.as_ref().and_then(|end| begin.compare(end)).is_some_and(std::cmp::Ordering::is_lt)
    }

    pub(super) fn floor(self) -> Floor {
        Box::new(move |id| self.contains(id))
    }
}

fn of_uuid(text: &str) -> Option<GtidSource> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let bytes = (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok()).flatten()?;
    GtidSource::new(bytes.to_be_bytes(), "")
}
