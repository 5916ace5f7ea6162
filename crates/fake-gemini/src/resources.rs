//! What projects own: files, caches, batches, videos that are made, and models that they have tuned.
//!
//! All of it belongs to the project of the key that made it, and to no other: to all others it is not there. Names are
//! whole, such as `files/abc-123`, and are Google's own across all projects.

mod caches;
mod files;
mod jobs;
mod tuned;

pub(crate) use caches::{Cache, Expiry, NewCache};
pub(crate) use files::{Draft, File, Part, Progress, Source, UploadStatus};
pub(crate) use jobs::{Batch, BatchInput, JobState, LongRunning, NewBatch};
pub(crate) use tuned::{TUNED_MODELS, TunedModel};

use crate::errors::{self, ApiError};
use crate::surface::Page;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use files::Upload;

/// What is to be done with something that a project owns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Task {
    StartUpload(Draft),
    UploadWhole(Draft, Bytes),
    /// The upload's id, and what is to be done with it.
    UploadPart(String, Part),
    ListFiles(Page),
    GetFile(String),
    DeleteFile(String),
    /// The bytes of a file, or the nothing that is told without `alt=media`.
    DownloadFile {
        name: String,
        media: bool,
    },
    CreateCache(NewCache),
    ListCaches(Page),
    GetCache(String),
    /// The cache's name, and when it is to go.
    UpdateCache(String, Option<Expiry>),
    DeleteCache(String),
    CreateBatch(NewBatch),
    ListBatches(Page),
    GetBatch(String),
    CancelBatch(String),
    DeleteBatch(String),
    /// The model that is to make it.
    StartVideo(String),
    GetOperation(String),
    ListTunedModels(Page),
    GetTunedModel(String),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    /// What was done has no more to tell.
    Nothing,
    Upload(Progress),
    /// A new file.
    Uploaded(File),
    File(File),
    Files(Listed<File>),
    Content(File),
    Cache(Cache),
    Caches(Listed<Cache>),
    Batch(Batch),
    Batches(Listed<Batch>),
    Operation(LongRunning),
    TunedModel(TunedModel),
    TunedModels(Listed<TunedModel>),
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listed<T> {
    pub(crate) items: Vec<T>,
    /// Where the next part begins, if there is one.
    pub(crate) next: Option<usize>,
}

/// Who does something, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances<'a> {
    pub(crate) project: &'a str,
    pub(crate) key: &'a str,
    /// Milliseconds since the Unix epoch.
    pub(crate) now_ms: i64,
    /// Different for each call: new names come of it.
    pub(crate) number: u64,
}

/// What a request names that has to be its project's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct References {
    /// Names of files.
    pub(crate) files: Vec<String>,
    /// The name of a cache.
    pub(crate) cached_content: Option<String>,
}

/// All that all projects own.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    files: Shelf<File>,
    uploads: Vec<Upload>,
    caches: Shelf<Cache>,
    batches: Shelf<Batch>,
    operations: Shelf<LongRunning>,
    tuned_models: Shelf<TunedModel>,
}

impl Resources {
    pub(crate) fn perform(
        &mut self,
        task: &Task,
        at: &Circumstances<'_>,
    ) -> Result<Found, ApiError> {
        match task {
            Task::StartUpload(draft) => self.start_upload(draft, at),
            Task::UploadWhole(draft, bytes) => {
                self.add_file(draft, bytes.clone(), at).map(Found::Uploaded)
            }
            Task::UploadPart(id, part) => self.upload(id, part, at),
            Task::ListFiles(page) => Ok(Found::Files(self.files.page(*page, at))),
            Task::GetFile(name) => self.file(name, at).cloned().map(Found::File),
            Task::DeleteFile(name) => {
                let gone = self.files.remove(name, at);
                gone.then_some(Found::Nothing)
                    .ok_or_else(|| errors::file_denied(name))
            }
            Task::DownloadFile { name, media } => {
                let file = self.file(name, at)?;
                Ok(if *media {
                    Found::Content(file.clone())
                } else {
                    Found::Nothing
                })
            }
            Task::CreateCache(new) => Ok(self.create_cache(new, at)),
            Task::ListCaches(page) => Ok(Found::Caches(self.caches.page(*page, at))),
            Task::GetCache(name) => self.cache(name, at).cloned().map(Found::Cache),
            Task::UpdateCache(name, expiry) => self.update_cache(name, *expiry, at),
            Task::DeleteCache(name) => {
                let gone = self.caches.remove(name, at);
                gone.then_some(Found::Nothing)
                    .ok_or_else(errors::cached_content_denied)
            }
            Task::CreateBatch(new) => Ok(self.create_batch(new, at)),
            Task::ListBatches(page) => Ok(Found::Batches(self.batches.page(*page, at))),
            Task::GetBatch(name) => self.batch(name, at).cloned().map(Found::Batch),
            Task::CancelBatch(name) => self.cancel_batch(name, at),
            Task::DeleteBatch(name) => self.delete_batch(name, at),
            Task::StartVideo(model) => Ok(self.start_video(model, at)),
            Task::GetOperation(name) => self.operation(name, at).cloned().map(Found::Operation),
            Task::ListTunedModels(page) => {
                Ok(Found::TunedModels(self.tuned_models.page(*page, at)))
            }
            Task::GetTunedModel(name) => self.tuned_model(name, at).cloned().map(Found::TunedModel),
        }
    }

    /// Whether all that a request to `model` names is the project's own.
    pub(crate) fn check(
        &self,
        references: &References,
        model: &str,
        at: &Circumstances<'_>,
    ) -> Result<(), ApiError> {
        for name in &references.files {
            self.file(name, at)?;
        }
        if let Some(name) = &references.cached_content {
            let cache = self.cache(name, at)?;
            if cache.model != model {
                return Err(errors::cached_content_of_other_model(model, &cache.model));
            }
        }
        Ok(())
    }

    fn file(&self, name: &str, at: &Circumstances<'_>) -> Result<&File, ApiError> {
        self.files
            .get(name, at)
            .ok_or_else(|| errors::file_denied(name))
    }
}

/// Things of one kind, in the order in which they were made.
#[derive(Debug)]
struct Shelf<T>(Vec<Owned<T>>);

#[derive(Debug)]
struct Owned<T> {
    name: String,
    project: String,
    /// From when on it is gone, in milliseconds since the Unix epoch.
    until_ms: Option<i64>,
    thing: T,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Owned<T> {
    fn is_there(&self, now_ms: i64) -> bool {
        self.until_ms.is_none_or(|until| now_ms < until)
    }

    /// Whether the project has it.
    fn is_for(&self, at: &Circumstances<'_>) -> bool {
        self.project == at.project && self.is_there(at.now_ms)
    }
}

impl<T: Clone> Shelf<T> {
    /// Adds something; what has the same name is replaced.
    fn add(&mut self, name: &str, until_ms: Option<i64>, thing: T, project: &str) {
        self.0.retain(|owned| owned.name != name);
        self.0.push(Owned {
            name: name.to_owned(),
            project: project.to_owned(),
            until_ms,
            thing,
        });
    }

    /// Whether anybody has something of that name.
    fn is_taken(&self, name: &str, now_ms: i64) -> bool {
        let mut all = self.0.iter();
        all.any(|owned| owned.name == name && owned.is_there(now_ms))
    }

    fn get(&self, name: &str, at: &Circumstances<'_>) -> Option<&T> {
        let mut all = self.0.iter();
        all.find(|owned| owned.name == name && owned.is_for(at))
            .map(|owned| &owned.thing)
    }

    fn get_mut(&mut self, name: &str, at: &Circumstances<'_>) -> Option<&mut T> {
        let mut all = self.0.iter_mut();
        all.find(|owned| owned.name == name && owned.is_for(at))
            .map(|owned| &mut owned.thing)
    }

    /// The first of the project's that fits.
    fn find(&self, at: &Circumstances<'_>, fits: impl Fn(&T) -> bool) -> Option<&T> {
        let mut own = self.0.iter().filter(|owned| owned.is_for(at));
        own.find(|owned| fits(&owned.thing))
            .map(|owned| &owned.thing)
    }

    /// The project that has something of that name.
    fn owner_of(&self, name: &str) -> Option<String> {
        let owned = self.0.iter().find(|owned| owned.name == name)?;
        Some(owned.project.clone())
    }

    /// Whether it was there.
    fn remove(&mut self, name: &str, at: &Circumstances<'_>) -> bool {
        let before = self.0.len();
        self.0
            .retain(|owned| owned.name != name || !owned.is_for(at));
        self.0.len() < before
    }

    /// A part of what the project has, the newest first.
    fn page(&self, page: Page, at: &Circumstances<'_>) -> Listed<T> {
        let own = self.0.iter().rev().filter(|owned| owned.is_for(at));
        let mut rest = own.skip(page.start).map(|owned| owned.thing.clone());
        let items: Vec<T> = rest.by_ref().take(page.size).collect();
        let end = page.start.saturating_add(items.len());
        Listed {
            items,
            next: rest.next().is_some().then_some(end),
        }
    }
}

/// A time as Google writes it: in UTC, with as many digits as it needs in threes.
pub(crate) fn timestamp(unix_ms: i64) -> String {
    DateTime::from_timestamp_millis(unix_ms)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(project: &str, now_ms: i64) -> Circumstances<'_> {
        Circumstances {
            project,
            key: "k",
            now_ms,
            number: 0,
        }
    }

    #[test]
    fn things_are_there_for_their_project_and_until_their_time() {
        let mut shelf = Shelf::default();
        shelf.add("a", Some(10), 1, "p");
        assert_eq!(shelf.get("a", &at("p", 9)), Some(&1));
        for (project, now_ms) in [("p", 10), ("q", 9)] {
            assert_eq!(shelf.get("a", &at(project, now_ms)), None);
            assert!(!shelf.remove("a", &at(project, now_ms)));
        }
        assert!(shelf.is_taken("a", 9) && !shelf.is_taken("a", 10));
        assert!(shelf.remove("a", &at("p", 9)));
        assert!(!shelf.remove("a", &at("p", 9)));
    }

    #[test]
    fn lists_come_in_parts_the_newest_first() {
        let mut shelf = Shelf::default();
        for (name, project) in [("a", "p"), ("b", "q"), ("c", "p"), ("d", "p")] {
            shelf.add(name, None, name, project);
        }
        let page = |start, size| {
            let listed = shelf.page(Page { start, size }, &at("p", 0));
            (listed.items, listed.next)
        };
        assert_eq!(page(0, 2), (vec!["d", "c"], Some(2)));
        assert_eq!(page(2, 2), (vec!["a"], None));
        assert_eq!(page(0, 3), (vec!["d", "c", "a"], None));
        assert_eq!(page(9, 3), (vec![], None));
    }

    #[test]
    fn times_have_no_more_digits_than_they_need() {
        assert_eq!(timestamp(1_800_000_000_000), "2027-01-15T08:00:00Z");
        assert_eq!(timestamp(1_800_000_000_020), "2027-01-15T08:00:00.020Z");
    }
}
