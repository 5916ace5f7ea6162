//! What takes longer than a call: batches, and operations such as the making of a video.
//!
//! Nothing goes on by itself: a job is done when a test says so. Sources: <https://ai.google.dev/api/batch-api>,
//! <https://ai.google.dev/gemini-api/docs/video>.

use super::{Circumstances, Draft, File, Found, Resources, Source};
use crate::errors::{self, ApiError};
use crate::ids;
use crate::models::bare;
use bytes::Bytes;

/// What a batch reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BatchInput {
    /// A file, with `files/`.
    File(String),
    /// Requests within the call, each by its key.
    Inline(Vec<Option<String>>),
}

/// What a new batch is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewBatch {
    /// Missing on the compatible surface, where the file has it.
    pub(crate) model: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) input: BatchInput,
    /// OpenAI's, as it was sent.
    pub(crate) endpoint: Option<String>,
    /// OpenAI's, as it was sent.
    pub(crate) completion_window: Option<String>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobState {
    Pending,
    Succeeded,
    Cancelled,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Batch {
    /// With `batches/`.
    pub(crate) name: String,
    pub(crate) new: NewBatch,
    pub(crate) state: JobState,
    /// Milliseconds since the Unix epoch.
    pub(crate) created_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub(crate) updated_ms: i64,
    /// What came of a file, with `files/`.
    pub(crate) output: Option<String>,
}

/// A video that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LongRunning {
    /// `models/{m}/operations/{id}`.
    pub(crate) name: String,
    pub(crate) model: String,
    pub(crate) state: JobState,
    /// Milliseconds since the Unix epoch.
    pub(crate) created_ms: i64,
    /// The video, once it is there, with `files/`.
    pub(crate) output: Option<String>,
}

impl LongRunning {
    pub(crate) fn id(&self) -> &str {
        let id = self.name.rsplit('/').next();
        id.unwrap_or_default()
    }
}

impl Resources {
    pub(super) fn create_batch(&mut self, new: &NewBatch, at: &Circumstances<'_>) -> Found {
        let batch = Batch {
            name: format!("batches/{}", ids::resource_id(at.number, 36)),
            new: new.clone(),
            state: JobState::Pending,
            created_ms: at.now_ms,
            updated_ms: at.now_ms,
            output: None,
        };
        self.batches
            .add(&batch.name, None, batch.clone(), at.project);
        Found::Batch(batch)
    }

    pub(super) fn batch(&self, name: &str, at: &Circumstances<'_>) -> Result<&Batch, ApiError> {
        self.batches
            .get(name, at)
            .ok_or_else(errors::no_such_entity)
    }

    pub(super) fn cancel_batch(
        &mut self,
        name: &str,
        at: &Circumstances<'_>,
    ) -> Result<Found, ApiError> {
        let batch = self.batches.get_mut(name, at);
        let batch = batch.ok_or_else(errors::no_such_entity)?;
        // What is done stays done.
        if batch.state == JobState::Pending {
            batch.state = JobState::Cancelled;
            batch.updated_ms = at.now_ms;
        }
        Ok(Found::Nothing)
    }

    pub(super) fn delete_batch(
        &mut self,
        name: &str,
        at: &Circumstances<'_>,
    ) -> Result<Found, ApiError> {
        let gone = self.batches.remove(name, at);
        gone.then_some(Found::Nothing)
            .ok_or_else(errors::no_such_entity)
    }

    pub(super) fn start_video(&mut self, model: &str, at: &Circumstances<'_>) -> Found {
        let model = bare(model).to_owned();
        let id = ids::resource_id(at.number, 12);
        let video = LongRunning {
            name: format!("models/{model}/operations/{id}"),
            model,
            state: JobState::Pending,
            created_ms: at.now_ms,
            output: None,
        };
        self.operations
            .add(&video.name, None, video.clone(), at.project);
        Found::Operation(video)
    }

    /// By its whole name, or by its id behind `operations/` or alone.
    pub(super) fn operation(
        &self,
        name: &str,
        at: &Circumstances<'_>,
    ) -> Result<&LongRunning, ApiError> {
        let id = name.strip_prefix("operations/").unwrap_or(name);
        let whole = self.operations.get(name, at);
        let by_id = || self.operations.find(at, |operation| operation.id() == id);
        whole.or_else(by_id).ok_or_else(errors::no_such_entity)
    }

    /// Completes a job, of whatever project, with a file that is made for it. `false` where there is none of that name
    /// that is still to be done.
    pub(crate) fn finish(&mut self, name: &str, now_ms: i64) -> bool {
        let operation = self.operations.owner_of(name);
        let Some(project) = operation.or_else(|| self.batches.owner_of(name)) else {
            return false;
        };
        let at = Circumstances {
            project: &project,
            key: "",
            now_ms,
            number: 0,
        };
        if let Some(video) = self.operations.get_mut(name, &at) {
            if video.state != JobState::Pending {
                return false;
            }
            let file = format!("files/{}", video.id());
            video.state = JobState::Succeeded;
            video.output = Some(file.clone());
            self.generate(file, "video/mp4", VIDEO, &at);
            return true;
        }
        let Some(batch) = self.batches.get_mut(name, &at) else {
            return false;
        };
        if batch.state != JobState::Pending {
            return false;
        }
        batch.state = JobState::Succeeded;
        batch.updated_ms = now_ms;
        if let BatchInput::File(_) = batch.new.input {
            let id = name.strip_prefix("batches/").unwrap_or(name);
            let file = format!("files/batch-{id}");
            batch.output = Some(file.clone());
            self.generate(file, "application/jsonl", b"{}\n", &at);
        }
        true
    }

    fn generate(
        &mut self,
        name: String,
        mime_type: &str,
        bytes: &'static [u8],
        at: &Circumstances<'_>,
    ) {
        let draft = Draft {
            name: Some(name),
            mime_type: Some(mime_type.to_owned()),
            ..Draft::default()
        };
        // The name is new: it comes of the job's own.
        if let Ok(file) = self.add_file(&draft, Bytes::from_static(bytes), at) {
            let generated = File {
                source: Source::Generated,
                ..file
            };
            let until = Some(generated.expires_ms);
            self.files
                .add(&generated.name.clone(), until, generated, at.project);
        }
    }
}

/// The beginning of a video, without pictures.
const VIDEO: &[u8] = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom";
