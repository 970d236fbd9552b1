//! Any bytes as a document: the walk gives an error or values, no panic, and agrees with the
//! official library about what is a document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tailwater::sources::mongodb::bson::{Bson, Document};

fuzz_target!(|data: &[u8]| {
    let Ok((document, rest)) = Document::first(data) else {
        assert!(Document::new(data).is_err());
        return;
    };
    assert_eq!(document.bytes().len() + rest.len(), data.len());
    let sound = document.check().is_ok();
    for element in document.elements() {
        let Ok(element) = element else { return assert!(!sound) };
        let Ok(Some(found)) = document.get(element.name) else { panic!("an element is found") };
        if let Bson::Decimal128(decimal) = found {
            // A sign, a point, 35 digits (one more than there should be) and an exponent.
            assert!(decimal.to_string().len() <= 43);
        }
    }
    if sound {
        // What we take, the library takes: it may know less (depth), never more.
        let document = mongodb::bson::RawDocument::from_bytes(document.bytes());
        let document = document.expect("the outermost level is sound");
        for element in document.iter() {
            element.expect("every element is sound");
        }
    }
});
