//! What nodes said to one another on the cluster bus, without who they are: for each node the order of what it sent and
//! got, in ones, twos and threes. Pure, and cheap enough for every run: the gossip, which is nearly all of it, is passed
//! but for what tells a node of an epoch that it had not heard of.

use super::NodeId;
use crate::catalogue::MessageType;
use crate::time::Micros;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// How many messages in a row are one thing that was said.
const LENGTH: usize = 3;

/// What a node saw of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    Sends(MessageType),
    Gets(MessageType),
    /// The same that it got last, from another node.
    GetsAgain(MessageType),
    /// Gossip told it of an epoch above all that it knew.
    HearsOfEpoch,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sends(kind) => write!(f, "sends {kind}"),
            Self::Gets(kind) => write!(f, "gets {kind}"),
            Self::GetsAgain(kind) => write!(f, "gets {kind} from another"),
            Self::HearsOfEpoch => f.write_str("hears of an epoch"),
        }
    }
}

/// Something that nodes said, and when it was last heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub what: String,
    pub last: Micros,
}

/// A message that is no gossip, from its sending to its arrival.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    pub kind: MessageType,
    pub from: NodeId,
    pub to: NodeId,
    pub at: Micros,
    /// `None`: it did not arrive.
    pub arrived: Option<Micros>,
    /// The sender's current epoch.
    pub epoch: Option<u64>,
}

/// How many messages are kept one by one.
const SENT_MAX: usize = 4_000;

#[derive(Clone, Debug, Default)]
struct Node {
    last: Vec<Token>,
    /// Of the last token.
    peer: Option<NodeId>,
    epoch: u64,
}

/// Hears messages, and tells what was said.
#[derive(Clone, Debug, Default)]
pub struct Talk {
    nodes: BTreeMap<NodeId, Node>,
    said: BTreeMap<Vec<Token>, u64>,
    sent: Vec<Sent>,
    /// Those under way, oldest first.
    open: Vec<usize>,
}

impl Talk {
    /// A message was sent, or has arrived; `epoch` is the sender's current one, where it tells it.
    pub fn hear(
        &mut self,
        at: u64,
        kind: MessageType,
        (from, to): (NodeId, NodeId),
        epoch: Option<u64>,
        delivered: bool,
    ) {
        self.keep(at, kind, (from, to), epoch, delivered);
        let (who, peer) = if delivered { (to, from) } else { (from, to) };
        let node = self.nodes.entry(who).or_default();
        let newer = epoch.is_some_and(|epoch| epoch > node.epoch);
        if newer {
            node.epoch = epoch.unwrap_or_default();
        }
        let gossip = matches!(kind, MessageType::Ping | MessageType::Pong);
        let token = match (gossip, delivered) {
            (true, true) if newer => Token::HearsOfEpoch,
            (true, _) => return,
            (false, false) => Token::Sends(kind),
            (false, true) => Token::Gets(kind),
        };
        // What goes to all, or comes once more from the same node, is one thing.
        let token = match node.last.last() {
            Some(Token::Gets(last) | Token::GetsAgain(last)) if token == Token::Gets(*last) => {
                if node.peer == Some(peer) {
                    return;
                }
                Token::GetsAgain(kind)
            }
            Some(last) if *last == token => return,
            _ => token,
        };
        node.peer = Some(peer);
        if node.last.last() == Some(&token) {
            return;
        }
        if node.last.len() == LENGTH {
            node.last.remove(0);
        }
        node.last.push(token);
        for from in 0..node.last.len() {
            let said = &node.last[from..];
            match self.said.get_mut(said) {
                Some(last) => *last = at,
                None => drop(self.said.insert(said.to_vec(), at)),
            }
        }
    }

    /// Keeps what decides something, one by one.
    fn keep(
        &mut self,
        at: u64,
        kind: MessageType,
        (from, to): (NodeId, NodeId),
        epoch: Option<u64>,
        delivered: bool,
    ) {
        use MessageType::{Fail, FailoverAuthAck, FailoverAuthRequest, MfStart, Update};
        if !matches!(kind, Fail | FailoverAuthAck | FailoverAuthRequest | MfStart | Update) {
            return;
        }
        if delivered {
            let same = |one: &Sent| one.kind == kind && one.from == from && one.to == to;
            if let Some(place) = self.open.iter().position(|place| same(&self.sent[*place])) {
                let place = self.open.remove(place);
                self.sent[place].arrived = Some(Micros(at));
            }
        } else if self.sent.len() < SENT_MAX {
            self.open.push(self.sent.len());
            self.sent.push(Sent { kind, from, to, at: Micros(at), arrived: None, epoch });
        }
    }

    /// The messages that were no gossip, in the order in which they were sent.
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// All that was said, in order of what it is; `then` stands between two messages.
    pub fn said(&self) -> Vec<Said> {
        let text = |said: &Vec<Token>| said.iter().map(ToString::to_string).collect::<Vec<_>>().join(THEN);
        self.said.iter().map(|(said, last)| Said { what: text(said), last: Micros(*last) }).collect()
    }
}

/// Stands between two messages.
pub const THEN: &str = " -> ";

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(0);
    const B: NodeId = NodeId(1);
    const C: NodeId = NodeId(2);

    fn said(messages: &[(MessageType, NodeId, NodeId, u64, bool)]) -> Vec<String> {
        let mut talk = Talk::default();
        for (at, (kind, from, to, epoch, delivered)) in (1..).zip(messages) {
            talk.hear(at, *kind, (*from, *to), Some(*epoch), *delivered);
        }
        talk.said().into_iter().map(|said| said.what).collect()
    }

    #[test]
    fn an_election_is_the_same_whoever_holds_it() {
        use MessageType::{FailoverAuthAck, FailoverAuthRequest};
        let election = |one: NodeId, other: NodeId, third: NodeId| {
            said(&[
                (FailoverAuthRequest, one, other, 7, false),
                (FailoverAuthRequest, one, third, 7, false),
                (FailoverAuthRequest, one, other, 7, true),
                (FailoverAuthAck, other, one, 7, false),
                (FailoverAuthAck, other, one, 7, true),
                (FailoverAuthAck, third, one, 7, true),
                (FailoverAuthAck, third, one, 7, true),
            ])
        };
        let told = election(A, B, C);
        assert_eq!(told, election(C, A, B));
        for line in [
            "sends FAILOVER_AUTH_REQUEST",
            "gets FAILOVER_AUTH_REQUEST -> sends FAILOVER_AUTH_ACK",
            "sends FAILOVER_AUTH_REQUEST -> gets FAILOVER_AUTH_ACK -> gets FAILOVER_AUTH_ACK from another",
        ] {
            assert!(told.iter().any(|said| said == line), "{line} in {told:?}");
        }
        assert!(!told.iter().any(|said| said.matches("from another").count() > 1), "{told:?}");
    }

    #[test]
    fn what_decides_something_is_kept_from_its_sending_to_its_arrival() {
        use MessageType::{FailoverAuthAck, FailoverAuthRequest, Ping};
        let mut talk = Talk::default();
        talk.hear(1, Ping, (A, B), None, false);
        talk.hear(2, FailoverAuthRequest, (A, B), Some(3), false);
        talk.hear(3, FailoverAuthRequest, (A, C), Some(3), false);
        talk.hear(5, FailoverAuthRequest, (A, C), Some(3), true);
        talk.hear(6, FailoverAuthAck, (C, A), Some(3), false);
        let told: Vec<_> = talk.sent().iter().map(|one| (one.kind, one.to, one.at.0, one.arrived)).collect();
        assert_eq!(
            told,
            [
                (FailoverAuthRequest, B, 2, None),
                (FailoverAuthRequest, C, 3, Some(Micros(5))),
                (FailoverAuthAck, A, 6, None)
            ]
        );
    }

    #[test]
    fn of_gossip_only_a_new_epoch_is_heard() {
        use MessageType::{Fail, Ping, Pong};
        assert_eq!(said(&[(Ping, A, B, 0, false), (Ping, A, B, 0, true), (Pong, B, A, 0, true)]), [""; 0]);
        let told = said(&[
            (Ping, A, B, 3, true),
            (Ping, C, B, 3, true),
            (Fail, A, B, 3, true),
            (Ping, C, B, 4, true),
        ]);
        assert_eq!(
            told,
            [
                "gets FAIL",
                "gets FAIL -> hears of an epoch",
                "hears of an epoch",
                "hears of an epoch -> gets FAIL",
                "hears of an epoch -> gets FAIL -> hears of an epoch",
            ]
        );
    }
}
