//! An API to call if none is given: it is slow and fails now and then, always in the same way.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use headwaiter::compat::hyper::{Body, serve};
use headwaiter::net::TcpListener;
use headwaiter::task::CancelToken;
use headwaiter::time::sleep;
use http_body_util::Full;
use hyper::header::RETRY_AFTER;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};

/// How many dishes are on the menu.
const DISHES: u32 = 40;

/// How often each dish was asked for.
type Asked = Rc<RefCell<HashMap<u32, u32>>>;

/// The server ends when this is dropped.
pub struct Api {
    address: SocketAddr,
    closing: CancelToken,
}

impl Api {
    pub async fn start() -> io::Result<Api> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let asked = Asked::default();
        let service = service_fn(move |request| answer(request, Rc::clone(&asked)));
        let closing = CancelToken::new();
        let server = serve(listener, service).graceful(closing.clone(), Duration::ZERO);
        headwaiter::spawn(server.into_future()).log_error();
        Ok(Api { address, closing })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn urls(&self) -> Vec<Uri> {
        let url = |dish| format!("http://{}/dishes/{dish}", self.address).parse();
        (1..=DISHES).map(|dish| url(dish).expect("an address and a number make a URL")).collect()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// Each dish has its own way to fail, which depends on its number and on how often it was asked
/// for.
async fn answer(request: Request<Body>, asked: Asked) -> io::Result<Response<Full<Bytes>>> {
    let dish = request.uri().path().strip_prefix("/dishes/").and_then(|dish| dish.parse().ok());
    let Some(dish) = dish.filter(|dish| (1..=DISHES).contains(dish)) else {
        return Ok(status(StatusCode::NOT_FOUND));
    };
    let times = {
        let mut asked = asked.borrow_mut();
        let times = asked.entry(dish).or_default();
        *times += 1;
        *times
    };
    sleep(Duration::from_millis(50 + u64::from(dish * 37 % 200))).await;
    match dish {
        // Off the menu.
        13 => return Ok(status(StatusCode::NOT_FOUND)),
        // Never works.
        26 => return Ok(status(StatusCode::INTERNAL_SERVER_ERROR)),
        // So slow that the first attempt times out.
        _ if dish % 10 == 7 && times == 1 => sleep(Duration::from_secs(60)).await,
        // Overloaded twice, and says when to retry.
        _ if dish % 5 == 0 && times <= 2 => {
            let mut response = status(StatusCode::SERVICE_UNAVAILABLE);
            response.headers_mut().insert(RETRY_AFTER, 0.into());
            return Ok(response);
        }
        _ => {}
    }
    Ok(Response::new(Full::new(format!("{{\"dish\": {dish}}}\n").into())))
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(format!("{status}\n").into()));
    *response.status_mut() = status;
    response
}
