//! Counts once per second and prints published messages until Ctrl-C, even if the server goes away
//! and comes back.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::select;
use headwaiter::task::CancelToken;
use headwaiter::time::{MissedTickBehavior, interval};
use log::warn;
use redis::AsyncCommands;

use crate::client::Client;

pub async fn watch(client: &Client, closing: CancelToken) {
    let mut orders = match client.subscribe("kv_client:orders").await {
        Ok(orders) => orders,
        Err(error) => return warn!("cannot subscribe: {error}"),
    };
    let listen = async {
        while let Some(message) = orders.recv().await {
            println!("ordered: {}", String::from_utf8_lossy(message.get_payload_bytes()));
        }
    };
    let count = async {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match client.call(async |mut redis| redis.incr("kv_client:count", 1).await).await {
                Ok::<i64, _>(count) => println!("counted to {count}"),
                Err(error) => warn!("probably not counted: {error}"),
            }
        }
    };
    println!("counting, and listening to kv_client:orders; Ctrl-C ends this");
    let _ = closing.run(select(pin!(listen), pin!(count))).await;
    println!("closed");
}
