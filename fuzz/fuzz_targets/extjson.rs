//! Any bytes as a document: an error or a text, no panic, no more text than the bytes can hold, and
//! the text is JSON where the form says so.
#![no_main]

use bumpalo::Bump;
use libfuzzer_sys::fuzz_target;
use tailwater::sources::mongodb::bson::Document;
use tailwater::sources::mongodb::extjson::{Form, to_text};

fuzz_target!(|data: &[u8]| {
    let Ok(document) = Document::new(data) else { return };
    let sound = document.check().is_ok();
    let arena = Bump::new();
    for form in [Form::DOCUMENT, Form::KEY, Form::UPDATED_FIELDS, Form::CANONICAL, Form::RELAXED] {
        let Ok(text) = to_text(document, form, &arena) else {
            assert!(!sound);
            continue;
        };
        assert!(sound);
        // An empty regular expression of four bytes becomes 55 characters, a comma and a name.
        assert!(text.len() <= 16 + data.len() * 24, "{} from {}", text.len(), data.len());
        if form != Form::DOCUMENT {
            // serde_json's own limit of nesting aside.
            let value: Result<serde_json::Value, _> = serde_json::from_str(text);
            assert!(value.is_ok() || text.matches(['{', '[']).count() > 100, "{text}");
        }
    }
});
