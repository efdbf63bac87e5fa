//! Services: [`IntoService`] takes those of tower and of hyper, and [`ConnectionService`] is the
//! one that hyper calls for a connection. It refuses a body that is too large, catches panics, and
//! counts requests in flight.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, ready};
use std::{any::Any, convert::Infallible, error::Error, pin::Pin, rc::Rc};

use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response, StatusCode, Version};
use log::Level;
use pin_project_lite::pin_project;

use super::watch::{Chain, InFlight, Watch};
use super::{body::Body, listener::Peer};
use crate::state::{OneLine, drop_payload, panic_message};

type BoxError = Box<dyn Error + Send + Sync>;

/// A service as [`serve`](super::serve()) calls it. [`IntoService`] makes one of every service of
/// tower and of hyper.
pub trait HttpService: 'static {
    #[doc(hidden)]
    type ResponseBody: http_body::Body<Data: 'static, Error: Into<BoxError>> + 'static;
    #[doc(hidden)]
    type Error: Into<BoxError> + 'static;
    #[doc(hidden)]
    type Future: Future<Output = Result<Response<Self::ResponseBody>, Self::Error>> + 'static;
    /// The part of the service that makes one call.
    #[doc(hidden)]
    type Caller: 'static;

    #[doc(hidden)]
    fn caller(self: &Rc<Self>) -> Self::Caller;

    #[doc(hidden)]
    fn poll_ready(caller: &mut Self::Caller, cx: &mut Context<'_>)
    -> Poll<Result<(), Self::Error>>;

    #[doc(hidden)]
    fn call(caller: &mut Self::Caller, request: Request<Body>) -> Self::Future;
}

/// The services that [`serve`](super::serve()) takes: axum's routers and any other
/// [`tower_service::Service`] that is `Clone`, and any [`hyper::service::Service`], for requests
/// with a [`Body`].
///
/// `M` marks which of the two it is, and is inferred.
pub trait IntoService<M> {
    /// The service that `serve` calls.
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
    type Future = S::Future;
    type Caller = S;

    fn caller(self: &Rc<Self>) -> S {
        self.0.clone()
    }

    fn poll_ready(caller: &mut S, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        caller.poll_ready(cx)
    }

    fn call(caller: &mut S, request: Request<Body>) -> S::Future {
        caller.call(request)
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
    type Caller = Rc<Self>;

    fn caller(self: &Rc<Self>) -> Rc<Self> {
        Rc::clone(self)
    }

    fn poll_ready(_: &mut Rc<Self>, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(caller: &mut Rc<Self>, request: Request<Body>) -> S::Future {
        caller.0.call(request)
    }
}

/// The service as hyper calls it for one connection.
pub(super) struct ConnectionService<S, A>(Rc<Connection<S, A>>);

struct Connection<S, A> {
    service: Rc<S>,
    peer: A,
    watch: Rc<Watch>,
}

impl<S, A> ConnectionService<S, A> {
    pub(super) fn new(service: Rc<S>, peer: A, watch: Rc<Watch>) -> Self {
        ConnectionService(Rc::new(Connection { service, peer, watch }))
    }
}

impl<S, A> hyper::service::Service<Request<Incoming>> for ConnectionService<S, A>
where
    S: HttpService,
    A: Clone + Send + Sync + 'static,
{
    type Response = Response<ResponseBody<S::ResponseBody>>;
    type Error = Infallible;
    type Future = Respond<S, A>;

    /// Does as little as possible with the request, which is large, and is moved again before the
    /// first poll.
    #[inline]
    fn call(&self, request: Request<Incoming>) -> Respond<S, A> {
        let connection = &self.0;
        let in_flight = connection.watch.begin(&request);
        let call = match connection.refusal(&request) {
            None => {
                let caller = connection.service.caller();
                Call::Waiting { caller, connection: Rc::clone(connection), request: Some(request) }
            }
            Some(refusal) => Call::Refused { refusal },
        };
        Respond { call, in_flight: Some(in_flight) }
    }
}

impl<S, A: Clone + Send + Sync + 'static> Connection<S, A> {
    /// The refusal of a request whose declared body is too large.
    #[inline]
    fn refusal(&self, request: &Request<Incoming>) -> Option<Refusal> {
        let most = self.watch.limits.max_body;
        let declared = http_body::Body::size_hint(request.body()).lower();
        // The body is not read. Only an HTTP/2 connection can go on after that.
        let closes = request.version() < Version::HTTP_2;
        (declared > most).then(|| too_large(&self.watch, declared, closes))
    }

    /// Prepares the request for the service.
    fn prepare(&self, request: Request<Incoming>) -> Request<Body> {
        let Watch { limits, traffic, .. } = &*self.watch;
        let mut request =
            request.map(|body| Body::new(body, limits.max_body, limits.body, traffic));
        request.extensions_mut().insert(Peer(self.peer.clone()));
        request
    }
}

/// A response that does not come from the service.
#[derive(Clone, Copy)]
struct Refusal {
    status: StatusCode,
    /// Whether the connection is closed after it.
    closes: bool,
}

impl Refusal {
    /// The service failed or panicked, which has been logged.
    const FAILED: Refusal = Refusal { status: StatusCode::INTERNAL_SERVER_ERROR, closes: false };

    fn response<B>(self, in_flight: Option<InFlight>) -> Response<ResponseBody<B>> {
        let mut response = Response::new(ResponseBody { body: None, in_flight });
        *response.status_mut() = self.status;
        if self.closes {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

pin_project! {
    /// The response to one request.
    pub(super) struct Respond<S: HttpService, A> {
        #[pin]
        call: Call<S, A>,
        // Taken when the body of the response gets it.
        in_flight: Option<InFlight>,
    }
}

pin_project! {
    #[project = CallProject]
    enum Call<S: HttpService, A> {
        Waiting { caller: S::Caller, connection: Rc<Connection<S, A>>, request: Option<Request<Incoming>> },
        Running {
            #[pin]
            future: S::Future,
        },
        Refused { refusal: Refusal },
    }
}

/// The result of a call.
enum Outcome<S: HttpService> {
    Response(Response<S::ResponseBody>),
    Error(S::Error),
    Refused(Refusal),
}

impl<S: HttpService, A: Clone + Send + Sync + 'static> Call<S, A> {
    /// Polls the service. All code of the program runs in here, so that a panic can be caught
    /// around it.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<S>> {
        // tower's services must be ready before they are called; hyper's always are.
        if let CallProject::Waiting { caller, connection, request } = self.as_mut().project() {
            if let Err(error) = ready!(S::poll_ready(caller, cx)) {
                return Poll::Ready(Outcome::Error(error));
            }
            let Some(request) = request.take() else {
                panic!(
                    "headwaiter: the future of a request was polled again after its service had panicked"
                )
            };
            let future = S::call(caller, connection.prepare(request));
            self.set(Call::Running { future });
        }
        match self.project() {
            CallProject::Running { future } => match ready!(future.poll(cx)) {
                Ok(response) => Poll::Ready(Outcome::Response(response)),
                Err(error) => Poll::Ready(Outcome::Error(error)),
            },
            CallProject::Refused { refusal } => Poll::Ready(Outcome::Refused(*refusal)),
            CallProject::Waiting { .. } => unreachable!("it is running by now"),
        }
    }
}

impl<S: HttpService, A: Clone + Send + Sync + 'static> Future for Respond<S, A> {
    type Output = Result<Response<ResponseBody<S::ResponseBody>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let outcome = catch_unwind(AssertUnwindSafe(|| this.call.as_mut().poll(cx)));
        let in_flight = this.in_flight;
        // While the call is pending, the guard must not blame the client.
        if let Some(in_flight) = in_flight {
            in_flight.set_working(matches!(outcome, Ok(Poll::Pending)));
        }
        let refusal = match outcome {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Outcome::Response(response))) => {
                // The request stays in flight until the body of the response is dropped.
                let in_flight = in_flight.take();
                if let Some(in_flight) = &in_flight {
                    in_flight.answered(response.status());
                }
                return Poll::Ready(Ok(
                    response.map(|body| ResponseBody { body: Some(body), in_flight })
                ));
            }
            Ok(Poll::Ready(Outcome::Refused(refusal))) => refusal,
            Ok(Poll::Ready(Outcome::Error(error))) => failed(in_flight.as_ref(), &*error.into()),
            Err(payload) => panicked(in_flight.as_ref(), payload),
        };
        Poll::Ready(Ok(refusal.response(in_flight.take())))
    }
}

#[cold]
fn too_large(watch: &Watch, declared: u64, closes: bool) -> Refusal {
    let most = watch.limits.max_body;
    watch.say(
        watch.refusal_level(),
        format_args!("refused a body of {declared} bytes, more than {most}: 413"),
    );
    Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, closes }
}

#[cold]
fn panicked(in_flight: Option<&InFlight>, payload: Box<dyn Any + Send>) -> Refusal {
    if let Some(in_flight) = in_flight {
        let message = OneLine(panic_message(&*payload));
        in_flight
            .watch()
            .say(Level::Error, format_args!("a handler panicked, answered with 500: {message}"));
    }
    drop_payload(payload);
    Refusal::FAILED
}

#[cold]
fn failed(in_flight: Option<&InFlight>, error: &(dyn Error + 'static)) -> Refusal {
    if let Some(in_flight) = in_flight {
        let error = OneLine(Chain(error));
        in_flight
            .watch()
            .say(Level::Error, format_args!("a service failed, answered with 500: {error}"));
    }
    Refusal::FAILED
}

pin_project! {
    /// The body of a response: the service's, or none.
    pub(super) struct ResponseBody<B> {
        #[pin]
        body: Option<B>,
        // The request is in flight until the body is dropped.
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
        // Pending means that the program has no frame; otherwise the peer has to take this one.
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
