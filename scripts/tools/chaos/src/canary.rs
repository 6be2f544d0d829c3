//! Personal data that can be recognised wherever it turns up: every user of a run is a canary.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use memchr::memmem;
use rustix::fs::{FallocateFlags, fallocate};

/// In every e-mail address and name of a run. Letters alone, so that it survives URLs and JSON.
pub(crate) const CANARY: &str = "zxqcanary";

/// The canary within base64, as page tokens have it, at each of the three places that it can begin at.
const IN_BASE64: [&str; 3] = ["enhxY2FuYXJ5", "p4cWNhbmFye", "6eHFjYW5hcn"];

/// How much of a file is looked at in one go.
const PIECE_BYTES: usize = 4 * 1024 * 1024;
/// Of a log that is longer only the end is kept once it was looked at.
const RELEASE_BYTES: u64 = 256 * 1024 * 1024;
/// Longer than any form of the canary: the end of one piece is looked at again with the next.
const OVERLAP_BYTES: usize = 32;

/// An e-mail address with the canary in it; different for different `number`s.
pub(crate) fn email(number: impl std::fmt::Display) -> String {
    format!("Zxqcanary+{number}@{CANARY}.example")
}

/// A name with the canary in it.
pub(crate) fn name() -> String {
    format!("Zxqcanary {CANARY}")
}

/// The directory of all logs of a run.
#[derive(Debug)]
pub(crate) struct Logs {
    directory: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    made: usize,
    scanned: HashMap<PathBuf, u64>,
    found: Found,
}

/// What was looked at, and where a canary was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) occurrences: usize,
    /// One of each file, and what is round it.
    pub(crate) examples: Vec<String>,
}

impl Logs {
    /// Keeps logs in `directory`, which is emptied.
    pub(crate) fn new(directory: PathBuf) -> Result<Self> {
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir_all(&directory)?;
        Ok(Self { directory, state: Mutex::default() })
    }

    /// A new file for what `name` writes.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.made += 1;
        self.directory.join(format!("{:04}-{name}.log", state.made))
    }

    /// Keeps a copy of a log that was written elsewhere.
    pub(crate) fn keep(&self, name: &str, file: &Path) -> Result<()> {
        std::fs::copy(file, self.file(name))?;
        Ok(())
    }

    /// Where they are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Looks for canaries in all that is new since the last time.
    pub(crate) fn scan(&self) -> Result<Found> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { scanned, found, .. } = &mut *state;
        for entry in std::fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let begin = scanned.entry(path.clone()).or_insert(0);
            *begin = scan_file(&path, *begin, found)?;
            // The log of hours would fill the disk. Its length stays, and so do places in it.
            if *begin > RELEASE_BYTES {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                let file = File::options().write(true).open(&path)?;
                fallocate(&file, flags, 0, *begin - RELEASE_BYTES / 2)?;
            }
        }
        found.files = scanned.len();
        Ok(found.clone())
    }
}

/// Looks from `begin` to the end of the file, which it gives.
fn scan_file(path: &Path, begin: u64, found: &mut Found) -> Result<u64> {
    let mut file = File::open(path)?;
    let mut at = begin.saturating_sub(OVERLAP_BYTES as u64);
    file.seek(SeekFrom::Start(at))?;
    let mut seen = (begin - at) as usize;
    let mut piece = Vec::new();
    loop {
        let read = (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
        if read == 0 {
            return Ok(at + piece.len() as u64);
        }
        found.bytes += read as u64 - seen.min(read) as u64;
        for occurrence in occurrences(&piece, seen) {
            found.occurrences += 1;
            let in_this_file = file_name(path);
            if !found.examples.iter().any(|example| example.starts_with(&in_this_file)) {
                let around = &piece[occurrence.saturating_sub(60)..piece.len().min(occurrence + 60)];
                found
                    .examples
                    .push(format!("{in_this_file}: …{}…", String::from_utf8_lossy(around).replace('\n', " ")));
            }
        }
        let keep = piece.len().min(OVERLAP_BYTES);
        at += (piece.len() - keep) as u64;
        piece.drain(..piece.len() - keep);
        seen = keep;
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Where canaries begin, in any form, that end beyond the first `seen` bytes.
fn occurrences(piece: &[u8], seen: usize) -> Vec<usize> {
    let lower = piece.to_ascii_lowercase();
    let find = |text: &[u8], form: &str| -> Vec<usize> {
        memmem::find_iter(text, form).filter(|at| at + form.len() > seen).collect()
    };
    let coded = IN_BASE64.iter().flat_map(|form| find(piece, form));
    find(&lower, CANARY).into_iter().chain(coded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_found_once_in_any_form_and_across_scans() {
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
        assert_eq!(found.occurrences, 6, "the one that was half written");
        assert_eq!(found.bytes, std::fs::metadata(&path).unwrap().len());
        assert_eq!(logs.scan().unwrap().occurrences, 6);
    }

    #[test]
    fn every_user_of_a_run_carries_a_canary() {
        assert!(email(7).contains(CANARY) && name().contains(CANARY));
        assert_ne!(email(7), email(8));
    }
}
