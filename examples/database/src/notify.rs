//! LISTEN and NOTIFY: receives notifications as they arrive.

use std::error::Error as AnyError;
use std::rc::Rc;
use std::time::Duration;

use headwaiter::sync::mpsc;
use headwaiter::time::timeout;
use tokio_postgres::Config;

use crate::STATEMENT_TIMEOUT;
use crate::connect::connect;
use crate::error::Error;
use crate::pool::Pool;

const ORDERS: [&str; 3] = ["soup", "fish", "cake"];
const PATIENCE: Duration = Duration::from_secs(5);

pub async fn show(config: &Config, pool: &Rc<Pool>) -> Result<(), Box<dyn AnyError>> {
    // Uses a separate connection, because a connection that is returned to the pool would continue
    // to listen.
    let (sender, mut notifications) = mpsc::channel(64);
    let listener = connect(config, Some(sender)).await?;
    listener
        .client
        .batch_execute("listen kitchen")
        .await
        .map_err(|error| listener.explain(error))?;

    let ordering = headwaiter::spawn(order(Rc::clone(pool)));
    for _ in ORDERS {
        // `None` means that the connection is lost. A long-running program would connect and LISTEN
        // again. The server keeps no notifications for disconnected clients, so store important
        // ones in a table too.
        match timeout(PATIENCE, notifications.recv()).await {
            Ok(Some(told)) => {
                println!(
                    "{}: {:?}, from backend {}",
                    told.channel(),
                    told.payload(),
                    told.process_id()
                );
            }
            Ok(None) => return Err("the connection that listens is lost".into()),
            Err(_) => return Err(format!("no notification within {PATIENCE:?}").into()),
        }
    }
    ordering.await??;
    listener.close().await;
    Ok(())
}

/// The first two are sent immediately, the third one when its transaction commits.
async fn order(pool: Rc<Pool>) -> Result<(), Error> {
    let notify = "select pg_notify('kitchen', $1)";
    let mut waiter = pool.get().await?;
    let work = waiter.run(STATEMENT_TIMEOUT, async |client| {
        for order in &ORDERS[..2] {
            client.execute(notify, &[order]).await?;
        }
        let transaction = client.transaction().await?;
        transaction.execute(notify, &[&ORDERS[2]]).await?;
        transaction.commit().await
    });
    work.await
}
