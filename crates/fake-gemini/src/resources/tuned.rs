//! Tuned models: those that a project has made of others. Source: <https://ai.google.dev/api/tuning>.

use super::{Circumstances, Resources};
use crate::errors::{self, ApiError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TunedModel {
    /// With `tunedModels/`.
    pub(crate) name: String,
}

impl TunedModel {
    /// Without `tunedModels/`.
    pub(crate) fn id(&self) -> &str {
        self.name.strip_prefix(TUNED_MODELS).unwrap_or(&self.name)
    }
}

/// What comes before a tuned model's id.
pub(crate) const TUNED_MODELS: &str = "tunedModels/";

impl Resources {
    /// Adds a model of a project; `id` may have `tunedModels/` in front.
    pub(crate) fn add_tuned_model(&mut self, project: &str, id: &str) {
        let id = id.strip_prefix(TUNED_MODELS).unwrap_or(id);
        let name = format!("{TUNED_MODELS}{id}");
        let model = TunedModel { name: name.clone() };
        self.tuned_models.add(&name, None, model, project);
    }

    pub(crate) fn tuned_model(
        &self,
        name: &str,
        at: &Circumstances<'_>,
    ) -> Result<&TunedModel, ApiError> {
        self.tuned_models
            .get(name, at)
            .ok_or_else(|| errors::tuned_model_denied(name))
    }
}
