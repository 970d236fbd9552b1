//! Any text and bytes as GTID sets: an error, or a set that is read back as it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tailwater::offsets::position::{GtidSet, MariadbGtidList};
use tailwater::sources::mysql::binlog::gtid;

fuzz_target!(|data: &[u8]| {
    if let Ok(set) = GtidSet::decode(data) {
        assert_eq!(GtidSet::decode(&set.encode()), Ok(set.clone()));
        assert_eq!(set.to_string().parse(), Ok(set));
    }
    gtid::parse_tagged(data).ok();
    gtid::MariadbGtidEvent::parse(data, 1).ok();
    gtid::XaPrepare::parse(data).ok();
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(set) = text.parse::<GtidSet>() {
        assert_eq!(set.to_string().parse(), Ok(set.clone()));
        assert!(set.minus(&set).is_empty() && set.is_subset_of(&set));
    }
    if let Ok(list) = text.parse::<MariadbGtidList>() {
        assert_eq!(list.to_string().parse(), Ok(list));
    }
});
