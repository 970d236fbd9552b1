//! Where lines go, and what makes them durable there.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::FileError;

/// Read backwards in steps of this size when looking for the last complete line.
const STEP_BYTES: u64 = 64 * 1024;

pub(super) trait Output: Send + 'static {
    /// `Ok` only when a crash in the next instant could not lose the bytes, as far as the kind of
    /// output allows.
    fn write_durably(&mut self, bytes: &[u8]) -> Result<(), FileError>;
}

impl Output for std::io::Stdout {
    fn write_durably(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let mut out = self.lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|source| FileError::Io {
            operation: "write to",
            path: "standard output".to_owned(),
            source,
        })
    }
}

#[derive(Debug)]
pub(super) struct FileOutput {
    path: PathBuf,
    file: File,
    /// Pipes and devices cannot be synced, and have no past.
    regular: bool,
}

impl FileOutput {
    pub(super) fn open(path: PathBuf) -> Result<Self, FileError> {
        let new = !path.exists();
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(|source| error("open", &path, source))?;
        let metadata = file.metadata().map_err(|source| error("look at", &path, source))?;
        let regular = metadata.is_file();
        if regular {
            let cut = cut_torn_line(&mut file).map_err(|source| error("repair", &path, source))?;
            if cut > 0 {
                tracing::warn!(path = %path.display(), bytes = cut, "an incomplete last line was cut off; its record comes again");
            }
        }
        if new && regular {
            // The name of a new file is durable only with its folder.
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|source| error("sync the folder of", &path, source))?;
        }
        Ok(Self { path, file, regular })
    }
}

impl Output for FileOutput {
    fn write_durably(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).map_err(|source| error("write to", &self.path, source))?;
        if self.regular {
            self.file.sync_data().map_err(|source| error("sync", &self.path, source))?;
        }
        Ok(())
    }
}

/// The file of the dead letters, opened when the first one comes.
#[derive(Debug)]
pub(super) struct LetterFile {
    path: PathBuf,
    file: Option<FileOutput>,
}

impl LetterFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }
}

impl Output for LetterFile {
    fn write_durably(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => FileOutput::open(self.path.clone())?,
        };
        file.write_durably(bytes)?;
        self.file = Some(file);
        Ok(())
    }
}

/// Shortens the file to its last line break. Gives the number of bytes that were cut.
fn cut_torn_line(file: &mut File) -> std::io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut end = length;
    let mut buffer = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STEP_BYTES);
        file.seek(SeekFrom::Start(start))?;
        buffer.clear();
        Read::take(&mut *file, end - start).read_to_end(&mut buffer)?;
        if let Some(at) = buffer.iter().rposition(|byte| *byte == b'\n') {
            end = start + at as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length {
        file.set_len(end)?;
        file.sync_all()?;
    }
    Ok(length - end)
}

fn error(operation: &'static str, path: &Path, source: std::io::Error) -> FileError {
    FileError::Io { operation, path: path.display().to_string(), source }
}
