//! A client that makes each kind of call.

use std::error::Error;
use std::time::Duration;

use futures_util::stream;
use headwaiter::compat::hyper::{Connector, Executor, Timer};
use hyper_util::client::legacy::Client;
use log::info;
use tonic::{Code, Request, Status};

use crate::kitchen::Order;
use crate::kitchen::kitchen_client::KitchenClient;

/// How long a call may take.
const LIMIT: Duration = Duration::from_secs(10);

pub async fn run(url: &str) -> Result<(), Box<dyn Error>> {
    let origin = url.parse().map_err(|error| format!("{url:?} is not a URL: {error}"))?;
    // One connection, which the first call opens, and which is opened again when it fails. Pings
    // detect a server that does not answer any more.
    let http = Client::builder(Executor)
        .timer(Timer)
        .http2_only(true)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .build(Connector::new());
    let mut kitchen = KitchenClient::with_origin(http, origin);

    let dish =
        kitchen.cook(request(order("soup", 100))).await.map_err(|status| explain(url, &status))?;
    info!("cook: {}", dish.into_inner().dish);

    let mut steps = kitchen.follow(request(order("roast", 300))).await?.into_inner();
    while let Some(step) = steps.message().await? {
        info!("follow: the roast is at {} %", step.percent);
    }

    let orders = stream::iter(["soup", "bread", "tea"].map(|dish| order(dish, 20)));
    let bill = kitchen.tab(request(orders)).await?.into_inner();
    info!("tab: {} dishes, {} cents", bill.dishes, bill.total);

    // The dishes are cooked concurrently: the quickest comes first.
    let orders = stream::iter([order("roast", 300), order("soup", 200), order("bread", 100)]);
    let mut dishes = kitchen.table(request(orders)).await?.into_inner();
    while let Some(dish) = dishes.message().await? {
        info!("table: {}", dish.dish);
    }

    // An error has a code, and a message for people.
    let mut hurried = Request::new(order("roast", 5000));
    hurried.set_timeout(Duration::from_millis(100));
    match kitchen.cook(hurried).await {
        Err(status) if status.code() == Code::DeadlineExceeded => {
            info!("in a hurry: {}", status.message());
        }
        other => return Err(format!("a call continued after its deadline: {other:?}").into()),
    }
    match kitchen.cook(request(order("", 0))).await {
        Err(status) if status.code() == Code::InvalidArgument => {
            info!("no name: {}", status.message());
        }
        other => return Err(format!("an order without a dish was accepted: {other:?}").into()),
    }
    Ok(())
}

fn order(dish: &str, millis: u32) -> Order {
    Order { dish: dish.to_owned(), millis }
}

/// Sets a deadline, which is sent to the server.
fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(LIMIT);
    request
}

/// tonic's message is only "transport error"; the sources of the error contain the reason.
fn explain(url: &str, status: &Status) -> String {
    let mut text = format!("{url}: {}", status.message());
    let mut source = status.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
