//! The two APIs that Google serves side by side, and their operations.
//!
//! | surface | below | reads | writes |
//! |---|---|---|---|
//! | `Compat` | `/v1beta/openai/` | OpenAI's requests | compact JSON, errors in an array |
//! | `Native` | `/v1beta/`, `/v1alpha/`, `/v1/` | Google's requests | pretty JSON, bare errors |

use crate::models::{Kind, Model};

/// One of Google's APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Surface {
    /// The one for OpenAI's clients (<https://ai.google.dev/gemini-api/docs/openai>).
    Compat,
    /// Google's own (<https://ai.google.dev/api>).
    Native,
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Generates an answer, streamed or not.
    Generate,
    /// Counts the tokens of an input.
    CountTokens,
    /// Embeds texts; on the native surface, one.
    Embed,
    /// Embeds several texts, on the native surface.
    BatchEmbed,
    /// Generates images.
    GenerateImages,
    /// Starts a video.
    GenerateVideo,
    /// Lists the models.
    ListModels,
    /// Describes a model.
    GetModel,
    /// Starts the upload of a file.
    StartUpload,
    /// Continues an upload.
    ContinueUpload,
    /// Describes a file.
    GetFile,
    /// Downloads a file.
    DownloadFile,
    /// Deletes a file.
    DeleteFile,
    /// Creates a cache.
    CreateCache,
    /// Describes a cache.
    GetCache,
    /// Changes when a cache expires.
    UpdateCache,
    /// Deletes a cache.
    DeleteCache,
    /// Creates a batch.
    CreateBatch,
    /// Describes a batch.
    GetBatch,
    /// Describes a long-running operation, such as a video.
    GetOperation,
}

impl Operation {
    /// The name in a native path and in errors, and the gRPC method.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Generate => ("generateContent", "GenerativeService.GenerateContent"),
            Self::CountTokens => ("countTokens", "GenerativeService.CountTokens"),
            Self::Embed => ("embedContent", "GenerativeService.EmbedContent"),
            Self::BatchEmbed => ("batchEmbedContents", "GenerativeService.BatchEmbedContents"),
            Self::GenerateImages => ("predict", "PredictionService.Predict"),
            Self::GenerateVideo => ("predictLongRunning", "PredictionService.PredictLongRunning"),
            Self::ListModels => ("listModels", "ModelService.ListModels"),
            Self::GetModel => ("getModel", "ModelService.GetModel"),
            Self::StartUpload => ("startUpload", "FileService.CreateFile"),
            Self::ContinueUpload => ("continueUpload", "FileService.CreateFile"),
            Self::GetFile => ("getFile", "FileService.GetFile"),
            Self::DownloadFile => ("downloadFile", "FileService.DownloadFile"),
            Self::DeleteFile => ("deleteFile", "FileService.DeleteFile"),
            Self::CreateCache => ("createCachedContent", "CacheService.CreateCachedContent"),
            Self::GetCache => ("getCachedContent", "CacheService.GetCachedContent"),
            Self::UpdateCache => ("updateCachedContent", "CacheService.UpdateCachedContent"),
            Self::DeleteCache => ("deleteCachedContent", "CacheService.DeleteCachedContent"),
            Self::CreateBatch => ("createBatch", "BatchService.BatchGenerateContent"),
            Self::GetBatch => ("getBatch", "Operations.GetOperation"),
            Self::GetOperation => ("getOperation", "Operations.GetOperation"),
        }
    }

    /// The name in a native path and in errors.
    pub fn name(self) -> &'static str {
        self.names().0
    }

    pub(crate) fn suits(self, model: &Model) -> bool {
        match self {
            Self::Generate | Self::CreateCache => model.kind == Kind::Chat,
            Self::CountTokens => matches!(model.kind, Kind::Chat | Kind::Embedding),
            Self::Embed | Self::BatchEmbed => model.kind == Kind::Embedding,
            Self::GenerateImages => model.draws(),
            Self::GenerateVideo => model.kind == Kind::Video,
            _ => true,
        }
    }

    /// Whether a call counts against the quota of its model.
    pub(crate) fn uses_quota(self) -> bool {
        matches!(
            self,
            Self::Generate
                | Self::Embed
                | Self::BatchEmbed
                | Self::GenerateImages
                | Self::GenerateVideo
        )
    }

    /// The full name of the gRPC method; streams have their own.
    pub(crate) fn grpc_method(self, version: &str, delivery: Delivery) -> String {
        let method = match (self, delivery) {
            (Self::Generate, Delivery::Events | Delivery::Array) => {
                "GenerativeService.StreamGenerateContent"
            }
            _ => self.names().1,
        };
        format!("google.ai.generativelanguage.{version}.{method}")
    }
}

/// How an answer is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Delivery {
    Whole,
    /// Server-sent events.
    Events,
    /// A JSON array that grows.
    Array,
}
