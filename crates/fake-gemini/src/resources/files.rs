//! Files, and how they come: whole, or in parts that an upload collects.
//!
//! An upload is known by its id alone: whoever has that needs no key. Source: <https://ai.google.dev/api/files>; how
//! Google complains about an upload that is out of order is not recorded.

use super::{Circumstances, Found, Resources};
use crate::errors::{self, ApiError};
use crate::hash;
use crate::ids;
use bytes::Bytes;

/// So long a file stays, in milliseconds: 48 hours.
const LIFETIME_MS: i64 = 48 * 60 * 60 * 1000;

/// What is known of a file before its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    /// The name that the client wants, with `files/`.
    pub(crate) name: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) mime_type: Option<String>,
    /// In bytes.
    pub(crate) size: Option<u64>,
}

/// Where a file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Uploaded,
    Generated,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct File {
    /// With `files/`.
    pub(crate) name: String,
    pub(crate) display_name: Option<String>,
    pub(crate) mime_type: String,
    pub(crate) bytes: Bytes,
    /// Milliseconds since the Unix epoch.
    pub(crate) created_ms: i64,
    /// From when on it is gone, in milliseconds since the Unix epoch.
    pub(crate) expires_ms: i64,
    /// Of the bytes, in hexadecimal digits.
    pub(crate) sha256: String,
    pub(crate) source: Source,
}

/// What a call does to an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Bytes {
        /// Where they belong; `None` is behind all that is there.
        offset: Option<u64>,
        bytes: Bytes,
        last: bool,
    },
    Query,
    Cancel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UploadStatus {
    Active,
    Final,
    Cancelled,
}

/// How far an upload is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Progress {
    pub(crate) id: String,
    /// Whether this is the first that is told of it.
    pub(crate) is_new: bool,
    pub(crate) status: UploadStatus,
    /// In bytes.
    pub(crate) received: u64,
    /// The file, once it is whole.
    pub(crate) file: Option<File>,
}

#[derive(Debug)]
pub(super) struct Upload {
    id: String,
    project: String,
    key: String,
    draft: Draft,
    parts: Vec<Bytes>,
    status: UploadStatus,
    file: Option<File>,
}

impl Upload {
    fn received(&self) -> u64 {
        self.parts.iter().map(length).sum()
    }

    fn progress(&self, is_new: bool) -> Progress {
        Progress {
            id: self.id.clone(),
            is_new,
            status: self.status,
            received: self.received(),
            file: self.file.clone(),
        }
    }

    /// All that has come; not copied where it came at once.
    fn whole(&self) -> Bytes {
        match self.parts.as_slice() {
            [part] => part.clone(),
            parts => parts.concat().into(),
        }
    }
}

impl Resources {
    /// The key that an upload was begun with.
    pub(crate) fn uploader(&self, id: &str) -> Option<&str> {
        let upload = self.uploads.iter().find(|upload| upload.id == id)?;
        Some(&upload.key)
    }

    pub(super) fn start_upload(
        &mut self,
        draft: &Draft,
        at: &Circumstances<'_>,
    ) -> Result<Found, ApiError> {
        self.check_name(draft, at)?;
        let upload = Upload {
            id: ids::upload_id(at.number),
            project: at.project.to_owned(),
            key: at.key.to_owned(),
            draft: draft.clone(),
            parts: Vec::new(),
            status: UploadStatus::Active,
            file: None,
        };
        let progress = upload.progress(true);
        self.uploads.push(upload);
        Ok(Found::Upload(progress))
    }

    pub(super) fn upload(
        &mut self,
        id: &str,
        part: &Part,
        at: &Circumstances<'_>,
    ) -> Result<Found, ApiError> {
        let known = self.uploads.iter().position(|upload| upload.id == id);
        let place = known.ok_or_else(errors::no_such_upload)?;
        let upload = &mut self.uploads[place];
        let last = match part {
            Part::Query => false,
            Part::Bytes { .. } | Part::Cancel if upload.status != UploadStatus::Active => {
                return Err(errors::upload_terminated());
            }
            Part::Cancel => {
                upload.status = UploadStatus::Cancelled;
                upload.parts.clear();
                false
            }
            Part::Bytes {
                offset,
                bytes,
                last,
            } => {
                let received = upload.received();
                let total = received.saturating_add(length(bytes));
                let fits = match upload.draft.size {
                    Some(size) if *last => total == size,
                    Some(size) => total <= size,
                    None => true,
                };
                if !fits || offset.is_some_and(|offset| offset != received) {
                    return Err(errors::invalid_argument());
                }
                if !bytes.is_empty() {
                    upload.parts.push(bytes.clone());
                }
                *last
            }
        };
        if last {
            let (draft, bytes) = (upload.draft.clone(), upload.whole());
            let project = upload.project.clone();
            let at = Circumstances {
                project: &project,
                ..*at
            };
            let file = self.add_file(&draft, bytes.clone(), &at)?;
            let upload = &mut self.uploads[place];
            upload.parts = vec![bytes];
            upload.status = UploadStatus::Final;
            upload.file = Some(file);
        }
        Ok(Found::Upload(self.uploads[place].progress(false)))
    }

    pub(super) fn add_file(
        &mut self,
        draft: &Draft,
        bytes: Bytes,
        at: &Circumstances<'_>,
    ) -> Result<File, ApiError> {
        self.check_name(draft, at)?;
        let made_up = || format!("files/{}", ids::resource_id(at.number, 12));
        let expires_ms = at.now_ms.saturating_add(LIFETIME_MS);
        let file = File {
            name: draft.name.clone().unwrap_or_else(made_up),
            display_name: draft.display_name.clone(),
            mime_type: draft
                .mime_type
                .clone()
                .unwrap_or_else(|| "application/octet-stream".to_owned()),
            sha256: hash::sha256(&bytes),
            bytes,
            created_ms: at.now_ms,
            expires_ms,
            source: Source::Uploaded,
        };
        self.files
            .add(&file.name, Some(expires_ms), file.clone(), at.project);
        Ok(file)
    }

    /// Whether the name that the client wants is still free.
    fn check_name(&self, draft: &Draft, at: &Circumstances<'_>) -> Result<(), ApiError> {
        match &draft.name {
            Some(name) if self.files.is_taken(name, at.now_ms) => Err(errors::file_exists(name)),
            Some(_) | None => Ok(()),
        }
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Task;
    use super::*;
    use crate::surface::Page;

    const AT: Circumstances<'_> = Circumstances {
        project: "p",
        key: "k",
        now_ms: 0,
        number: 7,
    };

    fn started(size: Option<u64>) -> (Resources, String) {
        let mut resources = Resources::default();
        let draft = Draft {
            size,
            ..Draft::default()
        };
        let Ok(Found::Upload(progress)) = resources.start_upload(&draft, &AT) else {
            panic!("an upload begins with an upload");
        };
        (resources, progress.id)
    }

    fn bytes(offset: u64, bytes: &'static str, last: bool) -> Part {
        Part::Bytes {
            offset: Some(offset),
            bytes: Bytes::from_static(bytes.as_bytes()),
            last,
        }
    }

    #[test]
    fn parts_have_to_come_in_their_order_and_in_their_size() {
        let (mut resources, id) = started(Some(4));
        for wrong in [
            bytes(1, "a", false),
            bytes(0, "abcde", false),
            bytes(0, "abc", true),
        ] {
            let error = resources.upload(&id, &wrong, &AT).unwrap_err();
            assert_eq!(error, errors::invalid_argument());
        }
        resources.upload(&id, &bytes(0, "ab", false), &AT).unwrap();
        let done = resources.upload(&id, &bytes(2, "cd", true), &AT).unwrap();
        let Found::Upload(done) = done else {
            panic!("{done:?}");
        };
        assert_eq!((done.status, done.received), (UploadStatus::Final, 4));
        assert_eq!(done.file.unwrap().bytes, "abcd");
    }

    #[test]
    fn the_bytes_belong_to_the_project_that_began_the_upload() {
        let (mut resources, id) = started(None);
        let other = Circumstances { project: "q", ..AT };
        resources
            .upload(&id, &bytes(0, "ab", true), &other)
            .unwrap();
        let list = Task::ListFiles(Page { start: 0, size: 9 });
        for (at, expected) in [(AT, 1), (other, 0)] {
            let Ok(Found::Files(files)) = resources.perform(&list, &at) else {
                panic!("a list is a list");
            };
            assert_eq!(files.items.len(), expected);
        }
    }

    #[test]
    fn what_is_over_takes_no_more() {
        for end in [bytes(0, "", true), Part::Cancel] {
            let (mut resources, id) = started(None);
            resources.upload(&id, &end, &AT).unwrap();
            for more in [bytes(0, "a", false), Part::Cancel] {
                let error = resources.upload(&id, &more, &AT).unwrap_err();
                assert_eq!(error, errors::upload_terminated());
            }
            assert!(resources.upload(&id, &Part::Query, &AT).is_ok());
        }
    }
}
