//! Changes of the ensemble that have to be refused (`refused_reconfig`): each is asked of each live server, and what comes
//! back is kept for the check `refusals`.
//!
//! The leader looks at the version first, then whether the change can be read, then whether the new ensemble would have a
//! quorum that is connected and in step, and last at the right (`PrepRequestProcessor`, ZooKeeper 3.8). So each attempt is
//! sound in all that is looked at before what is wrong with it, and would change nothing where that is possible. It names the
//! version that it speaks of: where a member joins meanwhile, those that were all are so no longer, and may leave.

use super::client::SESSION_MS;
use super::code::Code;
use super::operations::line;
use super::provision::{SUPER, server_id};
use super::session::Session;
use super::talk::{self, Lost, Talk};
use super::wire::{Answer, Request};
use super::words;
use crate::env::NodeId;
use crate::history::{Answered, Demand, Must};
use crate::run::operation::{COMMAND_TIMEOUT, OpIo};
use crate::target::hands::{Done, LOOK, retry, skip};
use crate::target::operation::{Forbidden, RefusedReconfig};
use crate::time::Millis;

/// How long the ensemble may be without a leader before nothing is asked.
const LED_WITHIN: Millis = Millis(10_000);
/// The number of the first server that is nowhere.
const NOBODY: u64 = 201;

/// One attempt.
struct Attempt {
    what: String,
    /// Who asks: the super-user, nobody in particular, or somebody else.
    identity: Option<(&'static str, &'static str)>,
    joining: Option<String>,
    leaving: Option<String>,
    from_config: i64,
    /// What it is refused with; other codes say that it was refused for something else.
    codes: &'static [Code],
}

/// A text that is no number of a server breaks the reading of the request itself.
const MALFORMED: &[Code] = &[Code::BAD_ARGUMENTS, Code::MARSHALLING_ERROR];

/// What is tried, given the ensemble's members, the newest version of its configuration, and the line of a member.
fn attempts(which: Forbidden, members: &[u64], version: i64, line: &str) -> Vec<Attempt> {
    let sound = |what: &str, codes| Attempt {
        what: format!("reconfig: {what}"),
        identity: Some(SUPER),
        joining: None,
        leaving: None,
        from_config: version,
        codes,
    };
    let joins = |what: &str, joining: String, codes| Attempt { joining: Some(joining), ..sound(what, codes) };
    let leaves =
        |what: &str, leaving: &str, codes| Attempt { leaving: Some(leaving.into()), ..sound(what, codes) };
    let address =
        line.split_once('=').map_or("127.0.0.1", |(_, rest)| rest.split(':').next().unwrap_or(rest));
    let nobody = |place: u64| {
        let port = 1 + 3 * place;
        format!("server.{}={address}:{port}:{}:participant;{address}:{}", NOBODY + place, port + 1, port + 2)
    };
    let count = members.len().max(1) as u64;
    let strangers: Vec<String> = (0..count).map(nobody).collect();
    let all: Vec<String> = members.iter().map(ToString::to_string).collect();
    let twin = line.split_once('=').map_or(String::new(), |(_, rest)| format!("server.{NOBODY}={rest}"));
    let of = |one: Forbidden| which == Forbidden::All || which == one;
    let mut attempts = Vec::new();
    if of(Forbidden::Stale) {
        let stale = "the version before the one in force";
        let attempt = joins(stale, line.into(), &[Code::BAD_VERSION] as &[Code]);
        attempts.push(Attempt { from_config: version - 1, ..attempt });
    }
    if of(Forbidden::Nobody) {
        attempts.push(leaves("all members leave", &all.join(","), &[Code::BAD_ARGUMENTS]));
    }
    if of(Forbidden::NoQuorum) {
        let what = format!("{count} participants join that are nowhere");
        attempts.push(joins(&what, strangers.join(","), &[Code::NEW_CONFIG_NO_QUORUM]));
    }
    if of(Forbidden::NoRight) {
        for (who, identity) in
            [("nobody in particular", None), ("a wrong password", Some(("super", "wrong")))]
        {
            let attempt = joins(&format!("a change of nothing, by {who}"), line.into(), &[Code::NO_AUTH]);
            attempts.push(Attempt { identity, ..attempt });
        }
    }
    if of(Forbidden::Malformed) {
        let no_port = nobody(0).split_once(';').map_or(String::new(), |(peers, _)| peers.into());
        for (what, joining) in [
            ("a member without an address", format!("server.{NOBODY}")),
            ("a member whose address is no address", format!("server.{NOBODY}=nowhere")),
            ("a member without a port for clients", no_port),
            ("a member at another one's address", twin),
        ] {
            attempts.push(joins(what, joining, MALFORMED));
        }
        attempts.push(leaves("a member leaves that is no number", "nobody", MALFORMED));
    }
    attempts
}

async fn ask(op: &OpIo, at: NodeId, attempt: &Attempt) -> Result<(Answer, i64), Lost> {
    let deadline = op.io.after(COMMAND_TIMEOUT);
    let mut session = Session::new(SESSION_MS);
    if let Some((name, password)) = attempt.identity {
        session.identify("digest", format!("{name}:{password}").as_bytes(), &mut Vec::new());
    }
    let mut talk = Talk::open(&op.io, at, session, deadline).await.map_err(|(_, lost)| lost)?;
    let request = Request::Reconfig {
        joining: attempt.joining.clone(),
        leaving: attempt.leaving.clone(),
        members: None,
        from_config: attempt.from_config,
    };
    let answered = talk.ask(request, deadline).await;
    let _ = talk.ask(Request::CloseSession, deadline).await;
    answered
}

/// The members and the version of the configuration, as the first live server that knows them tells.
async fn configuration(op: &OpIo, live: &[NodeId]) -> Option<(Vec<u64>, i64)> {
    for node in live {
        let told = talk::word(&op.io, *node, words::CONF, op.io.after(COMMAND_TIMEOUT)).await;
        let Ok(told) = told else { continue };
        let members = words::members(&told).into_iter().map(|(number, _)| number).collect::<Vec<_>>();
        if let Some(version) = words::version_of(&told).filter(|_| !members.is_empty()) {
            return Some((members, version));
        }
    }
    None
}

pub async fn try_all(op: OpIo, fields: RefusedReconfig) -> Done {
    // Without a leader nobody tells it.
    let known = retry(&op, op.io.after(LED_WITHIN), LOOK, async || {
        let live = op.world.borrow().live();
        configuration(&op, &live).await.ok_or_else(String::new)
    });
    let Ok((members, version)) = known.await else {
        return skip("no live server tells the configuration");
    };
    let live = op.world.borrow().live();
    let known = live.iter().find(|node| members.contains(&server_id(**node)));
    let Some(line) = known.and_then(|node| line(&op, *node)) else {
        return skip("no live server is a member that has an address");
    };
    let (mut refused, mut asked) = (0, 0);
    for node in live {
        for attempt in attempts(fields.what, &members, version, &line) {
            let sent = op.world.borrow_mut().stamp();
            let said = match ask(&op, node, &attempt).await {
                Ok((_, zxid)) => Answered::Done(zxid),
                Err(Lost::Refused(code)) if code.refused() => Answered::Refused(code.to_string()),
                Err(lost) => Answered::Unknown(lost.to_string()),
            };
            asked += 1;
            refused += u32::from(matches!(said, Answered::Refused(_)));
            if let Answered::Done(_) = said {
                op.step(format!("{node} did what it had to refuse: {}", attempt.what));
            }
            let lost = matches!(said, Answered::Unknown(_));
            let mut world = op.world.borrow_mut();
            let back = world.stamp();
            world.demands.push(Demand {
                by: op.event.clone(),
                what: attempt.what,
                must: Must::Refuse,
                words: attempt.codes.iter().map(ToString::to_string).collect(),
                since: 0,
                node,
                sent,
                back,
                said,
            });
            // It has no leader, or is gone: the next one may have one.
            if lost {
                break;
            }
        }
    }
    op.detail(format!("{refused} of {asked} changes were refused"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "server.1=127.0.0.1:2881:3881:participant;127.0.0.1:2181";

    #[test]
    fn each_attempt_is_wrong_in_one_way() {
        let all = attempts(Forbidden::All, &[1, 2, 3], 0x1_0000_0000, LINE);
        let by = |code: Code| all.iter().filter(|attempt| attempt.codes.contains(&code)).collect::<Vec<_>>();
        assert_eq!(by(Code::BAD_VERSION)[0].from_config, 0xffff_ffff);
        assert_eq!(by(Code::BAD_VERSION)[0].joining.as_deref(), Some(LINE), "it would change nothing");
        let absent = by(Code::NEW_CONFIG_NO_QUORUM)[0].joining.clone().expect("some join");
        assert_eq!(absent.split(',').count(), 3, "three of six are no majority");
        assert!(absent.starts_with("server.201=127.0.0.1:1:2:participant;127.0.0.1:3,"), "{absent}");
        assert!(by(Code::NO_AUTH).iter().all(|attempt| attempt.identity != Some(SUPER)));
        assert_eq!(by(Code::MARSHALLING_ERROR).len(), 5);
        let version = |attempt: &Attempt| attempt.from_config;
        assert!(all.iter().skip(1).all(|attempt| version(attempt) == 0x1_0000_0000), "of this version alone");
        let others = all.iter().filter(|attempt| !attempt.codes.contains(&Code::NO_AUTH));
        assert!(others.clone().all(|attempt| attempt.identity == Some(SUPER)));
        assert_eq!(attempts(Forbidden::Nobody, &[1, 2], 7, LINE)[0].leaving.as_deref(), Some("1,2"));
    }
}
