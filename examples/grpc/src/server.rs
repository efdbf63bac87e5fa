//! The service, and the server that contains it.

use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use headwaiter::net::TcpListener;
use headwaiter::task::CancelToken;
use headwaiter::time::{now, sleep, timeout};
use log::info;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::kitchen::kitchen_server::{Kitchen, KitchenServer};
use crate::kitchen::{Bill, Dish, Order, Progress};

/// The longest time for a dish. It is also the limit for calls whose client sets no deadline.
const LONGEST: Duration = Duration::from_secs(60);

/// The largest accepted message, in bytes. A larger one is refused before memory is allocated for
/// it.
const LARGEST: usize = 64 * 1024;

/// Serves calls until `closing` is cancelled. Calls in flight then have the grace period to finish.
pub fn serve(
    listener: TcpListener,
    closing: CancelToken,
    grace: Duration,
) -> impl Future<Output = io::Result<()>> {
    let kitchen = KitchenServer::new(Cooks).max_decoding_message_size(LARGEST);
    headwaiter::compat::hyper::serve(listener, kitchen)
        .max_connections(1000)
        .graceful(closing, grace)
        .into_future()
}

/// This service has no state. A service with state holds it in an `Arc`, because tonic requires
/// services to be `Send`, although here they never leave their thread.
struct Cooks;

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[async_trait]
impl Kitchen for Cooks {
    type FollowStream = Messages<Progress>;
    type TableStream = Messages<Dish>;

    async fn cook(&self, request: Request<Order>) -> Result<Response<Dish>, Status> {
        let limit = deadline(request.metadata())?;
        within(limit, cook(request.into_inner())).await.map(Response::new)
    }

    /// The stream ends with an error at the deadline, and is dropped when the client cancels the
    /// call.
    async fn follow(
        &self,
        request: Request<Order>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let until = now() + deadline(request.metadata())?;
        let order = check(request.into_inner())?;
        let step = Duration::from_millis(order.millis.into()) / 10;
        let steps = stream::iter(1..=10).then(move |tenth| async move {
            let left = until.saturating_duration_since(now());
            let wait = async {
                sleep(step).await;
                Ok(Progress { percent: tenth * 10 })
            };
            within(left, wait).await
        });
        Ok(Response::new(steps.boxed()))
    }

    async fn tab(&self, request: Request<Streaming<Order>>) -> Result<Response<Bill>, Status> {
        let limit = deadline(request.metadata())?;
        let mut orders = request.into_inner();
        let serve_all = async {
            let mut bill = Bill::default();
            while let Some(order) = orders.message().await? {
                let dish = cook(order).await?;
                bill.dishes += 1;
                bill.total += 100 * dish.dish.len() as u64; // A dish costs one euro per letter.
            }
            Ok(bill)
        };
        within(limit, serve_all).await.map(Response::new)
    }

    /// Up to eight dishes are cooked at the same time. While there are eight, no further order is
    /// read, and the client waits.
    async fn table(
        &self,
        request: Request<Streaming<Order>>,
    ) -> Result<Response<Self::TableStream>, Status> {
        let dishes =
            request.into_inner().map(|order| async { cook(order?).await }).buffer_unordered(8);
        Ok(Response::new(dishes.boxed()))
    }
}

fn check(order: Order) -> Result<Order, Status> {
    if order.dish.is_empty() {
        return Err(Status::invalid_argument("an order needs the name of a dish"));
    }
    if Duration::from_millis(order.millis.into()) > LONGEST {
        return Err(Status::invalid_argument(format!(
            "{} takes longer than {LONGEST:?}",
            order.dish
        )));
    }
    Ok(order)
}

async fn cook(order: Order) -> Result<Dish, Status> {
    let order = check(order)?;
    sleep(Duration::from_millis(order.millis.into())).await;
    info!("cooked {}", order.dish);
    Ok(Dish { dish: order.dish })
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let over = |_| Err(Status::deadline_exceeded(format!("it was not done within {limit:?}")));
    timeout(limit, call).await.unwrap_or_else(over)
}

/// The client's time limit for the call, from the header `grpc-timeout`: at most eight digits and a
/// unit (the specification is "gRPC over HTTP2", "Timeout"). Only tonic's transport reads it by
/// itself.
fn deadline(metadata: &MetadataMap) -> Result<Duration, Status> {
    let Some(value) = metadata.get("grpc-timeout") else { return Ok(LONGEST) };
    let malformed = || Status::invalid_argument(format!("malformed grpc-timeout: {value:?}"));
    let text = value.to_str().map_err(|_| malformed())?;
    let (number, unit) =
        text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(malformed)?;
    let is_number =
        (1..=8).contains(&number.len()) && number.bytes().all(|digit| digit.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| is_number).ok_or_else(malformed)?;
    let limit = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return Err(malformed()),
    };
    Ok(limit.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_number_of_at_most_eight_digits_and_a_unit() {
        let read = |text: &'static str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            deadline(&metadata).map_err(|status| status.code())
        };
        assert_eq!(deadline(&MetadataMap::new()).unwrap(), LONGEST);
        assert_eq!(read("500m").unwrap(), Duration::from_millis(500));
        assert_eq!(read("3S").unwrap(), Duration::from_secs(3));
        assert_eq!(read("99999999H").unwrap(), LONGEST);
        for malformed in ["", "S", "5", "123456789S", "+5S", "5s", "5.0S", "-1S"] {
            assert_eq!(read(malformed), Err(tonic::Code::InvalidArgument), "{malformed:?}");
        }
    }
}
