//! A room: one task that owns its members and its history. Sessions send it [`Event`]s, and it
//! sends messages to the queues of its members. A room never waits for a client. It puts each
//! message into the queues of all members (which share its bytes), and removes a member whose queue
//! is full. So a client that does not read cannot delay others, and its memory is bounded.
//!
//! The messages are JSON. The first one has the type `welcome` (with `room`, `name` and `members`).
//! Then follow the history and the events: `message` (`name`, `text`, and `at` in milliseconds
//! since 1970), `joined` and `left` (`name`).

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::Utf8Bytes;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use headwaiter::sync::mpsc::{self, error::TrySendError};
use headwaiter::task::CancelToken;
use headwaiter::time::timeout;
use log::info;
use serde_json::{Value, json};

use crate::websocket::{Refusal, refuse};

/// The maximum number of members in a room.
const MEMBERS: usize = 500;

/// How many earlier messages a new member receives.
const HISTORY: usize = 50;

/// A room that has been empty for this long closes and forgets its history.
const EMPTY: Duration = Duration::from_secs(60);

/// The capacity of a room's queue of events. If it is full, senders wait.
pub const EVENTS: usize = 64;

/// The capacity of a client's queue of messages. It must be larger than the history and [`EVENTS`]
/// together, because a room may handle that many events before the session runs. A smaller queue
/// could be full without any fault of the client.
pub const QUEUE: usize = 256;

pub enum Event {
    Join(Member),
    Say { id: u64, text: Utf8Bytes },
    Leave { id: u64 },
}

pub struct Member {
    pub id: u64,
    pub name: String,
    /// The queue to the member's session. A close frame in it means that the room refuses the
    /// member.
    pub queue: mpsc::Sender<Message>,
    /// Cancelled when the queue is full. The session may be blocked in a write, where it does not
    /// read its queue.
    pub stop: CancelToken,
}

/// Runs a room until it has been empty for some time.
pub async fn run(name: String, mut events: mpsc::Receiver<Event>, count: Rc<Cell<usize>>) {
    let mut room = Room { name, members: BTreeMap::new(), history: VecDeque::new() };
    loop {
        match timeout(EMPTY, events.recv()).await {
            Ok(Some(Event::Join(member))) => room.join(member),
            Ok(Some(Event::Say { id, text })) => room.say(id, &text),
            Ok(Some(Event::Leave { id })) => room.leave(id),
            Ok(None) => return, // The server has ended.
            Err(_) if room.members.is_empty() => {
                // No event is lost: the channel is empty, this return closes it, and the lobby
                // checks that.
                info!("room {:?} has been empty for {EMPTY:?} and closes", room.name);
                return;
            }
            Err(_) => {}
        }
        count.set(room.members.len());
    }
}

struct Room {
    name: String,
    /// Sorted by id, and so by the order of arrival.
    members: BTreeMap<u64, Member>,
    history: VecDeque<Message>,
}

impl Room {
    fn join(&mut self, member: Member) {
        if let Err(refusal) = self.admit(&member) {
            // This cannot fail: the queue is empty.
            let _ = member.queue.try_send(Message::Close(Some(refusal)));
            return;
        }
        let mut members: Vec<_> = self.members.values().map(|member| &*member.name).collect();
        members.push(&member.name);
        let welcome = json!({ "type": "welcome", "room": self.name, "name": member.name, "members": members });
        // This cannot fail either: the queue is larger than the history.
        for message in [text(&welcome)].into_iter().chain(self.history.iter().cloned()) {
            let _ = member.queue.try_send(message);
        }
        self.tell(json!({ "type": "joined", "name": member.name }));
        self.members.insert(member.id, member);
    }

    fn admit(&self, newcomer: &Member) -> Result<(), Refusal> {
        if self.members.len() >= MEMBERS {
            return Err(refuse(
                CloseCode::Again,
                "this room is full: try again later, or enter another",
            ));
        }
        let name = newcomer.name.to_lowercase();
        if self.members.values().any(|member| member.name.to_lowercase() == name) {
            return Err(refuse(CloseCode::Policy, "this name is taken in this room"));
        }
        Ok(())
    }

    fn say(&mut self, id: u64, said: &str) {
        // A removed or refused member may still send until its session learns of that.
        let Some(member) = self.members.get(&id) else { return };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let message = json!({ "type": "message", "name": member.name, "text": said, "at": now.as_millis() as u64 });
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(text(&message));
        self.tell(message);
    }

    fn leave(&mut self, id: u64) {
        if let Some(member) = self.members.remove(&id) {
            self.tell(json!({ "type": "left", "name": member.name }));
        }
    }

    /// Puts a message into the queue of each member. Removes members whose queue is full, and
    /// notifies the others.
    fn tell(&mut self, message: Value) {
        let mut messages = vec![message];
        while let Some(message) = messages.pop() {
            let message = text(&message);
            self.members.retain(|_, member| match member.queue.try_send(message.clone()) {
                Err(TrySendError::Full(_)) => {
                    member.stop.cancel();
                    messages.push(json!({ "type": "left", "name": member.name }));
                    false
                }
                // If its queue is closed, its session has ended. Its last messages and its `Leave`
                // may still be in flight.
                Ok(()) | Err(TrySendError::Closed(_)) => true,
            });
        }
    }
}

fn text(message: &Value) -> Message {
    Message::text(message.to_string())
}
