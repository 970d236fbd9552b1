//! JSON lines, to a file or to standard output: a first look without Kafka.
//!
//! One line per record: `{"topic":…,"key":…,"value":…,"headers":{…}}`, keys and values being the
//! JSON that the encoder made. Dead letters go to a file of their own, with their bytes in base64.
//!
//! A file is synced before the receipts of what was written; a crash may leave a line without its
//! end, and the next start cuts it off, because the record of it was never receipted and comes
//! again. Standard output is flushed, which is all that can be done for it; when its reader is gone
//! there is nobody to deliver to, and the run ends quietly.

mod line;
mod output;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::DeadLetterConfig;
use crate::disposition::{Diagnose, Disposition};
use crate::failpoint;
use crate::record::{RecordBatch, Topics};
use crate::sinks::{BoxError, Receipt, Sink, SinkEnd};
use line::append_line;

use output::{FileOutput, LetterFile, Output};

/// Batches that share one sync, so that a slow disk sees fewer of them.
const GROUP_MAX: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{operation} {path}")]
    Io { operation: &'static str, path: String, source: std::io::Error },
    #[error("write a record of topic {topic} as a JSON line: it is not JSON")]
    NotJson { topic: String },
}

impl Diagnose for FileError {
    fn disposition(&self) -> Disposition {
        match self {
            // The file is opened again and looked at anew (correctness I10).
            Self::Io { .. } => Disposition::Reconnect,
            Self::NotJson { .. } => Disposition::Stop,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { source, path, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                format!(
                    "free space on the file system of {path}; nothing was acknowledged to the source meanwhile"
                )
            }
            Self::Io { path, .. } => format!("check owner, mode and folder of {path}"),
            Self::NotJson { .. } => {
                "file and stdout sinks take JSON: set `format: { json: {} }`".to_owned()
            }
        })
    }
}

/// JSON lines in a file.
pub struct FileSink {
    lines: Lines<FileOutput>,
}

impl FileSink {
    /// Opens the file for appending and cuts off an incomplete last line.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn new(
        path: PathBuf,
        topics: Arc<Topics>,
        dead_letter: DeadLetterConfig,
    ) -> Result<Self, FileError> {
        let out = FileOutput::open(path)?;
        Ok(Self { lines: Lines { out, letters: LetterFile::new(dead_letter.path), topics } })
    }
}

/// JSON lines on standard output.
pub struct StdoutSink {
    lines: Lines<std::io::Stdout>,
}

impl StdoutSink {
    #[must_use]
    pub fn new(topics: Arc<Topics>, dead_letter: DeadLetterConfig) -> Self {
        let letters = LetterFile::new(dead_letter.path);
        Self { lines: Lines { out: std::io::stdout(), letters, topics } }
    }
}

impl Sink for FileSink {
    fn run(
        self: Box<Self>,
        batches: mpsc::Receiver<RecordBatch>,
        receipts: mpsc::Sender<Receipt>,
        stop: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = Result<SinkEnd, BoxError>> + Send>> {
        Box::pin(run(self.lines, batches, receipts, stop))
    }
}

impl Sink for StdoutSink {
    fn run(
        self: Box<Self>,
        batches: mpsc::Receiver<RecordBatch>,
        receipts: mpsc::Sender<Receipt>,
        stop: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = Result<SinkEnd, BoxError>> + Send>> {
        Box::pin(run(self.lines, batches, receipts, stop))
    }
}

struct Lines<O> {
    out: O,
    letters: LetterFile,
    topics: Arc<Topics>,
}

enum Written {
    Durably,
    /// The reader of the pipe is gone.
    ToNobody,
}

impl<O: Output> Lines<O> {
    /// Blocks until every record of the batches is durable.
    fn write(&mut self, batches: &[RecordBatch]) -> Result<Written, FileError> {
        let (mut lines, mut letters) = (Vec::new(), Vec::new());
        for batch in batches {
            for record in &batch.records {
                append_line(batch, record, &self.topics, (&mut lines, &mut letters))?;
            }
        }
        if !letters.is_empty() {
            self.letters.write_durably(&letters)?;
        }
        if lines.is_empty() {
            return Ok(Written::Durably);
        }
        match self.out.write_durably(&lines) {
            Ok(()) => Ok(Written::Durably),
            Err(FileError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::BrokenPipe =>
            {
                Ok(Written::ToNobody)
            }
            Err(error) => Err(error),
        }
    }
}

async fn run<O: Output>(
    mut lines: Lines<O>,
    mut batches: mpsc::Receiver<RecordBatch>,
    receipts: mpsc::Sender<Receipt>,
    stop: CancellationToken,
) -> Result<SinkEnd, BoxError> {
    loop {
        let first = tokio::select! {
            biased;
            // 1. A stop is heard whatever the disk does.
            () = stop.cancelled() => return Ok(SinkEnd::Done),
            // 2. Work.
            batch = batches.recv() => batch,
        };
        let Some(first) = first else { return Ok(SinkEnd::Done) };
        let mut group = vec![first];
        while group.len() < GROUP_MAX
            && let Ok(batch) = batches.try_recv()
        {
            group.push(batch);
        }
        let writing = tokio::task::spawn_blocking(move || {
            let written = lines.write(&group);
            (lines, group, written)
        });
        let done = tokio::select! {
            biased;
            // 1. As above: a write that was begun has no receipt.
            () = stop.cancelled() => return Ok(SinkEnd::Done),
            // 2. The write; it fails to join only when the runtime is being shut down.
            done = writing => done,
        };
        let Ok((kept, group, written)) = done else { return Ok(SinkEnd::Done) };
        lines = kept;
        match written.map_err(boxed)? {
            Written::Durably => {}
            Written::ToNobody => return Ok(SinkEnd::ReaderGone),
        }
        for batch in group {
            let receipt = Receipt::of(batch);
            failpoint::hit(failpoint::DELIVERED);
            if receipts.send(receipt).await.is_err() {
                return Ok(SinkEnd::Done);
            }
        }
    }
}

fn boxed(error: FileError) -> BoxError {
    Box::new(error)
}

#[cfg(test)]
mod tests;
