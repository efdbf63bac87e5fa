//! What answers requests: [`IntoService`] takes tower's services and hyper's, and [`ConnectionService`] is the one that hyper calls. It
//! refuses a body that is too large, catches panics, and counts what is in flight for the connection's task.

use std::any::Any;
use std::error::Error;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response, StatusCode, Version};
use log::Level;
use pin_project_lite::pin_project;

use super::connection::{InFlight, Watch};
use super::{Body, Peer};
use crate::core::{bury, panic_message};
use crate::observe::{self, OneLine};

type BoxError = Box<dyn Error + Send + Sync>;

/// What [`serve`](super::serve()) calls for each request. Made by [`IntoService`], for every service of tower and of hyper.
pub trait HttpService: 'static {
    #[doc(hidden)]
    type ResponseBody: http_body::Body<Data: 'static, Error: Into<BoxError>> + 'static;
    #[doc(hidden)]
    type Error: Into<BoxError> + 'static;
    #[doc(hidden)]
    type Future: Future<Output = Result<Response<Self::ResponseBody>, Self::Error>> + 'static;

    #[doc(hidden)]
    fn call(&self, request: Request<Body>) -> Self::Future;
}

/// What [`serve`](super::serve()) serves: axum's routers and any other [`tower_service::Service`] that is `Clone`, and any
/// [`hyper::service::Service`], which take a request with a [`Body`].
///
/// `M` tells which of both it is, and is inferred.
pub trait IntoService<M> {
    /// What it becomes.
    type Service: HttpService;

    #[doc(hidden)]
    fn into_service(self) -> Self::Service;
}

/// A service of tower.
pub struct Tower<S>(S);

impl<S, B> IntoService<Tower<()>> for S
where
    S: tower_service::Service<Request<Body>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<BoxError> + 'static,
    S::Future: 'static,
    B: http_body::Body<Data: 'static, Error: Into<BoxError>> + 'static,
{
    type Service = Tower<S>;

    fn into_service(self) -> Tower<S> {
        Tower(self)
    }
}

impl<S, B> HttpService for Tower<S>
where
    S: tower_service::Service<Request<Body>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<BoxError> + 'static,
    S::Future: 'static,
    B: http_body::Body<Data: 'static, Error: Into<BoxError>> + 'static,
{
    type ResponseBody = B;
    type Error = S::Error;
    type Future = Oneshot<S>;

    fn call(&self, request: Request<Body>) -> Oneshot<S> {
        Oneshot::NotReady { service: self.0.clone(), request: Some(request) }
    }
}

pin_project! {
    /// One call of a service of tower, which is asked first whether it is ready.
    #[project = OneshotProject]
    pub enum Oneshot<S: tower_service::Service<Request<Body>>> {
        NotReady { service: S, request: Option<Request<Body>> },
        Called {
            #[pin]
            future: S::Future,
        },
    }
}

impl<S: tower_service::Service<Request<Body>>> Future for Oneshot<S> {
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project() {
                OneshotProject::NotReady { service, request } => {
                    ready!(service.poll_ready(cx))?;
                    let Some(request) = request.take() else {
                        unreachable!("a request is taken once, and the state changes with it")
                    };
                    let future = service.call(request);
                    self.set(Oneshot::Called { future });
                }
                OneshotProject::Called { future } => return future.poll(cx),
            }
        }
    }
}

/// A service of hyper.
pub struct Hyper<S>(S);

impl<S, B> IntoService<Hyper<()>> for S
where
    S: hyper::service::Service<Request<Body>, Response = Response<B>> + 'static,
    S::Error: Into<BoxError> + 'static,
    S::Future: 'static,
    B: http_body::Body<Data: 'static, Error: Into<BoxError>> + 'static,
{
    type Service = Hyper<S>;

    fn into_service(self) -> Hyper<S> {
        Hyper(self)
    }
}

impl<S, B> HttpService for Hyper<S>
where
    S: hyper::service::Service<Request<Body>, Response = Response<B>> + 'static,
    S::Error: Into<BoxError> + 'static,
    S::Future: 'static,
    B: http_body::Body<Data: 'static, Error: Into<BoxError>> + 'static,
{
    type ResponseBody = B;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<Body>) -> S::Future {
        self.0.call(request)
    }
}

/// The service as hyper calls it for one connection.
pub(super) struct ConnectionService<S, A> {
    pub(super) service: Rc<S>,
    pub(super) peer: A,
    pub(super) watch: Rc<Watch>,
}

impl<S, A> hyper::service::Service<Request<Incoming>> for ConnectionService<S, A>
where
    S: HttpService,
    A: Clone + Send + Sync + 'static,
{
    type Response = Response<ResponseBody<S::ResponseBody>>;
    type Error = std::convert::Infallible;
    type Future = Respond<S>;

    fn call(&self, request: Request<Incoming>) -> Respond<S> {
        let watch = &self.watch;
        let in_flight = Some(watch.begin(request.version()));
        let limits = watch.limits();
        let declared = http_body::Body::size_hint(request.body()).lower();
        if declared > limits.max_body {
            observe::say(
                Level::Warn,
                observe::HTTP,
                format_args!("{}: refused a body of {declared} bytes: 413", watch.label()),
            );
            // What comes of it is not read: only HTTP/2 can go on after that.
            let close = request.version() < Version::HTTP_2;
            return Respond {
                call: Call::Refused { status: StatusCode::PAYLOAD_TOO_LARGE, close },
                in_flight,
            };
        }
        let mut request = request.map(|body| Body::new(body, limits.max_body, limits.body, watch.traffic()));
        request.extensions_mut().insert(Peer(self.peer.clone()));
        let call = match catch_unwind(AssertUnwindSafe(|| self.service.call(request))) {
            Ok(future) => Call::Running { future },
            Err(payload) => Call::panicked(watch, payload),
        };
        Respond { call, in_flight }
    }
}

pin_project! {
    /// The response to one request.
    pub(super) struct Respond<S: HttpService> {
        #[pin]
        call: Call<S::Future>,
        // Until it is handed to the body of the response.
        in_flight: Option<InFlight>,
    }
}

pin_project! {
    #[project = CallProject]
    enum Call<F> {
        Running {
            #[pin]
            future: F,
        },
        Refused { status: StatusCode, close: bool },
    }
}

impl<F> Call<F> {
    #[cold]
    fn panicked(watch: &Watch, payload: Box<dyn Any + Send>) -> Self {
        let message = OneLine(panic_message(&*payload));
        observe::say(
            Level::Error,
            observe::HTTP,
            format_args!("{}: a handler panicked: {message}: 500", watch.label()),
        );
        bury(payload);
        Call::Refused { status: StatusCode::INTERNAL_SERVER_ERROR, close: false }
    }

    #[cold]
    fn failed(watch: &Watch, error: BoxError) -> Self {
        observe::say(
            Level::Error,
            observe::HTTP,
            format_args!("{}: a service failed: {}: 500", watch.label(), super::connection::Chain(&*error)),
        );
        Call::Refused { status: StatusCode::INTERNAL_SERVER_ERROR, close: false }
    }
}

impl<S: HttpService> Future for Respond<S> {
    type Output = Result<Response<ResponseBody<S::ResponseBody>>, std::convert::Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(in_flight) = this.in_flight.as_ref() else {
            panic!("headwaiter: the response to a request was polled again after it was ready")
        };
        if let CallProject::Running { mut future } = this.call.as_mut().project() {
            let refused = match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
                Ok(Poll::Pending) => {
                    in_flight.set_working(true);
                    return Poll::Pending;
                }
                Ok(Poll::Ready(Ok(response))) => {
                    in_flight.set_working(false);
                    let in_flight = this.in_flight.take();
                    return Poll::Ready(
                        Ok(response.map(|body| ResponseBody { body: Some(body), in_flight })),
                    );
                }
                Ok(Poll::Ready(Err(error))) => Call::failed(in_flight.watch(), error.into()),
                Err(payload) => Call::panicked(in_flight.watch(), payload),
            };
            this.call.set(refused);
        }
        in_flight.set_working(false);
        let mut response = Response::new(ResponseBody { body: None, in_flight: this.in_flight.take() });
        if let CallProject::Refused { status, close } = this.call.project() {
            *response.status_mut() = *status;
            if *close {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        Poll::Ready(Ok(response))
    }
}

pin_project! {
    /// The body of a response: the service's, or none.
    pub(super) struct ResponseBody<B> {
        #[pin]
        body: Option<B>,
        // The request is in flight until this is dropped.
        in_flight: Option<InFlight>,
    }
}

impl<B: http_body::Body> http_body::Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let Some(body) = this.body.as_pin_mut() else { return Poll::Ready(None) };
        let frame = body.poll_frame(cx);
        if let Some(in_flight) = this.in_flight {
            in_flight.set_working(frame.is_pending());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}
