//! A tour of what a client can do with a server.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use redis::{AsyncCommands, ConnectionInfo, InfoDict, RedisError, SetExpiry, SetOptions, pipe};

use crate::client::{Client, Error};

pub async fn tour(client: &Client, info: ConnectionInfo, requests: usize) -> Result<(), Error> {
    let server: InfoDict =
        client.call(async |mut redis| redis::cmd("INFO").query_async(&mut redis).await).await?;
    println!(
        "the server is Redis {}, or says so",
        server.get("redis_version").unwrap_or_else(|| "?".to_owned())
    );

    set_and_get(client).await?;
    pipeline(client).await?;
    in_flight(client, requests).await?;
    publish(client).await?;
    out_of_time(info).await
}

async fn set_and_get(client: &Client) -> Result<(), Error> {
    let soup: Option<String> = client
        .call(async |mut redis| {
            let for_a_minute = SetOptions::default().with_expiration(SetExpiry::EX(60));
            let () = redis.set_options("kv_client:soup", "hot", for_a_minute).await?;
            redis.get("kv_client:soup").await
        })
        .await?;
    println!("the soup is {}", soup.as_deref().unwrap_or("gone"));
    Ok(())
}

/// A pipeline sends many commands together, and receives their replies together.
async fn pipeline(client: &Client) -> Result<(), Error> {
    let (soups, cakes, all): (i64, i64, Vec<i64>) = client
        .call(async |mut redis| {
            let mut orders = pipe();
            orders.del(&["kv_client:soups", "kv_client:cakes"]).ignore();
            orders.incr("kv_client:soups", 2).incr("kv_client:cakes", 1);
            orders.mget(&["kv_client:soups", "kv_client:cakes"]);
            orders.query_async(&mut redis).await
        })
        .await?;
    println!(
        "commands in one pipeline: {soups} soups, {cakes} cake, together {}",
        all.iter().sum::<i64>()
    );
    Ok(())
}

/// Concurrent requests share the connection: they are sent together and answered together.
async fn in_flight(client: &Client, requests: usize) -> Result<(), Error> {
    let count = || client.call(async |mut redis| redis.incr("kv_client:count", 1).await);
    let took = |began: Instant| {
        let time = began.elapsed();
        format!(
            "{:.1} ms, {:.1} us each",
            time.as_secs_f64() * 1e3,
            time.as_secs_f64() * 1e6 / requests as f64
        )
    };
    let () = client.call(async |mut redis| redis.del("kv_client:count").await).await?;

    let began = Instant::now();
    for _ in 0..requests {
        let _: i64 = count().await?;
    }
    println!("{requests} requests one after another: {}", took(began));

    let began = Instant::now();
    let counts: Vec<i64> = try_join_all((0..requests).map(|_| count())).await?;
    println!("{requests} requests at once: {}", took(began));
    println!("the count is {}", counts.into_iter().max().unwrap_or_default());
    Ok(())
}

/// Messages arrive on the same connection as replies.
async fn publish(client: &Client) -> Result<(), Error> {
    let mut orders = client.subscribe("kv_client:orders").await?;
    for order in ["soup", "cake"] {
        let receivers: i64 =
            client.call(async |mut redis| redis.publish("kv_client:orders", order).await).await?;
        println!("published {order}, received by {receivers}");
    }
    for _ in 0..2 {
        if let Some(message) = orders.recv().await {
            println!("received {}", String::from_utf8_lossy(message.get_payload_bytes()));
        }
    }
    client.unsubscribe("kv_client:orders").await
}

/// A blocking command delays all other requests on its connection, so it gets a connection of its
/// own.
async fn out_of_time(info: ConnectionInfo) -> Result<(), Error> {
    let own = Client::connect(info).await?;
    let began = Instant::now();
    let wait = Duration::from_secs(30).as_secs_f64();
    let result: Result<Option<(String, String)>, _> =
        own.call(async |mut redis| redis.blpop("kv_client:nothing", wait).await).await;
    match result {
        Err(Error::Late) => {
            println!(
                "a request without an answer timed out after {:.1} s",
                began.elapsed().as_secs_f64()
            );
        }
        Err(Error::Redis(error)) if is_unknown_command(&error) => {
            println!("the server has no blocking commands");
        }
        Err(error) => return Err(error),
        Ok(_) => println!("an unexpected answer"),
    }
    Ok(())
}

fn is_unknown_command(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.starts_with("unknown command"))
}
