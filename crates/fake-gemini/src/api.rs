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

macro_rules! operations {
    ($(#[doc = $doc:literal] $operation:ident = $name:literal, $method:literal;)*) => {
        /// What a call is for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Operation {
            $(#[doc = $doc] $operation,)*
        }

        impl Operation {
            /// The name in a native path and in errors.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$operation => $name,)*
                }
            }

            /// The gRPC method of a call without a stream, without its package.
            fn unary_method(self) -> &'static str {
                match self {
                    $(Self::$operation => $method,)*
                }
            }
        }
    };
}

operations! {
    /// Generates an answer, streamed or not.
    Generate = "generateContent", "GenerativeService.GenerateContent";
    /// Counts the tokens of an input.
    CountTokens = "countTokens", "GenerativeService.CountTokens";
    /// Embeds texts; on the native surface, one.
    Embed = "embedContent", "GenerativeService.EmbedContent";
    /// Embeds several texts, on the native surface.
    BatchEmbed = "batchEmbedContents", "GenerativeService.BatchEmbedContents";
    /// Generates images.
    GenerateImages = "predict", "PredictionService.Predict";
    /// Starts a video.
    GenerateVideo = "predictLongRunning", "PredictionService.PredictLongRunning";
    /// Lists the models.
    ListModels = "listModels", "ModelService.ListModels";
    /// Describes a model.
    GetModel = "getModel", "ModelService.GetModel";
    /// Starts the upload of a file.
    StartUpload = "startUpload", "FileService.CreateFile";
    /// Continues an upload.
    ContinueUpload = "continueUpload", "FileService.CreateFile";
    /// Describes a file.
    GetFile = "getFile", "FileService.GetFile";
    /// Downloads a file.
    DownloadFile = "downloadFile", "FileService.DownloadFile";
    /// Deletes a file.
    DeleteFile = "deleteFile", "FileService.DeleteFile";
    /// Creates a cache.
    CreateCache = "createCachedContent", "CacheService.CreateCachedContent";
    /// Changes when a cache expires.
    UpdateCache = "updateCachedContent", "CacheService.UpdateCachedContent";
    /// Deletes a cache.
    DeleteCache = "deleteCachedContent", "CacheService.DeleteCachedContent";
    /// Creates a batch.
    CreateBatch = "createBatch", "BatchService.BatchGenerateContent";
    /// Describes a batch.
    GetBatch = "getBatch", "BatchService.GetBatch";
    /// Describes a long-running operation, such as a video.
    GetOperation = "getOperation", "Operations.GetOperation";
}

impl Operation {
    pub(crate) fn suits(self, model: &Model) -> bool {
        match self {
            Self::Generate | Self::CreateCache => model.kind == Kind::Chat,
            Self::CountTokens => model.kind != Kind::Video,
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
            _ => self.unary_method(),
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
