//! A room: one task that owns its members and its history. Sessions send it [`Event`]s, and it sends messages to the queues of its members.
//!
//! It never waits for a client. It puts a message into the queue of each member (they share its bytes), and removes a member whose queue is
//! full. So a client that does not read delays no other, and the memory that it costs is bounded.
//!
//! The messages are JSON. The first one is of the type `welcome` (with `room`, `name` and `members`), then follows the history, and from
//! then on what happens: `message` (`name`, `text`, and `at` in milliseconds since 1970), `joined` and `left` (`name`).

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

/// How many members a room may have.
const MEMBERS: usize = 500;

/// How many messages a newcomer is shown.
const HISTORY: usize = 50;

/// A room closes when it has been empty for so long, and forgets its history.
const EMPTY: Duration = Duration::from_secs(60);

/// How many events may wait for a room. While there are so many, senders wait.
pub const EVENTS: usize = 64;

/// How many messages may wait for a client. It has to be more than the history and [`EVENTS`] together: a room may handle that many events
/// before a session has its turn, and then a full queue would not be the fault of the client.
pub const QUEUE: usize = 256;

pub enum Event {
    Join(Member),
    Say { id: u64, text: Utf8Bytes },
    Leave { id: u64 },
}

pub struct Member {
    pub id: u64,
    pub name: String,
    /// Leads to its session. A close frame in it says that the room refuses the member.
    pub queue: mpsc::Sender<Message>,
    /// Cancelled when the queue is full. The session may be waiting in a write, where it does not look into its queue.
    pub stop: CancelToken,
}

/// Serves a room until it has been empty for some time.
pub async fn run(name: String, mut events: mpsc::Receiver<Event>, count: Rc<Cell<usize>>) {
    let mut room = Room { name, members: BTreeMap::new(), history: VecDeque::new() };
    loop {
        match timeout(EMPTY, events.recv()).await {
            Ok(Some(Event::Join(member))) => room.join(member),
            Ok(Some(Event::Say { id, text })) => room.say(id, &text),
            Ok(Some(Event::Leave { id })) => room.leave(id),
            Ok(None) => return, // The server has ended.
            Err(_) if room.members.is_empty() => {
                // No event is lost: the channel was empty just now, and closes with this return, which the lobby checks.
                info!("room {:?} has been empty for {EMPTY:?}, and closes", room.name);
                return;
            }
            Err(_) => {}
        }
        count.set(room.members.len());
    }
}

struct Room {
    name: String,
    /// By their ids, and so in the order in which they came.
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
        // A member that was removed, or refused, may still send until its session knows.
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

    /// Puts a message into the queue of each member. Those whose queue is full are removed, and the others are told.
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
                // If its queue is closed, its session has ended. What it has said and its `Leave` may still be on the way.
                Ok(()) | Err(TrySendError::Closed(_)) => true,
            });
        }
    }
}

fn text(message: &Value) -> Message {
    Message::text(message.to_string())
}
