//! Google's own trouble: 499 and 5xx.

use super::ApiError;

/// 500 in its long form.
pub fn internal() -> ApiError {
    ApiError::new(
        500,
        "INTERNAL",
        "An internal error has occurred. Please retry or report in \
         https://developers.generativeai.google/guide/troubleshooting",
    )
}

/// 500 in its short form.
pub fn internal_error_encountered() -> ApiError {
    ApiError::new(500, "INTERNAL", "Internal error encountered.")
}

/// 503 as in 2025.
pub fn overloaded() -> ApiError {
    ApiError::new(
        503,
        "UNAVAILABLE",
        "The model is overloaded. Please try again later.",
    )
}

/// 503 as in 2026.
pub fn high_demand() -> ApiError {
    ApiError::new(
        503,
        "UNAVAILABLE",
        "This model is currently experiencing high demand. Spikes in demand are usually temporary. Please try again \
         later.",
    )
}

/// 503 of the service as a whole.
pub fn unavailable() -> ApiError {
    ApiError::new(503, "UNAVAILABLE", "The service is currently unavailable.")
}

/// 504: the model took too long.
pub fn deadline_exceeded() -> ApiError {
    ApiError::new(
        504,
        "DEADLINE_EXCEEDED",
        "Deadline expired before operation could complete.",
    )
}

/// 499: cancelled on Google's side.
pub fn cancelled() -> ApiError {
    ApiError::new(499, "CANCELLED", "The operation was cancelled.")
}
