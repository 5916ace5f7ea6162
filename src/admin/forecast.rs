//! `GET forecast`: when the budgets of a day will be used up.

use super::request::{Refusal, Request, Response};
use crate::pool::{Balance, Forecast, ModelForecast, Moment, UnixMillis, forecasts_by_model};
use crate::store::{self, Database};
use serde::Serialize;

#[derive(Serialize)]
struct ForecastList {
    at: String,
    /// The first to end first.
    items: Vec<ForecastReport>,
}

/// The forecast for a limit of a day, as it is reported.
#[derive(Serialize)]
pub struct ForecastReport {
    /// `key:7` or `project:projects/123`.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// `null` for all models together.
    model: Option<String>,
    unit: &'static str,
    limit: u64,
    used: u64,
    left: u64,
    /// `null` if the limit is 0.
    resets_at: Option<String>,
    /// In the last two hours and the one under way.
    pace_per_hour: f64,
    /// When it is used up at this pace; `null` if it lasts until it resets, or nothing uses it.
    ends_at: Option<String>,
}

impl From<&Forecast> for ForecastReport {
    fn from(forecast: &Forecast) -> Self {
        let Balance {
            limit,
            used,
            resets_at,
        } = forecast.balance;
        Self {
            scope: Some(forecast.quota_scope.scope.to_string()),
            model: forecast.quota_scope.model.clone(),
            unit: limit.unit.name(),
            limit: limit.value,
            used,
            left: limit.value.saturating_sub(used),
            resets_at: resets_at.map(UnixMillis::to_iso),
            pace_per_hour: forecast.pace_per_hour(),
            ends_at: forecast.ends_at().map(UnixMillis::to_iso),
        }
    }
}

/// What is left for a model, as it is reported.
#[derive(Serialize)]
struct ModelReport {
    /// How many keys and projects have such a limit.
    scopes: usize,
    /// How many of them have nothing left.
    used_up: usize,
    #[serde(flatten)]
    sum: ForecastReport,
}

#[derive(Serialize)]
struct ModelList {
    at: String,
    items: Vec<ModelReport>,
}

#[derive(Clone, Copy)]
enum Grouping {
    ByModel,
}

/// `GET forecast`
pub(super) async fn list(
    database: &impl Database,
    request: &Request<'_>,
) -> Result<Response, Refusal> {
    let query = request.query()?;
    let grouping = query.choose("by", &[("model", Grouping::ByModel)])?;
    query.finish()?;
    let forecasts = store::forecasts(database, &Moment::new(request.now)).await?;
    let at = request.now.to_iso();
    match grouping {
        None => Response::ok(&ForecastList {
            at,
            items: forecasts.iter().map(ForecastReport::from).collect(),
        }),
        Some(Grouping::ByModel) => Response::ok(&ModelList {
            at,
            items: forecasts_by_model(forecasts)
                .iter()
                .map(ModelReport::from)
                .collect(),
        }),
    }
}

impl From<&ModelForecast> for ModelReport {
    fn from(forecast: &ModelForecast) -> Self {
        Self {
            scopes: forecast.scopes,
            used_up: forecast.used_up,
            sum: ForecastReport {
                scope: None,
                ..ForecastReport::from(&forecast.sum)
            },
        }
    }
}
