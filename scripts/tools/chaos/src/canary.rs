//! Personal data with a canary, which is searched for in all logs: every user of a run carries it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use memchr::memmem;
use rustix::fs::{FallocateFlags, fallocate};

/// Part of every e-mail address and name of a run. Only letters, so that URL and JSON encoding keep it.
pub(crate) const CANARY: &str = "zxqcanary";

/// The digits of every phone number of a run: more than a time, an id or a duration has in common with them by chance.
const CANARY_DIGITS: &str = "73065194826";

/// The canary in base64, the encoding of page tokens, at each of the three possible byte offsets.
const IN_BASE64: [&str; 3] = ["enhxY2FuYXJ5", "p4cWNhbmFye", "6eHFjYW5hcn"];

/// How much of a file is searched at a time.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// The beginning of a longer log is discarded once it was searched.
const MAX_LOG_BYTES: u64 = 256 * 1024 * 1024;
/// Longer than any form of the canary: the end of each chunk is searched again with the next.
const OVERLAP_BYTES: usize = 32;

/// An e-mail address with the canary, different for each `number`.
pub(crate) fn email(number: impl std::fmt::Display) -> String {
    format!("Zxqcanary+{number}@{CANARY}.example")
}

/// A name with the canary.
pub(crate) fn name() -> String {
    format!("Zxqcanary {CANARY}")
}

/// A phone number with the canary.
pub(crate) fn phone() -> String {
    format!("+{CANARY_DIGITS}")
}

/// Whether a canary is in `text`.
pub(crate) fn is_in(text: &str) -> bool {
    !occurrences(text.as_bytes(), 0).is_empty()
}

/// The directory of all logs of a run.
#[derive(Debug)]
pub(crate) struct Logs {
    directory: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    created: usize,
    scanned: HashMap<PathBuf, u64>,
    found: Found,
}

/// What was searched, and where a canary was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) occurrences: usize,
    /// One of each file, with its surroundings.
    pub(crate) examples: Vec<String>,
}

impl Logs {
    /// Logs go to `directory`, which is emptied.
    pub(crate) fn new(directory: PathBuf) -> Result<Self> {
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir_all(&directory)?;
        Ok(Self { directory, state: Mutex::default() })
    }

    /// The path of a new log of `name`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.created += 1;
        self.directory.join(format!("{:04}-{name}.log", state.created))
    }

    /// Copies a log that was written elsewhere.
    pub(crate) fn copy(&self, name: &str, file: &Path) -> Result<()> {
        std::fs::copy(file, self.file(name))?;
        Ok(())
    }

    /// The directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Searches what was logged since the last call.
    pub(crate) fn scan(&self) -> Result<Found> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { scanned, found, .. } = &mut *state;
        for entry in std::fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let begin = scanned.entry(path.clone()).or_insert(0);
            *begin = scan_file(&path, *begin, found)?;
            // The log of hours would fill the disk. Its length, and offsets into it, stay the same.
            if *begin > MAX_LOG_BYTES {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                let file = File::options().write(true).open(&path)?;
                fallocate(&file, flags, 0, *begin - MAX_LOG_BYTES / 2)?;
            }
        }
        found.files = scanned.len();
        Ok(found.clone())
    }
}

/// Searches from `begin` to the end of the file, and returns the offset of the end.
fn scan_file(path: &Path, begin: u64, found: &mut Found) -> Result<u64> {
    let mut file = File::open(path)?;
    let mut offset = begin.saturating_sub(OVERLAP_BYTES as u64);
    file.seek(SeekFrom::Start(offset))?;
    let mut searched = (begin - offset) as usize;
    let mut chunk = Vec::new();
    loop {
        let read = (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
        if read == 0 {
            return Ok(offset + chunk.len() as u64);
        }
        found.bytes += read as u64 - searched.min(read) as u64;
        for occurrence in occurrences(&chunk, searched) {
            found.occurrences += 1;
            let file = path.file_name().unwrap_or_default().display().to_string();
            if !found.examples.iter().any(|example| example.starts_with(&file)) {
                let surroundings = &chunk[occurrence.saturating_sub(60)..chunk.len().min(occurrence + 60)];
                let text = String::from_utf8_lossy(surroundings).replace('\n', " ");
                found.examples.push(format!("{file}: …{text}…"));
            }
        }
        let keep = chunk.len().min(OVERLAP_BYTES);
        offset += (chunk.len() - keep) as u64;
        chunk.drain(..chunk.len() - keep);
        searched = keep;
    }
}

/// The offsets of canaries in any form, except those that end within the first `searched` bytes.
fn occurrences(chunk: &[u8], searched: usize) -> Vec<usize> {
    let lower = chunk.to_ascii_lowercase();
    let find = |text: &[u8], form: &str| -> Vec<usize> {
        memmem::find_iter(text, form).filter(|at| at + form.len() > searched).collect()
    };
    let others = IN_BASE64.iter().chain([&CANARY_DIGITS]).flat_map(|form| find(chunk, form));
    find(&lower, CANARY).into_iter().chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_found_once_in_any_form() {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs::new(directory.path().join("logs")).unwrap();
        let path = logs.file("service");
        let forms = ["ZxqCanary", "zxqcanary%40", "enhxY2FuYXJ5", "eHp4cWNhbmFyeXl5", "eHh6eHFjYW5hcnl5eQ", "zxqcan"];
        std::fs::write(&path, forms.join("\n")).unwrap();
        let found = logs.scan().unwrap();
        assert_eq!((found.files, found.occurrences), (1, 5), "{found:?}");

        use std::io::Write;
        File::options().append(true).open(&path).unwrap().write_all(b"ary and so on").unwrap();
        let found = logs.scan().unwrap();
        assert_eq!(found.occurrences, 6, "the one of which only a part was written before");
        assert_eq!(found.bytes, std::fs::metadata(&path).unwrap().len());
        assert_eq!(logs.scan().unwrap().occurrences, 6);
        std::fs::write(logs.file("service"), phone()).unwrap();
        assert_eq!(logs.scan().unwrap().occurrences, 7);
    }
}
