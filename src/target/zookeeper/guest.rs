//! A client that is several people: it makes nodes with access lists as one of them, and then asks for what each of them
//! may and may not do, on one server after the other.
//!
//! Who has the right and who has not is decided by the list that the node was made with. One kind of node is open at first
//! and closed by `setACL`: from that transaction on it must be closed everywhere, and a server that has not heard of it
//! shows so by the transaction of its answer. Each person keeps one session and says who it is (`addauth`) anew on each
//! connection.

use super::client::{SESSION_MS, create};
use super::code::Code;
use super::session::{Session as State, Stage};
use super::talk::{Lost, Talk};
use super::wire::{ANY_VERSION, Acl, CreateMode, Request};
use super::worker::{ANSWER, Epochs, Worker};
use crate::history::{Answered, Demand, Must};
use crate::run::task::Io;
use crate::run::world::Shared;
use crate::time::Millis;

/// Where the nodes are.
const HALL: &str = "/acl";
const PACE: Millis = Millis(60);
/// How many requests are made as one person before the next.
const REQUESTS: u64 = 5;
/// After how many turns of people a node is given up for another one.
const TURNS: u64 = 4;

/// Those who ask. The first made the node.
const PEOPLE: [Person; 4] = [
    Person { name: "its owner", proof: Some("keeper:open") },
    Person { name: "nobody in particular", proof: None },
    Person { name: "its owner's name with another password", proof: Some("keeper:shut") },
    Person { name: "somebody else", proof: Some("guest:open") },
];
/// `keeper:` and the SHA-1 of `keeper:open`.
const OWNER_DIGEST: &str = "keeper:MqER+rMgWp8Tdx5nRhQaEhn5gjk=";

struct Person {
    name: &'static str,
    proof: Option<&'static str>,
}

/// How a node is guarded: what its list says, and what that leaves the owner and the others, as sums of rights.
struct Guarded {
    scheme: &'static str,
    id: &'static str,
    permissions: i32,
    owner: i32,
    others: i32,
    /// It begins open to everybody and is closed by its owner.
    closed_later: bool,
}

const READ: i32 = 1;
const WRITE: i32 = 2;
const CREATE: i32 = 4;
const DELETE: i32 = 8;
const ADMIN: i32 = 16;

const KINDS: [Guarded; 7] = [
    Guarded {
        scheme: "auth",
        id: "",
        permissions: Acl::ALL,
        owner: Acl::ALL,
        others: 0,
        closed_later: false,
    },
    Guarded {
        scheme: "digest",
        id: OWNER_DIGEST,
        permissions: Acl::ALL,
        owner: Acl::ALL,
        others: 0,
        closed_later: false,
    },
    Guarded {
        scheme: "digest",
        id: OWNER_DIGEST,
        permissions: READ | CREATE,
        owner: READ | CREATE,
        others: 0,
        closed_later: false,
    },
    Guarded {
        scheme: "world",
        id: "anyone",
        permissions: READ,
        owner: READ,
        others: READ,
        closed_later: false,
    },
    // Addresses that are kept for documentation, whence nobody comes; and all there are.
    Guarded {
        scheme: "ip",
        id: "203.0.113.0/24",
        permissions: Acl::ALL,
        owner: 0,
        others: 0,
        closed_later: false,
    },
    Guarded {
        scheme: "ip",
        id: "0.0.0.0/0",
        permissions: READ | WRITE,
        owner: READ | WRITE,
        others: READ | WRITE,
        closed_later: false,
    },
    Guarded {
        scheme: "digest",
        id: OWNER_DIGEST,
        permissions: Acl::ALL,
        owner: Acl::ALL,
        others: 0,
        closed_later: true,
    },
];

impl Guarded {
    fn acl(&self) -> Vec<Acl> {
        vec![Acl { permissions: self.permissions, scheme: self.scheme.into(), id: self.id.into() }]
    }
    fn may(&self, person: usize, right: i32) -> bool {
        let rights = if person == 0 { self.owner } else { self.others };
        rights & right != 0
    }
}

/// A node that is there, and from which transaction on its list is in force.
struct Room {
    path: String,
    kind: &'static Guarded,
    since: i64,
}

struct Guest {
    me: Worker,
    /// Each person's session while it has no connection.
    sessions: Vec<State>,
    room: Option<Room>,
}

fn session(person: &Person) -> State {
    let mut state = State::new(SESSION_MS);
    if let Some(proof) = person.proof {
        state.identify("digest", proof.as_bytes(), &mut Vec::new());
    }
    state
}

/// Asks for as long as there is load.
pub async fn ask(io: Io, world: Shared, number: u32, epochs: Epochs) {
    let sessions = PEOPLE.iter().map(session).collect();
    let mut guest = Guest { me: Worker::new(io, world, "guests", number, epochs), sessions, room: None };
    while !guest.me.stopped() {
        guest.turn().await;
        guest.me.count += 1;
        guest.me.io.sleep(PACE).await;
    }
}

impl Guest {
    /// One person's turn, on one server. Nobody else has one before there is a node.
    async fn turn(&mut self) {
        if u64::from(self.me.count) % TURNS == 0 {
            self.room = None;
        }
        let person =
            if self.room.is_none() { 0 } else { (self.me.word("person", 0) % PEOPLE.len() as u64) as usize };
        self.me.go_on();
        let node = self.me.next();
        let state = std::mem::replace(&mut self.sessions[person], session(&PEOPLE[person]));
        let mut talk = match self.me.open(node, state).await {
            Ok(talk) => talk,
            Err((state, _)) => return self.keep(person, state),
        };
        let came = self.requests(person, &mut talk).await;
        if came.is_err() {
            self.me.avoid(node);
        }
        self.keep(person, talk.part());
    }

    fn keep(&mut self, person: usize, state: State) {
        if state.stage == Stage::Apart {
            self.sessions[person] = state;
        }
    }

    async fn requests(&mut self, person: usize, talk: &mut Talk) -> Result<(), Lost> {
        if self.room.is_none() {
            self.room = self.furnish(talk).await?;
        }
        let Some(room) = self.room.take() else { return Ok(()) };
        for place in 0..REQUESTS {
            self.request(person, &room, talk, place).await?;
        }
        self.room = Some(room);
        Ok(())
    }

    /// Makes a node with a child; nothing where somebody else's word stands against it.
    async fn furnish(&mut self, talk: &mut Talk) -> Result<Option<Room>, Lost> {
        let kind = &KINDS[(self.me.word("kind", 0) % KINDS.len() as u64) as usize];
        let deadline = self.me.io.after(ANSWER);
        match talk.ask(create(HALL.into(), Vec::new()), deadline).await {
            Ok(_) | Err(Lost::Refused(Code::NODE_EXISTS)) => {}
            Err(lost) => return Err(lost),
        }
        let path = format!("{HALL}/g{}.{}", self.me.number, self.me.count);
        let mode = CreateMode::Persistent;
        let open = vec![Acl::everybody(Acl::ALL)];
        let acl = if kind.closed_later { open.clone() } else { kind.acl() };
        let make = |path: String, acl| Request::Create { path, data: b"mine".to_vec(), acl, mode };
        let (_, mut since) = talk.ask(make(path.clone(), acl), deadline).await?;
        // A list that lets nobody create has no child.
        match talk.ask(make(format!("{path}/child"), open), deadline).await {
            Ok(_) | Err(Lost::Refused(Code::NO_AUTH)) => {}
            Err(lost) => return Err(lost),
        }
        if kind.closed_later {
            let close = Request::SetAcl { path: path.clone(), acl: kind.acl(), version: ANY_VERSION };
            (_, since) = talk.ask(close, deadline).await?;
        }
        self.me.epochs.heard(since);
        Ok(Some(Room { path, kind, since }))
    }

    /// One request that needs one right of the node.
    async fn request(&mut self, person: usize, room: &Room, talk: &mut Talk, place: u64) -> Result<(), Lost> {
        let path = room.path.clone();
        let number = self.me.count;
        let (what, right, request) = match self.me.word("request", place) % 8 {
            0 | 1 => ("getData", READ, Request::GetData { path, watch: false }),
            2 => ("getChildren", READ, Request::GetChildren { path, watch: false }),
            3 | 4 => {
                let data = format!("by {person} in {number}").into_bytes();
                ("setData", WRITE, Request::SetData { path, data, version: ANY_VERSION })
            }
            5 => ("create below", CREATE, create(format!("{path}/{number}.{place}"), Vec::new())),
            6 => {
                let path = format!("{path}/child");
                ("delete below", DELETE, Request::Delete { path, version: ANY_VERSION })
            }
            // The same list once more.
            _ => ("setACL", ADMIN, Request::SetAcl { path, acl: room.kind.acl(), version: ANY_VERSION }),
        };
        let may = room.kind.may(person, right);
        let deadline = self.me.io.after(ANSWER);
        let sent = self.me.stamp();
        let synced = talk.send(Request::Sync { path: HALL.into() });
        let asked = talk.send(request);
        let sync = talk.answer(synced, deadline).await;
        let answer = match sync {
            Err(lost @ (Lost::Call(_) | Lost::Odd(_) | Lost::Expired)) => Err(lost),
            _ => talk.answer(asked, deadline).await,
        };
        let (said, came) = match answer {
            Ok((_, zxid)) => {
                self.me.epochs.heard(zxid);
                (Answered::Done(zxid), Ok(()))
            }
            Err(Lost::Refused(code)) if code.refused() && code != Code::SESSION_EXPIRED => {
                (Answered::Refused(code.to_string()), Ok(()))
            }
            Err(lost) => (Answered::Unknown(lost.to_string()), Err(lost)),
        };
        let back = self.me.stamp();
        let Guarded { scheme, id, permissions, .. } = room.kind;
        self.me.world.borrow_mut().demands.push(Demand {
            by: format!("guest {} as {}", self.me.number, PEOPLE[person].name),
            what: format!("{what} of {} ({scheme}:{id}:{permissions})", room.path),
            must: if may { Must::Grant } else { Must::Refuse },
            words: vec![Code::NO_AUTH.to_string()],
            since: room.since,
            node: talk.node(),
            sent,
            back,
            said,
        });
        came
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_and_the_others_may_what_the_list_says() {
        let [all, .., closed] = &KINDS;
        assert!(all.may(0, ADMIN) && !all.may(1, READ) && !all.may(2, READ));
        assert!(closed.closed_later && closed.may(0, WRITE) && !closed.may(3, WRITE));
        for kind in &KINDS {
            assert_eq!((kind.owner | kind.others) & !kind.permissions, 0, "{}:{}", kind.scheme, kind.id);
        }
        assert!(
            PEOPLE.iter().enumerate().all(|(place, person)| place == 0 || person.proof != PEOPLE[0].proof)
        );
    }
}
