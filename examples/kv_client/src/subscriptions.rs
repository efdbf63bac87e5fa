//! The receivers of each channel's messages.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use log::warn;
use redis::aio::{AsyncPushSender, SendError};
use redis::{Msg, PushInfo};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// How many messages may wait for a receiver. Further messages are discarded. The alternative would
/// be to stop reading, but that would also stop the replies on the same connection.
const MAX_WAITING: usize = 1000;

/// The crate `redis` requires the receiver of messages to be `Send` and `Sync`. Hence the `Arc`,
/// the `Mutex`, and the channels of tokio, which need no runtime. All of this is used on one
/// thread.
#[derive(Clone, Default)]
pub struct Subscriptions(Arc<Mutex<HashMap<String, mpsc::Sender<Msg>>>>);

impl Subscriptions {
    pub fn add(&self, channel: &str) -> mpsc::Receiver<Msg> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        self.with(|all| all.insert(channel.to_owned(), sender));
        receiver
    }

    pub fn remove(&self, channel: &str) {
        self.with(|all| all.remove(channel));
    }

    pub fn channels(&self) -> Vec<String> {
        self.with(|all| all.keys().cloned().collect())
    }

    /// Returns the function that the connection calls with each message.
    pub fn receiver(&self) -> impl AsyncPushSender + use<> {
        let this = self.clone();
        move |push: PushInfo| {
            this.deliver(push);
            Ok::<(), SendError>(())
        }
    }

    fn deliver(&self, push: PushInfo) {
        // There are other messages, for example the confirmation of a subscription.
        let Some(message) = Msg::from_push_info(push) else { return };
        let channel = message.get_channel_name().to_owned();
        let Some(sender) = self.with(|all| all.get(&channel).cloned()) else { return };
        match sender.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                warn!("a message of {channel:?} was discarded: {MAX_WAITING} are waiting already");
            }
            Err(TrySendError::Closed(_)) => self.remove(&channel),
        }
    }

    fn with<R>(&self, f: impl FnOnce(&mut HashMap<String, mpsc::Sender<Msg>>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::{PushKind, Value};

    fn message(channel: &str, text: &str) -> PushInfo {
        let data = [channel, text].map(|part| Value::BulkString(part.into())).to_vec();
        PushInfo { kind: PushKind::Message, data }
    }

    #[test]
    fn messages_go_to_their_channel_while_they_are_received_there() {
        let (all, other) = (Subscriptions::default(), message("cake", "sweet"));
        let mut soups = all.add("soup");
        let receiver = all.receiver();
        receiver.send(message("soup", "hot")).unwrap();
        receiver.send(other).unwrap();
        assert_eq!(soups.try_recv().unwrap().get_payload_bytes(), b"hot");
        assert!(soups.try_recv().is_err());
        drop(soups);
        receiver.send(message("soup", "hot")).unwrap();
        assert_eq!(all.channels(), Vec::<String>::new());
    }

    #[test]
    fn no_more_messages_wait_than_may() {
        let all = Subscriptions::default();
        let mut soups = all.add("soup");
        for n in 0..2 * MAX_WAITING {
            all.deliver(message("soup", &n.to_string()));
        }
        for n in 0..MAX_WAITING {
            assert_eq!(soups.try_recv().unwrap().get_payload_bytes(), n.to_string().as_bytes());
        }
        assert!(soups.try_recv().is_err());
    }
}
