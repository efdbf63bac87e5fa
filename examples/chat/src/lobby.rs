//! The lobby: one task that knows all rooms. It opens rooms, and spawns a session for each client.
//! # Why handlers use a channel
//!
//! axum requires its handlers to be `Send`, because in other runtimes they run on many threads. The
//! channels and groups of headwaiter belong to one thread and are not `Send`. So the handlers hold
//! only the sender of a channel that is `Send`, and the lobby has the receiver. Each piece of state
//! is owned by one task, to which other tasks send messages: the lobby owns the list of rooms, a
//! room owns its members, and a session owns its socket. So no locks are needed, and a panic in one
//! room does not affect the others.
//!
//! (`send_wrapper` is an alternative: with it, the handlers can hold state that is not `Send`; it
//! panics if they use that on another thread.)

use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use headwaiter::sync::mpsc::{self, error::SendError};
use headwaiter::task::{self, CancelToken, TaskGroup};
use hyper::upgrade::OnUpgrade;
use log::info;
use serde::Serialize;

use crate::room::{self, Event, Member, QUEUE};
use crate::session::{Seat, Session};
use crate::websocket::{Refusal, refuse};

/// The maximum number of rooms.
const ROOMS: usize = 100;

/// The maximum number of characters in the name of a room or of a client.
const NAME: usize = 24;

/// A message from a handler.
pub enum Ask {
    Enter(Visit),
    Rooms(async_channel::Sender<Vec<Listed>>),
}

/// A client whose WebSocket is being opened.
pub struct Visit {
    pub peer: SocketAddr,
    pub room: String,
    pub name: String,
    pub upgrade: OnUpgrade,
}

/// A room in the answer to `/rooms`.
#[derive(Serialize)]
pub struct Listed {
    name: String,
    members: usize,
}

/// Runs until all senders of `asks` are dropped and all sessions have ended. Dropping this future
/// ends the sessions.
pub async fn run(asks: async_channel::Receiver<Ask>, patience: Duration, closing: CancelToken) {
    // Each session fails alone: a panic is logged, and only that client loses its connection.
    let sessions = TaskGroup::<Infallible>::isolated();
    let mut rooms = Rooms::default();
    let mut last_id = 0;
    while let Ok(ask) = asks.recv().await {
        match ask {
            Ask::Enter(Visit { peer, room, name, upgrade }) => {
                last_id += 1;
                let (room, name) = (room.trim(), name.trim());
                let seat = rooms.enter(last_id, room, name, closing.child()).await;
                // `{:?}` escapes the name: one that is refused may contain line breaks and other
                // control characters.
                let label = format!("{name:?} in {room:?} ({peer})");
                let session = Session { label, upgrade, seat, patience, closing: closing.clone() };
                task::Builder::new()
                    .name(session.label.as_str())
                    .spawn_in(&sessions, session.run());
            }
            // Fails if the client, and so its handler, is gone.
            Ask::Rooms(answer) => _ = answer.try_send(rooms.list()),
        }
    }
    // An isolated group has no error to return.
    let _ = sessions.join().await;
}

#[derive(Default)]
struct Rooms(BTreeMap<String, Room>);

struct Room {
    events: mpsc::Sender<Event>,
    /// The number of members. Only the room writes it.
    members: Rc<Cell<usize>>,
}

impl Rooms {
    /// Adds a client to a room, and opens the room if needed. The room answers through the queue.
    async fn enter(
        &mut self,
        id: u64,
        room: &str,
        name: &str,
        stop: CancelToken,
    ) -> Result<Seat, Refusal> {
        check(room)?;
        check(name)?;
        let (queue, outgoing) = mpsc::channel(QUEUE);
        let member = Member { id, name: name.to_owned(), queue, stop: stop.clone() };
        let mut join = Event::Join(member);
        loop {
            let events = self.open(room)?;
            match events.send(join).await {
                Ok(()) => return Ok(Seat { id, events, outgoing, stop }),
                // The task of the room has panicked. The next iteration opens the room again.
                Err(SendError(not_sent)) => join = not_sent,
            }
        }
    }

    fn open(&mut self, name: &str) -> Result<mpsc::Sender<Event>, Refusal> {
        self.forget_closed();
        if let Some(room) = self.0.get(name) {
            return Ok(room.events.clone());
        }
        if self.0.len() >= ROOMS {
            return Err(refuse(
                CloseCode::Again,
                "there are too many rooms: try again later, or enter one of them",
            ));
        }
        info!("room {name:?} opens");
        let (events, incoming) = mpsc::channel(room::EVENTS);
        let members = Rc::new(Cell::new(0));
        // Dropping the handle detaches the task. It ends by itself, and a panic is logged.
        let room = room::run(name.to_owned(), incoming, Rc::clone(&members));
        drop(task::Builder::new().name(format!("room {name}")).spawn(room));
        self.0.insert(name.to_owned(), Room { events: events.clone(), members });
        Ok(events)
    }

    fn list(&mut self) -> Vec<Listed> {
        self.forget_closed();
        let listed = |(name, room): (&String, &Room)| Listed {
            name: name.clone(),
            members: room.members.get(),
        };
        self.0.iter().map(listed).collect()
    }

    fn forget_closed(&mut self) {
        self.0.retain(|_, room| !room.events.is_closed());
    }
}

fn check(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        Err(refuse(CloseCode::Policy, "a name has at least one character"))
    } else if name.chars().count() > NAME {
        Err(refuse(CloseCode::Policy, format!("a name has at most {NAME} characters")))
    } else if name.chars().any(char::is_control) {
        Err(refuse(CloseCode::Policy, "a name has no control characters"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use async_tungstenite::tungstenite::Message;
    use headwaiter::time::sleep;
    use headwaiter::{Clock, EventLoop};
    use serde_json::{Value, json};

    use super::*;

    async fn next(seat: &mut Seat) -> Value {
        let Some(Message::Text(text)) = seat.outgoing.recv().await else { panic!("no message") };
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_room_closes_with_its_history_once_it_has_been_empty_for_a_minute() -> io::Result<()> {
        EventLoop::builder().clock(Clock::Virtual).build()?.block_on(async {
            let mut rooms = Rooms::default();
            let mut ada = rooms.enter(1, "kitchen", "Ada", CancelToken::new()).await.unwrap();
            assert_eq!(next(&mut ada).await["members"], json!(["Ada"]));
            ada.events.send(Event::Say { id: 1, text: "soup".into() }).await.unwrap();
            assert_eq!(next(&mut ada).await["text"], "soup");
            // The room stays open while it has a member, even without messages.
            sleep(Duration::from_secs(3600)).await;
            drop(ada);

            // The member returned before the room closed.
            sleep(Duration::from_secs(59)).await;
            let mut ben = rooms.enter(2, "kitchen", "Ben", CancelToken::new()).await.unwrap();
            assert_eq!(next(&mut ben).await["members"], json!(["Ben"]));
            assert_eq!(next(&mut ben).await["text"], "soup");
            drop(ben);

            sleep(Duration::from_secs(61)).await;
            assert!(rooms.list().is_empty());
            let mut cleo = rooms.enter(3, "kitchen", "Cleo", CancelToken::new()).await.unwrap();
            assert_eq!(next(&mut cleo).await["members"], json!(["Cleo"]));
            assert!(cleo.outgoing.try_recv().is_err());
            Ok(())
        })
    }
}
