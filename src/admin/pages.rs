//! What each address answers. Bodies of 503 are JSON with machine-readable reasons.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::http::header::CONTENT_TYPE;
use axum::http::header::X_CONTENT_TYPE_OPTIONS;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use serde_json::Value;
use serde_json::json;

use crate::telemetry::health::Health;
use crate::telemetry::scrape::Scrape;
use crate::telemetry::snapshot::Phase;
use crate::telemetry::snapshot::Published;

/// What the pages look at. They change nothing.
#[derive(Clone)]
pub struct Sources {
    pub published: Arc<Published>,
    pub health: Arc<Health>,
    pub scrape: Arc<Scrape>,
}

#[derive(Clone)]
struct Pages {
    sources: Sources,
    stuck_after: Duration,
}

const INDEX: &str = "tidemill\n\n\
    /livez     200 while the process makes progress, 503 when a stage is stuck\n\
    /readyz    200 when rows can be expected, 503 with the reasons otherwise\n\
    /startupz  200 once configuration, model and table are checked\n\
    /metrics   for Prometheus\n\
    /version   which build this is\n";

/// All routes.
pub fn router(sources: Sources, stuck_after: Duration) -> Router {
    Router::new()
        .route("/", get(|| async { text("text/plain; charset=utf-8", INDEX.to_owned()) }))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/startupz", get(startup))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .with_state(Pages { sources, stuck_after })
}

fn text(kind: &'static str, body: String) -> Response {
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, body).into_response()
}

fn answer(ok: bool, body: &Value) -> Response {
    let mut response = text("application/json", format!("{body}\n"));
    if !ok {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

async fn live(State(pages): State<Pages>) -> Response {
    let health = &pages.sources.health;
    let stuck = health.stuck(health.now(), pages.stuck_after);
    answer(stuck.is_empty(), &json!({ "live": stuck.is_empty(), "stuck": stuck }))
}

async fn ready(State(pages): State<Pages>) -> Response {
    let state = pages.sources.published.read();
    let ok = state.is_ready();
    answer(ok, &json!({ "ready": ok, "phase": state.phase.name(), "reasons": state.not_ready }))
}

async fn startup(State(pages): State<Pages>) -> Response {
    let state = pages.sources.published.read();
    let ok = state.phase != Phase::Starting;
    let reasons = if ok { &[][..] } else { &state.not_ready };
    answer(ok, &json!({ "started": ok, "phase": state.phase.name(), "reasons": reasons }))
}

async fn metrics(State(pages): State<Pages>) -> Response {
    text("text/plain; version=0.0.4; charset=utf-8", pages.sources.scrape.render())
}

async fn version() -> Response {
    answer(true, &json!({ "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") }))
}
