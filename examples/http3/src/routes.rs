//! The requests that the server answers.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::error::{Code, StreamError};
use h3::server::RequestResolver;
use headwaiter::time::{sleep, timeout};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use log::{debug, warn};

use crate::server::Limits;

/// The largest header of a request, in bytes.
pub const MAX_HEADER: u64 = 16 * 1024;

const PAGE: &str = "<!doctype html>
<title>headwaiter</title>
<h1>Today's menu</h1>
<ul><li>soup<li>fish<li>cake</ul>
";

type Stream = h3::server::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

/// Handles one request. If it fails, only this request is affected.
pub async fn serve(
    request: RequestResolver<h3_quinn::Connection, Bytes>,
    peer: SocketAddr,
    limits: Limits,
) -> Result<(), Infallible> {
    let (request, stream) = match within(limits.request, request.resolve_request()).await {
        Ok(resolved) => resolved,
        Err(error) => {
            warn!("{peer} sent no valid request: {error}");
            return Ok(());
        }
    };
    let mut exchange = Exchange { stream, limits, complete: false };
    let (method, path) = (request.method(), request.uri().path());
    debug!("{peer} {method} {path}: started");
    match exchange.answer(&request).await {
        Ok((status, bytes)) => debug!("{peer} {method} {path}: {status}, {bytes} bytes"),
        Err(error) => warn!("{peer} {method} {path} failed: {error}"),
    }
    Ok(())
}

/// A request and its answer.
struct Exchange {
    stream: Stream,
    limits: Limits,
    complete: bool,
}

impl Drop for Exchange {
    /// A dropped stream of quinn ends as if it were complete, so the client would mistake half an
    /// answer for the whole one. So this resets an incomplete answer, even after a panic.
    fn drop(&mut self) {
        if !self.complete {
            self.stream.stop_stream(Code::H3_INTERNAL_ERROR);
        }
    }
}

impl Exchange {
    async fn answer(&mut self, request: &Request<()>) -> io::Result<(StatusCode, u64)> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/") => self.send_all(StatusCode::OK, "text/html", PAGE).await,
            (&Method::GET, "/slow") => self.slow(request).await,
            (&Method::POST, "/echo") => self.echo(request).await,
            (_, "/" | "/slow" | "/echo") => {
                self.refuse(StatusCode::METHOD_NOT_ALLOWED, "GET / and /slow, POST /echo\n").await
            }
            _ => self.refuse(StatusCode::NOT_FOUND, "there are /, /slow and /echo\n").await,
        }
    }

    /// Sends the first line immediately and the second one later.
    async fn slow(&mut self, request: &Request<()>) -> io::Result<(StatusCode, u64)> {
        let seconds = request.uri().query().and_then(|query| query.strip_prefix("seconds="));
        let seconds = seconds
            .map_or(Ok(1.0), str::parse)
            .ok()
            .filter(|seconds| (0.0..=60.0).contains(seconds));
        let Some(seconds) = seconds else {
            return self
                .refuse(StatusCode::BAD_REQUEST, "/slow?seconds=N, with N from 0 to 60\n")
                .await;
        };
        let (first, second) = ("The soup is on the stove.\n", "Here is the soup.\n");
        self.begin(StatusCode::OK, "text/plain", None).await?;
        self.send(first).await?;
        sleep(Duration::from_secs_f64(seconds)).await;
        self.send(second).await?;
        self.finish().await?;
        Ok((StatusCode::OK, (first.len() + second.len()) as u64))
    }

    /// Sends the body back while it arrives.
    async fn echo(&mut self, request: &Request<()>) -> io::Result<(StatusCode, u64)> {
        let declared = request
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        if declared.is_some_and(|length: u64| length > self.limits.body) {
            return self.refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n").await;
        }
        self.begin(StatusCode::OK, "application/octet-stream", declared).await?;
        let mut total = 0;
        while let Some(mut part) = within(self.limits.request, self.stream.recv_data()).await? {
            total += part.remaining() as u64;
            if total > self.limits.body {
                self.stream.stop_sending(Code::H3_EXCESSIVE_LOAD);
                return Err(io::Error::other(format!(
                    "the body is larger than {} bytes",
                    self.limits.body
                )));
            }
            // Reads the next part only after this one was sent, so a client that does not read
            // cannot fill the memory.
            self.send(part.copy_to_bytes(part.remaining())).await?;
        }
        self.finish().await?;
        Ok((StatusCode::OK, total))
    }

    /// Answers before the body was read.
    async fn refuse(
        &mut self,
        status: StatusCode,
        why: &'static str,
    ) -> io::Result<(StatusCode, u64)> {
        self.stream.stop_sending(Code::H3_NO_ERROR);
        self.send_all(status, "text/plain", why).await
    }

    async fn send_all(
        &mut self,
        status: StatusCode,
        kind: &'static str,
        body: &'static str,
    ) -> io::Result<(StatusCode, u64)> {
        self.begin(status, kind, Some(body.len() as u64)).await?;
        self.send(body).await?;
        self.finish().await?;
        Ok((status, body.len() as u64))
    }

    async fn begin(
        &mut self,
        status: StatusCode,
        kind: &'static str,
        length: Option<u64>,
    ) -> io::Result<()> {
        let mut response = Response::builder().status(status).header(CONTENT_TYPE, kind);
        if let Some(length) = length {
            response = response.header(CONTENT_LENGTH, length);
        }
        let response = response.body(()).map_err(io::Error::other)?;
        within(self.limits.request, self.stream.send_response(response)).await
    }

    async fn send(&mut self, part: impl Into<Bytes>) -> io::Result<()> {
        within(self.limits.request, self.stream.send_data(part.into())).await
    }

    async fn finish(&mut self) -> io::Result<()> {
        within(self.limits.request, self.stream.finish()).await?;
        self.complete = true;
        Ok(())
    }
}

/// Fails if the client takes longer than the limit.
async fn within<T>(
    limit: Duration,
    operation: impl Future<Output = Result<T, StreamError>>,
) -> io::Result<T> {
    match timeout(limit, operation).await {
        Ok(result) => result.map_err(io::Error::other),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("the client has kept it waiting for {limit:?}"),
        )),
    }
}
