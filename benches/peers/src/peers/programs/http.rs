//! An HTTP/1.1 server by hyper, with the same handler on each peer.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};

use super::run::Program;
use super::sockets;
use crate::rt;

pub const PROGRAMS: &[Program] = &[("http", http)];

fn http() {
    let listener = sockets::tcp();
    rt::block_on(async {
        let listener = rt::TcpListener::from_std(listener).expect("the listener");
        loop {
            let stream = rt::accept(&listener).await;
            rt::detach(rt::spawn(async {
                // It fails when the client goes away.
                let _ = http1::Builder::new()
                    .serve_connection(rt::hyper_io(stream), service_fn(answer))
                    .await;
            }));
        }
    });
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"One soup, please.\n"))))
}
