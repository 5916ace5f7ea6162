//! From a method and a path to an operation.

use crate::api::{Delivery, Operation, Surface};
use http::Method;

/// The versions of the native surface, which are all the same here.
const VERSIONS: [&str; 3] = ["v1beta", "v1alpha", "v1"];

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) surface: Surface,
    pub(crate) operation: Operation,
    /// `v1beta`, `v1alpha` or `v1`.
    pub(crate) version: &'static str,
    /// The model or the resource in the path, such as `files/abc-123` or the id of an upload; empty
    /// if the path names none. The compatible surface names the model in the body.
    pub(crate) name: String,
    /// The delivery that the path requests; the compatible surface requests it in the body.
    pub(crate) delivery: Delivery,
    /// The raw query.
    pub(crate) query: String,
}

impl Target {
    /// Returns `None` if nothing serves the path.
    pub(crate) fn find(method: &Method, path: &str, query: Option<&str>) -> Option<Self> {
        let path = percent_encoding::percent_decode_str(path)
            .decode_utf8()
            .ok()?;
        let query = query.unwrap_or_default();
        if let Some(path) = path.strip_prefix("/v1beta/openai/") {
            let target = (Surface::Compat, "v1beta", Delivery::Whole);
            return Some(Self::new(target, compat(method, path)?, query));
        }
        let path = path.strip_prefix('/')?;
        let (is_upload, path) = match path.strip_prefix("upload/") {
            Some(path) => (true, path),
            None => (false, path),
        };
        let (version, path) = path.split_once('/')?;
        let version = VERSIONS.into_iter().find(|known| *known == version)?;
        let (call, delivery) = match is_upload {
            true => (upload(method, path, query)?, Delivery::Whole),
            false => native(method, path, query)?,
        };
        Some(Self::new((Surface::Native, version, delivery), call, query))
    }

    fn new(
        (surface, version, delivery): (Surface, &'static str, Delivery),
        (operation, name): (Operation, String),
        query: &str,
    ) -> Self {
        Self {
            surface,
            operation,
            version,
            name,
            delivery,
            query: query.to_owned(),
        }
    }

    /// The model in the path.
    pub(crate) fn model(&self) -> Option<&str> {
        let has_model = matches!(
            self.operation,
            Operation::Generate
                | Operation::CountTokens
                | Operation::Embed
                | Operation::BatchEmbed
                | Operation::GenerateVideo
                | Operation::GetModel
        );
        (has_model && !self.name.is_empty()).then_some(&self.name)
    }

    /// The upload that the call continues. Its id is the only credential.
    pub(crate) fn upload(&self) -> Option<&str> {
        let continues = self.operation == Operation::ContinueUpload;
        continues.then_some(&self.name)
    }

    /// The name of the API in the error for an unknown model.
    pub(crate) fn api_version(&self) -> &'static str {
        match self.surface {
            Surface::Compat => "v1main",
            Surface::Native => self.version,
        }
    }

    /// The last value of a parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        parameter(&self.query, name)
    }
}

fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes())
        .filter(|(found, _)| found == name)
        .last()
        .map(|(_, value)| value.into_owned())
}

/// `path` follows `/v1beta/openai/`.
fn compat(method: &Method, path: &str) -> Option<(Operation, String)> {
    let operation = match (method, path) {
        (&Method::POST, "chat/completions") => Operation::Generate,
        (&Method::POST, "embeddings") => Operation::Embed,
        (&Method::POST, "images/generations") => Operation::GenerateImages,
        (&Method::POST, "batches") => Operation::CreateBatch,
        (&Method::GET, "models") => Operation::ListModels,
        (&Method::GET, path) => {
            return match path.split_once('/').filter(|(_, id)| !id.is_empty())? {
                ("models", id) => Some((Operation::GetModel, id.to_owned())),
                ("batches", id) => {
                    let id = id.strip_prefix("batches/").unwrap_or(id);
                    Some((Operation::GetBatch, format!("batches/{id}")))
                }
                _ => None,
            };
        }
        _ => return None,
    };
    Some((operation, String::new()))
}

/// `path` follows `/upload/` and the version.
fn upload(method: &Method, path: &str, query: &str) -> Option<(Operation, String)> {
    match parameter(query, "upload_id") {
        _ if path != "files" => None,
        Some(id) if method == Method::POST || method == Method::PUT => {
            Some((Operation::ContinueUpload, id))
        }
        None if method == Method::POST => Some((Operation::StartUpload, String::new())),
        Some(_) | None => None,
    }
}

/// `path` follows the version.
fn native(method: &Method, path: &str, query: &str) -> Option<((Operation, String), Delivery)> {
    let segments: Vec<&str> = path.split('/').collect();
    let (collection, id) = match segments.as_slice() {
        ["models", _, "operations", _] if method == Method::GET => {
            let call = (Operation::GetOperation, path.to_owned());
            return Some((call, Delivery::Whole));
        }
        [collection] => (*collection, ""),
        [collection, id] if !id.is_empty() => (*collection, *id),
        _ => return None,
    };
    let (id, verb) = id.rsplit_once(':').unwrap_or((id, ""));
    if id.is_empty() && !verb.is_empty() {
        return None;
    }
    let operation = match (method, collection, id, verb) {
        (&Method::GET, "models", "", "") => Operation::ListModels,
        (&Method::GET, "models", _, "") => Operation::GetModel,
        (&Method::POST, "cachedContents", "", "") => Operation::CreateCache,
        (_, _, "", _) => return None,
        (&Method::POST, "models", _, "generateContent" | "streamGenerateContent") => {
            Operation::Generate
        }
        (&Method::POST, "models", _, "countTokens") => Operation::CountTokens,
        (&Method::POST, "models", _, "embedContent") => Operation::Embed,
        (&Method::POST, "models", _, "batchEmbedContents") => Operation::BatchEmbed,
        (&Method::POST, "models", _, "predictLongRunning") => Operation::GenerateVideo,
        (&Method::GET, "files", _, "") => Operation::GetFile,
        (&Method::GET, "files", _, "download") => Operation::DownloadFile,
        (&Method::DELETE, "files", _, "") => Operation::DeleteFile,
        (&Method::PATCH, "cachedContents", _, "") => Operation::UpdateCache,
        (&Method::DELETE, "cachedContents", _, "") => Operation::DeleteCache,
        _ => return None,
    };
    let name = match collection {
        "models" => id.to_owned(),
        collection => format!("{collection}/{id}"),
    };
    let delivery = match verb {
        "streamGenerateContent" if parameter(query, "alt").as_deref() == Some("sse") => {
            Delivery::Events
        }
        "streamGenerateContent" => Delivery::Array,
        _ => Delivery::Whole,
    };
    Some(((operation, name), delivery))
}
