//! The APIs that Google offers side by side, and what they have in common.
//!
//! | surface | below | reads | writes |
//! |---|---|---|---|
//! | [`Compat`](Surface::Compat) | `/v1beta/openai/` | OpenAI's requests | compact JSON, errors in an array of one |
//! | [`Native`](Surface::Native) | `/v1beta/`, `/v1alpha/`, `/v1/` | Google's requests | pretty JSON, errors as they are |
//!
//! A further surface is a variant of [`Surface`] and a module beside `compat` and `native`; the compiler then asks
//! for each thing that a surface has to decide: its routes, how a request is read, and the bytes of each kind of
//! answer.

mod compat;
mod input;
mod multipart;
mod native;
mod shape;
pub(crate) mod turn;

use crate::answer::{Answer, tokens_of};
use crate::errors::ApiError;
use crate::json;
use crate::models::{Kind, Model};
use crate::reply::MidStream;
use crate::resources::{Found, References, Task};
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use turn::Turn;

pub(crate) const JSON: &str = "application/json";
pub(crate) const JSON_UTF8: &str = "application/json; charset=UTF-8";
pub(crate) const EVENT_STREAM: &str = "text/event-stream";

/// The versions of the native surface, which are all the same here.
const VERSIONS: [&str; 3] = ["v1beta", "v1alpha", "v1"];

/// Google takes no more than this in one request.
pub(crate) const MAX_BODY_BYTES: usize = 100 * 1024 * 1024;
/// And no more than this in one file.
const MAX_FILE_BYTES: usize = 2 * 1024 * 1024 * 1024;

/// The picture that all models draw: one black dot.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\
    \0\0\0\nIDATx\x9cc`\0\0\0\x02\0\x01H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82";

/// One of Google's APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Surface {
    /// The one for OpenAI's clients (<https://ai.google.dev/gemini-api/docs/openai>).
    Compat,
    /// Google's own (<https://ai.google.dev/api>).
    Native,
}

impl Surface {
    /// An event of a stream.
    fn event(self, data: &str) -> String {
        let end = match self {
            Self::Compat => "\n\n",
            Self::Native => "\r\n\r\n",
        };
        format!("data: {data}{end}")
    }
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// An answer of a model, streamed or not.
    Generate,
    /// How many tokens an input has.
    CountTokens,
    /// The vectors of texts; on the native surface, of one.
    Embed,
    /// The vectors of several texts, on the native surface.
    BatchEmbed,
    /// Pictures of a model for pictures.
    Predict,
    /// A video, which takes longer than a call.
    PredictLongRunning,
    /// The list of models.
    ListModels,
    /// One entry of that list.
    GetModel,
    /// Something with what a project owns.
    Resource(Act),
}

/// What is done with what a project owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// A new file, or the beginning of its upload.
    CreateFile,
    /// Going on with an upload.
    UploadFile,
    /// The list of files.
    ListFiles,
    /// What is known of a file.
    GetFile,
    /// The bytes of a file.
    DownloadFile,
    /// The end of a file.
    DeleteFile,
    /// A new cache.
    CreateCache,
    /// The list of caches.
    ListCaches,
    /// What is known of a cache.
    GetCache,
    /// Another end for a cache.
    UpdateCache,
    /// The end of a cache.
    DeleteCache,
    /// A new batch.
    CreateBatch,
    /// The list of batches.
    ListBatches,
    /// How far a batch is.
    GetBatch,
    /// No more of a batch.
    CancelBatch,
    /// The end of a batch.
    DeleteBatch,
    /// How far an operation is, such as a video.
    GetOperation,
    /// The list of tuned models.
    ListTunedModels,
    /// What is known of a tuned model.
    GetTunedModel,
}

impl Act {
    fn name(self) -> &'static str {
        match self {
            Self::CreateFile => "createFile",
            Self::UploadFile => "uploadFile",
            Self::ListFiles => "listFiles",
            Self::GetFile => "getFile",
            Self::DownloadFile => "downloadFile",
            Self::DeleteFile => "deleteFile",
            Self::CreateCache => "createCachedContent",
            Self::ListCaches => "listCachedContents",
            Self::GetCache => "getCachedContent",
            Self::UpdateCache => "updateCachedContent",
            Self::DeleteCache => "deleteCachedContent",
            Self::CreateBatch => "batchGenerateContent",
            Self::ListBatches => "listBatches",
            Self::GetBatch => "getBatch",
            Self::CancelBatch => "cancelBatch",
            Self::DeleteBatch => "deleteBatch",
            Self::GetOperation => "getOperation",
            Self::ListTunedModels => "listTunedModels",
            Self::GetTunedModel => "getTunedModel",
        }
    }

    /// The gRPC method behind it, without its package.
    fn rpc(self) -> &'static str {
        match self {
            Self::CreateFile | Self::UploadFile => "FileService.CreateFile",
            Self::ListFiles => "FileService.ListFiles",
            Self::GetFile => "FileService.GetFile",
            Self::DownloadFile => "FileService.DownloadFile",
            Self::DeleteFile => "FileService.DeleteFile",
            Self::CreateCache => "CacheService.CreateCachedContent",
            Self::ListCaches => "CacheService.ListCachedContents",
            Self::GetCache => "CacheService.GetCachedContent",
            Self::UpdateCache => "CacheService.UpdateCachedContent",
            Self::DeleteCache => "CacheService.DeleteCachedContent",
            Self::CreateBatch => "BatchService.BatchGenerateContent",
            Self::ListBatches => "Operations.ListOperations",
            Self::GetBatch | Self::GetOperation => "Operations.GetOperation",
            Self::CancelBatch => "Operations.CancelOperation",
            Self::DeleteBatch => "Operations.DeleteOperation",
            Self::ListTunedModels => "ModelService.ListTunedModels",
            Self::GetTunedModel => "ModelService.GetTunedModel",
        }
    }
}

impl Operation {
    /// Whether a model of that kind can do it.
    pub(crate) fn suits(self, kind: Kind) -> bool {
        match self {
            Self::Generate => kind == Kind::Chat,
            Self::CountTokens => matches!(kind, Kind::Chat | Kind::Embedding),
            Self::Embed | Self::BatchEmbed => kind == Kind::Embedding,
            Self::Predict => kind == Kind::Image,
            Self::PredictLongRunning => kind == Kind::Video,
            Self::Resource(Act::CreateCache | Act::CreateBatch) => kind == Kind::Chat,
            Self::ListModels | Self::GetModel | Self::Resource(_) => true,
        }
    }

    /// Its name: for what a model is asked for, that in a native path and in the error for a model that cannot do it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generate => "generateContent",
            Self::CountTokens => "countTokens",
            Self::Embed => "embedContent",
            Self::BatchEmbed => "batchEmbedContents",
            Self::Predict => "predict",
            Self::PredictLongRunning => "predictLongRunning",
            Self::ListModels => "listModels",
            Self::GetModel => "getModel",
            Self::Resource(act) => act.name(),
        }
    }
}

/// How the answer of a model is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Delivery {
    Whole,
    /// Server-sent events.
    Events,
    /// A JSON array that grows.
    Array,
}

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) surface: Surface,
    pub(crate) operation: Operation,
    /// `v1beta`, `v1alpha` or `v1`.
    pub(crate) version: &'static str,
    /// The model in the path; the compatible surface has it in the body.
    pub(crate) model: Option<String>,
    /// The whole name of what the path leads to, such as `files/abc-123`, or an upload's id.
    pub(crate) resource: Option<String>,
    /// What the path says; the compatible surface says it in the body.
    pub(crate) delivery: Delivery,
    /// What came after the question mark, still encoded.
    pub(crate) query: String,
}

impl Target {
    /// Finds what serves the call. `None` is a 404 without a body.
    pub(crate) fn of(method: &Method, path: &str, query: Option<&str>) -> Option<Self> {
        let path = percent_encoding::percent_decode_str(path)
            .decode_utf8()
            .ok()?;
        let query = query.unwrap_or_default();
        if let Some(rest) = path.strip_prefix("/v1beta/openai/") {
            return compat::route(method, rest, query);
        }
        let path = path.strip_prefix('/')?;
        let (service, path) = match path.split_once('/')? {
            ("upload", rest) => (native::Service::Upload, rest),
            ("download", rest) => (native::Service::Download, rest),
            _ => (native::Service::Plain, path),
        };
        let (version, path) = path.split_once('/')?;
        let version = VERSIONS.into_iter().find(|known| *known == version)?;
        native::route(service, method, version, path, query)
    }

    /// Whether the model can do it.
    pub(crate) fn suits(&self, model: &Model) -> bool {
        // The compatible surface has pictures of those that chat, too.
        let draws = self.surface == Surface::Compat
            && self.operation == Operation::Predict
            && model.draws();
        draws || self.operation.suits(model.kind)
    }

    /// The bytes that its body may have.
    pub(crate) fn max_body(&self) -> usize {
        let uploads = [Act::CreateFile, Act::UploadFile].map(Operation::Resource);
        if uploads.contains(&self.operation) {
            MAX_FILE_BYTES
        } else {
            MAX_BODY_BYTES
        }
    }

    /// The upload that the call goes on with. It needs no key.
    pub(crate) fn upload(&self) -> Option<&str> {
        let goes_on = self.operation == Operation::Resource(Act::UploadFile);
        self.resource.as_deref().filter(|_| goes_on)
    }

    /// The full name of the gRPC method behind it; a stream has one of its own.
    pub(crate) fn rpc(&self, delivery: Delivery) -> String {
        let method = match (self.operation, delivery) {
            (Operation::Generate, Delivery::Whole) => "GenerativeService.GenerateContent",
            (Operation::Generate, _) => "GenerativeService.StreamGenerateContent",
            (Operation::CountTokens, _) => "GenerativeService.CountTokens",
            (Operation::Embed, _) => "GenerativeService.EmbedContent",
            (Operation::BatchEmbed, _) => "GenerativeService.BatchEmbedContents",
            (Operation::Predict, _) => "PredictionService.Predict",
            (Operation::PredictLongRunning, _) => "PredictionService.PredictLongRunning",
            (Operation::ListModels, _) => "ModelService.ListModels",
            (Operation::GetModel, _) => "ModelService.GetModel",
            (Operation::Resource(act), _) => act.rpc(),
        };
        // What is the same for all of Google's services.
        if method.starts_with("Operations.") {
            return format!("google.longrunning.{method}");
        }
        format!("google.ai.generativelanguage.{}.{method}", self.version)
    }

    /// What the error for an unknown model calls the API.
    pub(crate) fn api_version(&self) -> &'static str {
        match self.surface {
            Surface::Compat => compat::API_VERSION,
            Surface::Native => self.version,
        }
    }

    /// Reads the body, and of the headers those that say what it is.
    pub(crate) fn read(
        &self,
        headers: &HeaderMap,
        body: &Bytes,
        strictness: Strictness,
    ) -> Result<Request, Refused> {
        let request = match self.surface {
            Surface::Compat => compat::read(self, headers, body, strictness),
            Surface::Native => native::read(self, headers, body),
        };
        request.map_err(|error| self.refused(error, body))
    }

    /// Finds in a request that is not in order what counts all the same.
    pub(crate) fn refused(&self, error: ApiError, body: &[u8]) -> Refused {
        let body = input::Body::parse(body).ok();
        let field = |name: &str| body.as_ref().and_then(|body| body.get(name));
        let text: usize = ["messages", "contents", "input", "content", "requests"]
            .into_iter()
            .filter_map(field)
            .map(|value| input::text_of(value).len())
            .sum();
        let model = || field("model")?.as_str().map(str::to_owned);
        let streams = self.surface == Surface::Compat
            && self.operation == Operation::Generate
            && field("stream").and_then(Value::as_bool) == Some(true);
        Refused {
            error,
            model: self.model.clone().or_else(model),
            delivery: if streams {
                Delivery::Events
            } else {
                self.delivery
            },
            input_tokens: tokens_of(text),
        }
    }

    /// The bytes of a success.
    pub(crate) fn success(
        &self,
        answer: &Answer,
        delivery: Delivery,
        scene: &Scene<'_>,
    ) -> Success {
        match self.surface {
            Surface::Compat => compat::success(self, answer, delivery, scene),
            Surface::Native => native::success(self, answer, delivery, scene),
        }
    }

    /// The bytes of an error that takes the place of an answer, and their content type.
    pub(crate) fn error(&self, error: &ApiError) -> (&'static str, String) {
        match (self.surface, self.delivery) {
            (Surface::Compat, _) => (JSON_UTF8, error.pretty_array()),
            // Not an event, though the header says so.
            (Surface::Native, Delivery::Events) => (EVENT_STREAM, error.pretty()),
            (Surface::Native, _) => (JSON_UTF8, error.pretty()),
        }
    }

    /// The bytes of an error in the middle of a stream; `first` where nothing came before it.
    pub(crate) fn mid_stream(
        &self,
        error: &ApiError,
        form: MidStream,
        delivery: Delivery,
        first: bool,
    ) -> String {
        match (form, self.surface, delivery) {
            // In an array, an element is all that an error can be.
            (_, Surface::Native, Delivery::Array) => {
                native::element(first, &error.pretty()) + native::ARRAY_END
            }
            (MidStream::Object, ..) => self.surface.event(&error.compact()),
            (MidStream::Array, ..) => self.surface.event(&format!("[{}]", error.compact())),
            (MidStream::Unframed, Surface::Compat, _) => error.pretty_array(),
            (MidStream::Unframed, Surface::Native, _) => error.pretty(),
        }
    }
}

/// What to do with fields that the compatible surface does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    Refuse,
    Ignore,
}

/// A request, as far as it matters for the answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    /// As it was asked for.
    pub(crate) model: Option<String>,
    pub(crate) delivery: Delivery,
    /// OpenAI's `stream_options.include_usage`.
    pub(crate) include_usage: bool,
    pub(crate) prompt_tokens: u64,
    /// How many answers or pictures are wanted.
    pub(crate) choices: u32,
    /// The texts to embed.
    pub(crate) texts: Vec<Text>,
    /// The part of the native list of models that is wanted.
    pub(crate) page: Page,
    /// What is to be done with what the project owns.
    pub(crate) task: Option<Task>,
    /// What it names that has to be the project's own.
    pub(crate) references: References,
    /// The turn that the model is to go on with.
    pub(crate) turn: Turn,
}

/// A text to embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) dimensions: usize,
}

/// A part of a list: where it begins, and how much it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) start: usize,
    pub(crate) size: usize,
}

impl Request {
    /// A request without a body.
    fn bare(target: &Target) -> Self {
        Self {
            model: target.model.clone(),
            delivery: target.delivery,
            include_usage: false,
            prompt_tokens: 0,
            choices: 1,
            texts: Vec::new(),
            page: Page {
                start: 0,
                size: usize::MAX,
            },
            task: None,
            references: References::default(),
            turn: Turn::default(),
        }
    }

    /// A request to do something with what the project owns.
    fn of(target: &Target, task: Task) -> Self {
        Self {
            task: Some(task),
            ..Self::bare(target)
        }
    }

    /// A request for vectors.
    fn embedding(self, texts: Vec<Text>) -> Self {
        let tokens = texts.iter().map(|text| tokens_of(text.text.len()));
        Self {
            prompt_tokens: tokens.fold(0, u64::saturating_add),
            texts,
            ..self
        }
    }

    /// The model's id for lists and quotas.
    pub(crate) fn bare_model(&self) -> &str {
        crate::models::bare(self.model.as_deref().unwrap_or_default())
    }
}

/// A request that is not in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refused {
    pub(crate) error: ApiError,
    /// As it was asked for, if that can be told.
    pub(crate) model: Option<String>,
    /// What was asked for, if that can be told.
    pub(crate) delivery: Delivery,
    pub(crate) input_tokens: u64,
}

/// What an answer needs besides its content.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) request: &'a Request,
    pub(crate) models: &'a [Model],
    /// Seconds since the Unix epoch.
    pub(crate) created: i64,
    /// Different for each call.
    pub(crate) number: u64,
    /// Whether compatible embeddings come with `usage`.
    pub(crate) embedding_usage: bool,
    /// Where the fake is, such as `http://127.0.0.1:8080`.
    pub(crate) origin: &'a str,
    /// What came of the request's task.
    pub(crate) found: Found,
}

impl Scene<'_> {
    /// The model asked for. A scripted answer may be about one that is not in the list.
    fn model(&self) -> Cow<'_, Model> {
        let id = self.request.bare_model();
        match self.models.iter().find(|model| model.id == id) {
            Some(model) => Cow::Borrowed(model),
            None => Cow::Owned(Model {
                id: id.to_owned(),
                display_name: None,
                kind: Kind::Chat,
            }),
        }
    }
}

/// A success: the events of its body, and what comes after the last one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Success {
    /// Empty for what has no body.
    pub(crate) content_type: Cow<'static, str>,
    /// Whether browsers are told to save it, as in native streams.
    pub(crate) attachment: bool,
    /// Whether it goes out as it is, with its length, as files do.
    pub(crate) is_file: bool,
    /// More headers, or others in place of the usual ones.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) events: Vec<Bytes>,
    pub(crate) closing: &'static str,
}

impl Success {
    fn compact(body: &impl Serialize) -> Self {
        Self::whole(JSON, json::compact(body))
    }

    fn pretty(body: &impl Serialize) -> Self {
        Self::whole(JSON_UTF8, json::pretty(body) + "\n")
    }

    fn whole(content_type: &'static str, body: String) -> Self {
        Self::stream(content_type, vec![body])
    }

    fn stream(content_type: &'static str, events: Vec<String>) -> Self {
        Self {
            content_type: content_type.into(),
            attachment: false,
            is_file: false,
            headers: Vec::new(),
            events: events.into_iter().map(Bytes::from).collect(),
            closing: "",
        }
    }

    fn file(content_type: String, bytes: Bytes) -> Self {
        Self {
            content_type: content_type.into(),
            is_file: true,
            events: vec![bytes],
            ..Self::stream("", Vec::new())
        }
    }
}
