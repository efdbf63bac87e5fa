//! Large bodies in pieces: files, and a generated body.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::{cmp, str};

use axum::body::{Body, Bytes};
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use headwaiter::fs::{self, File};
use log::{debug, error};
use serde::Deserialize;

use crate::routes::App;

/// How much of a file is in memory per download.
const PIECE: usize = 64 * 1024;

/// Why a file is not served.
pub enum Refusal {
    NotFound,
    /// The requested range is beyond the end of a file of this size.
    OutOfRange(u64),
    Failed,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Refusal::NotFound => {
                (StatusCode::NOT_FOUND, "There is no such file.\n").into_response()
            }
            Refusal::OutOfRange(size) => {
                let range = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
                (StatusCode::RANGE_NOT_SATISFIABLE, range, "The file is not that long.\n")
                    .into_response()
            }
            Refusal::Failed => {
                (StatusCode::INTERNAL_SERVER_ERROR, "The file cannot be read.\n").into_response()
            }
        }
    }
}

impl From<io::Error> for Refusal {
    /// The client does not receive details such as the path.
    fn from(error: io::Error) -> Refusal {
        match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::PermissionDenied => {
                debug!("{error}");
                Refusal::NotFound
            }
            _ => {
                error!("{error}");
                Refusal::Failed
            }
        }
    }
}

/// Serves a file of the folder, or the part that the header `Range` asks for.
pub async fn file(
    State(app): State<Arc<App>>,
    UrlPath(name): UrlPath<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let folder = app.folder.as_deref().ok_or(Refusal::NotFound)?;
    let path = find(folder, Path::new(&name)).await?;
    // Checked before opening, because opening a device may have side effects.
    let size = match fs::metadata(&path).await? {
        metadata if metadata.is_file() => metadata.len(),
        _ => return Err(Refusal::NotFound),
    };
    let range = headers.get(header::RANGE).map_or(Ok(None), |range| parse_range(range, size))?;
    let (start, length) = range.unwrap_or((0, size));
    let mut file = File::open(path).await?;
    file.seek(io::SeekFrom::Start(start)).await?;

    let mut response = Response::new(Body::from_stream(pieces(file, length)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(&name)));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if range.is_some() {
        let range = format!("bytes {start}-{}/{size}", start + length - 1);
        headers.extend(HeaderValue::try_from(range).map(|range| (header::CONTENT_RANGE, range)));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// Returns the path of a file in `folder`. Refuses hidden files, and names that lead out of the
/// folder through `..` or a link.
async fn find(folder: &Path, name: &Path) -> Result<PathBuf, Refusal> {
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(part) if !part.as_encoded_bytes().starts_with(b"."));
    if !name.components().all(is_plain) {
        return Err(Refusal::NotFound);
    }
    let path = fs::canonicalize(folder.join(name)).await?;
    if path.starts_with(folder) { Ok(path) } else { Err(Refusal::NotFound) }
}

/// Reads each piece after the client has received the previous one. If the file is truncated
/// meanwhile, the connection ends, because the header has promised the full length.
fn pieces(file: File, length: u64) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold((file, length), async |(mut file, left)| {
        if left == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; cmp::min(left, PIECE as u64) as usize];
        let n = file.read(&mut piece).await?;
        if n == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
        }
        piece.truncate(n);
        Ok(Some((Bytes::from(piece), (file, left - n as u64))))
    })
}

/// Returns the start and the length of the requested part, or `None` if the header is not a single
/// range of bytes; then the whole file is served.
fn parse_range(range: &HeaderValue, size: u64) -> Result<Option<(u64, u64)>, Refusal> {
    let parse = || {
        let (start, end) = range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
        match (start.parse::<u64>(), end.parse::<u64>()) {
            (Ok(start), Ok(end)) if start <= end => {
                Some((start, cmp::min(end, size.saturating_sub(1))))
            }
            (Ok(start), Err(_)) if end.is_empty() => Some((start, size.saturating_sub(1))),
            // The last n bytes.
            (Err(_), Ok(last)) if start.is_empty() => {
                Some((size.saturating_sub(last), size.saturating_sub(1)))
            }
            _ => None,
        }
    };
    match parse() {
        Some((start, _)) if start >= size => Err(Refusal::OutOfRange(size)),
        range => Ok(range.map(|(start, end)| (start, end - start + 1))),
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("txt" | "md" | "rs" | "toml") => "text/plain; charset=utf-8",
        Some("json") => "application/json",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("pdf") => "application/pdf",
        _ => "application/octet-stream",
    }
}

#[derive(Deserialize)]
pub struct Big {
    mib: Option<u64>,
}

/// Returns a body of this many MiB, to try large downloads without a file.
pub async fn big(Query(Big { mib }): Query<Big>) -> Result<Response, (StatusCode, &'static str)> {
    static PIECE: [u8; 64 * 1024] = [b'.'; 64 * 1024];
    let pieces = mib.unwrap_or(64).checked_mul(16).filter(|pieces| *pieces <= 16 * 1024);
    let pieces = pieces.ok_or((StatusCode::BAD_REQUEST, "Not more than 1024 MiB, please.\n"))?;
    let body = stream::iter((0..pieces).map(|_| Ok::<_, io::Error>(Bytes::from_static(&PIECE))));
    let length = HeaderValue::from(pieces * PIECE.len() as u64);
    Ok(([(header::CONTENT_LENGTH, length)], Body::from_stream(body)).into_response())
}
