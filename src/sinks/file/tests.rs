use super::*;
use crate::config::DeadLetterPolicy;
use crate::record::{Record, TopicRole};
use crate::sinks::dead_letter::{self, DeadLetter};

fn config(folder: &std::path::Path) -> DeadLetterConfig {
    DeadLetterConfig {
        conversion: DeadLetterPolicy::DeadLetter,
        delivery: DeadLetterPolicy::DeadLetter,
        topic: "shop.dead-letter".to_owned(),
        path: folder.join("letters.jsonl"),
    }
}

fn batch(sequence: u64, topics: &Topics, values: &[Option<&str>]) -> RecordBatch {
    let topic = topics.intern("shop.orders", TopicRole::Data);
    let mut batch = RecordBatch { sequence, ..RecordBatch::default() };
    for value in values {
        let key = 0..u32::try_from(b"{\"id\":1}".len()).unwrap();
        if batch.data.is_empty() {
            batch.data.extend_from_slice(b"{\"id\":1}");
        }
        let start = u32::try_from(batch.data.len()).unwrap();
        batch.data.extend_from_slice(value.unwrap_or_default().as_bytes());
        let end = u32::try_from(batch.data.len()).unwrap();
        let value = value.map(|_| start..end);
        batch.records.push(Record { topic, key: Some(key), value, headers: 0..0 });
    }
    batch
}

/// Sends the batches through a sink and gives the sequences of the receipts.
async fn deliver(sink: Box<dyn Sink>, batches: Vec<RecordBatch>) -> Result<Vec<u64>, BoxError> {
    let (sender, receiver) = mpsc::channel(100);
    let (receipt_sender, mut receipts) = mpsc::channel(100);
    for batch in batches {
        sender.send(batch).await.unwrap();
    }
    drop(sender);
    sink.run(receiver, receipt_sender, CancellationToken::new()).await?;
    let mut sequences = Vec::new();
    while let Some(receipt) = receipts.recv().await {
        sequences.push(receipt.sequence());
    }
    Ok(sequences)
}

#[tokio::test]
async fn records_become_lines_in_order_and_receipts_follow() {
    let folder = tempfile::tempdir().unwrap();
    let (path, topics) = (folder.path().join("out.jsonl"), Arc::new(Topics::default()));
    let sink = FileSink::new(path.clone(), Arc::clone(&topics), config(folder.path())).unwrap();
    let batches = vec![
        batch(0, &topics, &[Some("{\"a\":1}"), None]),
        batch(1, &topics, &[]),
        batch(2, &topics, &[Some("{\"a\":2}")]),
    ];
    assert_eq!(deliver(Box::new(sink), batches).await.unwrap(), [0, 1, 2]);
    let expected = "\
        {\"topic\":\"shop.orders\",\"key\":{\"id\":1},\"value\":{\"a\":1},\"headers\":{}}\n\
        {\"topic\":\"shop.orders\",\"key\":{\"id\":1},\"value\":null,\"headers\":{}}\n\
        {\"topic\":\"shop.orders\",\"key\":{\"id\":1},\"value\":{\"a\":2},\"headers\":{}}\n";
    assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
}

#[tokio::test]
async fn a_line_torn_by_a_crash_is_cut_and_whole_lines_stay() {
    let folder = tempfile::tempdir().unwrap();
    for (before, kept) in [
        ("{\"a\":1}\n{\"b\":", "{\"a\":1}\n".to_owned()),
        ("{\"torn\":", String::new()),
        ("", String::new()),
        ("{\"a\":1}\n", "{\"a\":1}\n".to_owned()),
        (&format!("x\n{}", "y".repeat(200_000)), "x\n".to_owned()),
    ] {
        let path = folder.path().join("out.jsonl");
        std::fs::write(&path, before).unwrap();
        let topics = Arc::new(Topics::default());
        let sink = FileSink::new(path.clone(), Arc::clone(&topics), config(folder.path())).unwrap();
        deliver(Box::new(sink), vec![batch(0, &topics, &[Some("1")])]).await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let line = "{\"topic\":\"shop.orders\",\"key\":{\"id\":1},\"value\":1,\"headers\":{}}\n";
        assert_eq!(text, format!("{kept}{line}"));
    }
}

#[tokio::test]
async fn dead_letters_go_to_their_own_file_with_their_bytes_in_base64() {
    let folder = tempfile::tempdir().unwrap();
    let (path, topics) = (folder.path().join("out.jsonl"), Arc::new(Topics::default()));
    let letters = topics.intern("shop.dead-letter", TopicRole::DeadLetter);
    let mut one = batch(0, &topics, &[Some("1")]);
    let letter =
        DeadLetter { raw: b"\xff\x00", error: "no \"number\"".to_owned(), ..DeadLetter::default() };
    dead_letter::append(&mut one, letters, &letter);
    let sink = FileSink::new(path.clone(), Arc::clone(&topics), config(folder.path())).unwrap();
    deliver(Box::new(sink), vec![one]).await.unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 1);
    let text = std::fs::read_to_string(folder.path().join("letters.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["value_base64"], "/wA=");
    assert_eq!(line["key_base64"], serde_json::Value::Null);
    assert_eq!(line["headers"]["tailwater.error"], "no \"number\"");
}

#[tokio::test]
async fn bytes_that_are_not_json_stop_the_sink() {
    let folder = tempfile::tempdir().unwrap();
    let topics = Arc::new(Topics::default());
    let path = folder.path().join("out.jsonl");
    let sink = FileSink::new(path, Arc::clone(&topics), config(folder.path())).unwrap();
    let error = deliver(Box::new(sink), vec![batch(0, &topics, &[Some("\0\0avro")])]).await;
    assert_eq!(error.unwrap_err().disposition(), Disposition::Stop);
}

#[tokio::test]
async fn a_full_disk_gives_no_receipt_and_is_tried_again_from_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let topics = Arc::new(Topics::default());
    let sink =
        FileSink::new("/dev/full".into(), Arc::clone(&topics), config(folder.path())).unwrap();
    let error = deliver(Box::new(sink), vec![batch(0, &topics, &[Some("1")])]).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Reconnect);
    assert!(error.hint().unwrap().contains("free space"));
}

/// Standard output whose reader has gone away.
struct BrokenPipe;

impl Output for BrokenPipe {
    fn write_durably(&mut self, _: &[u8]) -> Result<(), FileError> {
        let source = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        Err(FileError::Io { operation: "write to", path: "standard output".to_owned(), source })
    }
}

#[tokio::test]
async fn a_reader_that_went_away_ends_the_run_quietly_and_without_receipt() {
    let topics = Arc::new(Topics::default());
    let folder = tempfile::tempdir().unwrap();
    let letters = LetterFile::new(folder.path().join("letters.jsonl"));
    let one = batch(0, &topics, &[Some("1")]);
    let (sender, receiver) = mpsc::channel(1);
    let (receipt_sender, mut receipts) = mpsc::channel(1);
    sender.send(one).await.unwrap();
    let lines = Lines { out: BrokenPipe, letters, topics };
    run(lines, receiver, receipt_sender, CancellationToken::new()).await.unwrap();
    assert!(receipts.recv().await.is_none());
}
