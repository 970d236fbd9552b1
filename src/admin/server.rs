//! The listener and its three routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{health, metrics};
use crate::disposition::{Diagnose, Disposition};
use crate::stats::{Stats, View};

/// How long open requests may take after the stop.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
#[error("listen on {address} for health and metrics")]
pub struct BindError {
    address: SocketAddr,
    source: std::io::Error,
}

impl Diagnose for BindError {
    fn disposition(&self) -> Disposition {
        Disposition::Stop
    }

    fn hint(&self) -> Option<String> {
        Some("give this pipeline an `admin.listen` of its own, such as 127.0.0.1:8086, or `admin: { listen: off }`".to_owned())
    }
}

/// A bound listener that does not answer yet.
pub struct Admin {
    listener: TcpListener,
    stats: Arc<Stats>,
}

impl Admin {
    /// Takes the port before anything else starts.
    ///
    /// # Errors
    /// When the port is taken or not allowed.
    pub async fn bind(address: SocketAddr, stats: Arc<Stats>) -> Result<Self, BindError> {
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(Self { listener, stats }),
            Err(source) => Err(BindError { address, source }),
        }
    }

    /// # Errors
    /// When the socket has gone.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop`; then finishes what was asked, for a second at most.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve(self, stop: CancellationToken) -> std::io::Result<()> {
        let routes = Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/metrics", get(scrape))
            .with_state(self.stats);
        let stopped = stop.clone();
        let server = axum::serve(self.listener, routes)
            .with_graceful_shutdown(async move { stopped.cancelled().await })
            .into_future();
        let limit = async {
            stop.cancelled().await;
            tokio::time::sleep(CLOSE_LIMIT).await;
        };
        tokio::select! {
            biased;
            // First, so that a server that has finished is not reported as cut off.
            done = server => done,
            () = limit => Ok(()),
        }
    }
}

async fn healthz(Extract(stats): Extract<Arc<Stats>>) -> Response {
    let view = stats.view();
    answer(health::is_alive(&view), &view)
}

async fn readyz(Extract(stats): Extract<Arc<Stats>>) -> Response {
    let view = stats.view();
    answer(health::not_ready(&view).is_none(), &view)
}

async fn scrape(Extract(stats): Extract<Arc<Stats>>) -> Response {
    match metrics::render(&stats) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn answer(fine: bool, view: &View) -> Response {
    let code = if fine { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = health::body(view, health::not_ready(view)).to_string();
    (code, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::task::JoinSet;

    use super::*;
    use crate::stats::State;

    async fn request(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_three_routes_answer_and_the_server_stops() {
        let stats = Arc::new(Stats::default());
        let admin = Admin::bind("127.0.0.1:0".parse().unwrap(), Arc::clone(&stats)).await.unwrap();
        let address = admin.address().unwrap();
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(admin.serve(stop.clone()));

        assert!(request(address, "/healthz").await.starts_with("HTTP/1.1 200 "));
        let answer = request(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"reason\":\"starting\""));
        stats.set_state(State::Streaming);
        stats.snapshot.complete();
        let answer = request(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"ready\":true"));
        let answer = request(address, "/metrics").await;
        assert!(answer.contains(metrics::CONTENT_TYPE) && answer.contains("tailwater_ready 1"));
        assert!(request(address, "/config").await.starts_with("HTTP/1.1 404 "));
        stats.set_state(State::Failed("slot lost".to_owned()));
        assert!(request(address, "/healthz").await.starts_with("HTTP/1.1 503 "));

        stop.cancel();
        tasks.join_next().await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error_with_a_way_out() {
        let stats = Arc::new(Stats::default());
        let first = Admin::bind("127.0.0.1:0".parse().unwrap(), Arc::clone(&stats)).await.unwrap();
        let address = first.address().unwrap();
        let error = Admin::bind(address, stats).await.err().unwrap();
        assert_eq!(error.to_string(), format!("listen on {address} for health and metrics"));
        assert!(error.hint().unwrap().contains("admin.listen"));
    }
}
