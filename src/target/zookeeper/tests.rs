//! The protocol on bytes that ZooKeeper 3.8.0 of Debian sent, as `tests/zookeeper.rs` shows them with
//! `SEEDFAULT_SHOW_BYTES=1`.

use super::code::Code;
use super::session::{Heard, Session, Stage};
use super::wire::{Acl, Answer, CreateMode, Happened, Notification, Request, Stat, WatchKind};

/// The welcome to a new session.
const WELCOME: &str = "0000002500000000000007d0010001a08a700000000000106251286e47e435ef10c87ef068d71b3200";
/// The same for one that is no more.
const NO_MORE: &str = "0000002500000000000000000000000000000000000000100000000000000000000000000000000000";
/// `create2 /a`, the first request.
const CREATED: &str = "0000005a00000001000000010000000200000000000000022f610000000100000002000000010000000200\
    0001a2028dd29c000001a2028dd29c000000000000000000000000000000000000000000000003000000000000000100000002";
const NO_NODE: &str = "00000010000000060000000100000005ffffff9b";
const DATA_CHANGED: &str = "0000001effffffffffffffffffffffff000000000000000300000003000000022f61";
const PONG: &str = "00000010fffffffe000000010000002700000000";
/// A `multi` of three parts whose second was refused.
const REFUSED: &str = "000000400000001f000000010000001500000000ffffffff000000000000000000ffffffff00ffffff99ffff\
    ff99ffffffff00fffffffefffffffeffffffff01ffffffff";
/// A `multi` of check, create, set, create and delete.
const DONE: &str = "000000960000001e0000000100000014000000000000000d0000000000000000010000000000000000022f7400\
    000005000000000000000001000000020000000100000014000001a2028dd29c000001a2028dd64c0000000200000000000000000000\
    00000000000000000004000000000000000100000002000000010000000000000000022f75000000020000000000ffffffff01ffffffff";
/// A `multiRead` of data, children and a node that is not there.
const READ: &str = "000000b80000002200000001000000150000000000000004000000000000000004666f757200000001000000020\
    000000100000014000001a2028dd29c000001a2028dd64c0000000200000000000000000000000000000000000000040000000000000001\
    00000002000000080000000000000000030000000c6e2d303030303030303030320000000c6e2d303030303030303030310000000c6e2d\
    30303030303030303030ffffffff00ffffff9bffffff9bffffffff01ffffffff";
const ACCESS: &str = "0000008c00000002000000010000001700000000000000010000001f0000000664696765737400000022616c69\
    63653a3879306c68682f37786b64456977685837766f39692b2f4e6d7a633d00000001000000170000000100000017000001a2028dd667\
    000001a2028dd667000000000000000000000000000000000000000000000001000000000000000100000017";

fn bytes(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "two digits a byte");
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn connected() -> Session {
    let mut session = Session::new(2000);
    session.hello(&mut Vec::new());
    let heard = session.hear(&bytes(WELCOME), &mut Vec::new());
    assert_eq!(heard, Ok(Some((Heard::Connected, 41))));
    session
}

/// A session that asks this as its n-th request, and what it hears.
fn answered(xid: i32, request: &Request, sent: &str) -> Result<Heard, String> {
    let mut session = connected();
    for number in 1..xid {
        assert_eq!(session.request(Request::Sync { path: "/".into() }, &mut Vec::new()), number);
    }
    session.parted();
    session.hello(&mut Vec::new());
    session.hear(&bytes(WELCOME), &mut Vec::new()).expect("a welcome");
    session.request(request.clone(), &mut Vec::new());
    let stream = bytes(sent);
    for short in 0..stream.len() {
        assert_eq!(session.hear(&stream[..short], &mut Vec::new()), Ok(None), "{short} bytes");
    }
    session.hear(&stream, &mut Vec::new()).map(|heard| heard.expect("complete").0)
}

fn answer(xid: i32, request: &Request, sent: &str) -> Result<Answer, Code> {
    match answered(xid, request, sent) {
        Ok(Heard::Answer { xid: told, answer, .. }) if told == xid => answer,
        other => panic!("{other:?}"),
    }
}

fn get(path: &str) -> Request {
    Request::GetData { path: path.into(), watch: false }
}

#[test]
fn a_session_is_welcomed_and_goes_on_under_its_id() {
    let mut session = connected();
    assert_eq!((session.id, session.timeout_ms), (0x0100_01a0_8a70_0000, 2000));
    assert_eq!((session.ping_after_ms(), session.give_up_after_ms()), (666, 1332));
    let asked = session.request(get("/a"), &mut Vec::new());
    assert_eq!(session.parted(), [asked], "nobody will answer it any more");
    let mut out = Vec::new();
    session.hello(&mut out);
    // Length, protocol, seen, timeout, id, password, read-only.
    let again = "0000002d00000000000000000000000000000\
        7d0010001a08a700000000000106251286e47e435ef10c87ef068d71b3200";
    assert_eq!(out, bytes(again));
    assert_eq!(session.hear(&bytes(NO_MORE), &mut out), Ok(Some((Heard::Expired, 41))));
    assert_eq!(session.stage, Stage::Expired);
}

#[test]
fn requests_are_written_as_the_server_reads_them() {
    let mut session = connected();
    let mut out = Vec::new();
    let acl = vec![Acl::everybody(Acl::ALL)];
    let create =
        Request::Create { path: "/a".into(), data: b"one".to_vec(), acl, mode: CreateMode::Persistent };
    session.request(create, &mut out);
    // xid 1, create2, "/a", "one", one entry: all rights, world, anyone; no flags.
    let wanted = "00000034000000010000000f000000022f61000000036f6e65000000010000001f0000\
        0005776f726c6400000006616e796f6e6500000000";
    assert_eq!(out, bytes(wanted));
    out.clear();
    session.ping(&mut out);
    assert_eq!(out, bytes("00000008fffffffe0000000b"));
    out.clear();
    let check = Request::Check { path: "/a".into(), version: 3 };
    session.request(Request::Multi(vec![check]), &mut out);
    let wanted = "0000002400000002\
        0000000e0000000d00ffffffff000000022f6100000003ffffffff01ffffffff";
    assert_eq!(out, bytes(wanted));
}

#[test]
fn answers_are_read_by_what_was_asked() {
    let acl = vec![Acl::everybody(Acl::ALL)];
    let create = |path: &str| Request::Create {
        path: path.into(),
        data: Vec::new(),
        acl: acl.clone(),
        mode: CreateMode::Persistent,
    };
    let Ok(Answer::Created(path, stat)) = answer(1, &create("/a"), CREATED) else { panic!("it was created") };
    assert_eq!((path.as_str(), stat.data_length, stat.created_zxid), ("/a", 3, 0x1_0000_0002));
    assert_eq!(answer(6, &get("/none"), NO_NODE), Err(Code::NO_NODE));
    let Ok(Answer::Acl(acl, _)) = answer(2, &Request::GetAcl { path: "/mine".into() }, ACCESS) else {
        panic!("it has an access list")
    };
    assert_eq!((acl[0].permissions, acl[0].scheme.as_str()), (31, "digest"));
}

#[test]
fn a_transaction_tells_of_each_of_its_parts() {
    let parts = Request::Multi(Vec::new());
    let Ok(Answer::Parts(done)) = answer(30, &parts, DONE) else { panic!("it was carried out") };
    assert_eq!(done[0], Ok(Answer::Nothing));
    assert_eq!(done[1], Ok(Answer::Path("/t".into())));
    assert_eq!(done[2].as_ref().ok().and_then(Answer::stat).map(|stat| stat.version), Some(2));
    assert_eq!(done[4], Ok(Answer::Nothing));
    let codes = [Code::OK, Code::BAD_VERSION, Code::RUNTIME_INCONSISTENCY];
    assert_eq!(answer(31, &parts, REFUSED), Ok(Answer::Parts(codes.map(Err).to_vec())));
    let Ok(Answer::Parts(read)) = answer(34, &Request::MultiRead(Vec::new()), READ) else {
        panic!("it was read")
    };
    assert!(matches!(&read[0], Ok(Answer::Data(data, stat)) if data == b"four" && stat.version == 2));
    assert!(matches!(&read[1], Ok(Answer::Children(names, None)) if names.len() == 3));
    assert_eq!(read[2], Err(Code::NO_NODE));
}

#[test]
fn what_nobody_asked_for_is_told_apart() {
    let mut session = connected();
    let told = Notification { happened: Happened::DataChanged, state: 3, path: "/a".into() };
    let fired = |expected| Ok(Some((Heard::Watch { notification: told.clone(), expected }, 34)));
    session.watches.answered(
        &Request::GetData { path: "/a".into(), watch: true },
        &Ok(Answer::Data(Vec::new(), Stat::default())),
    );
    assert_eq!(session.hear(&bytes(DATA_CHANGED), &mut Vec::new()), fired(true));
    assert_eq!(session.hear(&bytes(DATA_CHANGED), &mut Vec::new()), fired(false), "a watch fires once");
    assert_eq!(session.hear(&bytes(PONG), &mut Vec::new()), Ok(Some((Heard::Pong, 20))));
}

#[test]
fn answers_that_are_out_of_order_or_do_not_fit_are_no_answers() {
    let mut session = connected();
    session.request(get("/a"), &mut Vec::new());
    assert!(session.hear(&bytes(NO_NODE), &mut Vec::new()).is_err(), "it answers another request");
    assert!(connected().hear(&bytes(CREATED), &mut Vec::new()).is_err(), "nothing was asked");
    let remove = Request::RemoveWatches { path: "/a".into(), kind: WatchKind::Any };
    assert!(answered(1, &remove, CREATED).is_err(), "there is more in it than belongs there");
    assert!(answered(1, &get("/a"), "00000012000000010000000100000002000000000000").is_err(), "and less");
}
