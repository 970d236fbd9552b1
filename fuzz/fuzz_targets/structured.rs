//! Any bytes as documents of one collection: the structure grows within its limits, a document that
//! it has seen has a place, what is known survives as text, and what was seen is not new.
#![no_main]

use bumpalo::Bump;
use libfuzzer_sys::fuzz_target;
use tailwater::sources::mongodb::bson::Document;
use tailwater::sources::mongodb::structured::Structure;

fuzz_target!(|data: &[u8]| {
    let mut documents = Vec::new();
    let mut rest = data;
    while let Ok((document, behind)) = Document::first(rest) {
        documents.push(document);
        rest = behind;
    }
    let mut structure = Structure::default();
    let arena = Bump::new();
    for document in &documents {
        let seen = structure.observe(*document);
        structure.take_news();
        let has_place = structure.values(*document, &arena).is_ok();
        assert!(has_place || document.check().is_err());
        assert!(seen.is_ok() || !has_place);
    }
    let text = structure.to_text();
    let mut restored = Structure::of_text(&text).expect("its own text");
    assert_eq!(restored, structure);
    for document in documents.iter().filter(|document| document.check().is_ok()) {
        restored.observe(*document).expect("a sound document");
        assert!(restored.values(*document, &arena).is_ok());
    }
    assert!(!restored.has_news());
});
