//! Any bytes as a document, and as changes to one: an error or a text that is JSON, no panic, and
//! no more text than the bytes can hold.
#![no_main]

use bumpalo::Bump;
use libfuzzer_sys::fuzz_target;
use tailwater::sources::mysql::json::{JsonForm, apply_diffs, to_text};

fuzz_target!(|data: &[u8]| {
    let arena = Bump::new();
    for form in [JsonForm::Server, JsonForm::Debezium] {
        let Some((first, rest)) = data.split_first() else { return };
        let (document, diffs) = rest.split_at(usize::from(*first).min(rest.len()));
        for text in [to_text(data, form, &arena), apply_diffs(document, diffs, form, &arena)] {
            let Ok(text) = text else { continue };
            // A control character becomes six characters, a double up to 1,080.
            assert!(text.len() <= 16 + data.len() * 1_100);
            let value: Result<serde_json::Value, _> = serde_json::from_str(text);
            assert!(value.is_ok() || text.len() > 300, "{text}");
        }
    }
});
