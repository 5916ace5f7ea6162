//! `GET /metrics`: what the pool has done and how it stands, in OpenMetrics.
//!
//! Everything comes from the database, so that each instance tells the same.

use super::ports::{System, Upstream};
use super::view::{Coverage, MAX_AGE_MS};
use super::{Failure, Gateway, Reply};
use crate::admin::metrics;
use crate::pool::Moment;
use crate::store::{self, Database};
use http::StatusCode;
use http::header::HeaderValue;
use http::request::Parts;

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

impl<D: Database, U: Upstream, S: System> Gateway<D, U, S> {
    pub(super) async fn metrics(&self, request: &Parts) -> Result<Reply<D, U::Body, S>, Failure> {
        let admission = self.admission(self.config()?);
        admission.admit_scraper(request).await?;
        let view = self.view()?;
        let database = view.unlimited_database();
        view.refresh(&self.system, Coverage::Whole, MAX_AGE_MS)
            .await?;
        let now = Moment::new(self.system.now());
        let totals = store::read_totals(database, now.at()).await?;
        let text = metrics::open_metrics(&totals, &view.snapshot(), &now);
        Ok(Reply::text(StatusCode::OK, OPEN_METRICS, text))
    }
}
