//! Sessions, their ephemeral nodes and locks, transactions between accounts, queues, and what has to be refused, on real ZooKeeper: all
//! promises are kept under faults, and a server that lies about them is found out.
//!
//! They run in environment `live`. Without a server they are skipped by name, and fail where `SEEDFAULT_REQUIRE_SERVERS=1`
//! says that servers must be there.

#[path = "raft/keeper.rs"]
mod keeper;
mod servers;

use seedfault::target::zookeeper::provision::DEBIAN;
use servers::run;
use std::path::Path;

/// The lie, the scenario that is run with it, the check that must find it out, and by which words.
const LIES: &[(&str, &str, &str, &str)] = &[
    ("hides-nodes", CALM, "ephemerals", "while the session lived"),
    ("keeps-sessions", CALM, "ephemerals", "its close was acknowledged"),
    ("halves-transfers", CALM, "bank", "all accounts together hold"),
    ("swallows-events", WATCHED, "watch", "was not told before an answer as of"),
    ("tells-late", WATCHED, "watch", "was"),
    ("lets-in", ASKED, "refusals", "was done, and had to be refused (NoAuth)"),
    ("forgets-names", ASKED, "refusals", "was refused (NoAuth) to who has the right"),
    ("takes-changes", ASKED, "refusals", "(NewConfigNoQuorum)"),
    ("shares-elements", QUEUED, "queue", "was taken twice: by"),
    ("hides-elements", QUEUED, "queue", "and until queuer"),
    ("keeps-elements", QUEUED, "queue", "is there as of"),
    ("eats-elements", QUEUED, "queue", "nobody can have taken: it is lost"),
    ("forgets-changes", PACKED, "removals", "had passed since its last acknowledged change"),
    ("keeps-containers", PACKED, "removals", "(container): it was still there more than"),
    ("hides-parents", PACKED, "removals", "it was gone though it had child"),
];

/// What nothing happens in.
const CALM: &str = "fuzz: 1\nname: calm\ntarget: zookeeper\nenvironment: live\ncluster: {shards: 1, replicas: 2}\n\
    load: {clients: 2, rate: 20/s, keys: 10, sessions: 4, tellers: 3}\nlength: 8s\ntimeline: []\n\
    checks: [ephemerals, bank]\n";

/// What is asked for though it has to be refused.
const ASKED: &str = "fuzz: 1\nname: asked\ntarget: zookeeper\nenvironment: live\ncluster: {shards: 1, replicas: 2}\n\
    load: {clients: 2, rate: 20/s, keys: 10, guests: 3}\nlength: 8s\n\
    timeline:\n  - {id: ask, at: 2s, do: {refused_reconfig: {}}}\nchecks: [refusals]\n";

/// What goes by itself.
const PACKED: &str = "fuzz: 1\nname: packed\ntarget: zookeeper\nenvironment: live\ncluster: {shards: 1, replicas: 2}\n\
    load: {clients: 2, rate: 20/s, keys: 10, containers: 3}\nlength: 10s\ntimeline: []\nchecks: [removals]\n";

/// What is watched.
const WATCHED: &str = "fuzz: 1\nname: watched\ntarget: zookeeper\nenvironment: live\ncluster: {shards: 1, replicas: 2}\n\
    load: {clients: 2, rate: 20/s, keys: 10, watchers: 3}\nlength: 8s\ntimeline: []\nchecks: [watch]\n";

/// What is put into a queue and taken out of it.
const QUEUED: &str = "fuzz: 1\nname: queued\ntarget: zookeeper\nenvironment: live\ncluster: {shards: 1, replicas: 2}\n\
    load: {clients: 2, rate: 20/s, keys: 10, queuers: 5}\nlength: 8s\ntimeline: []\nchecks: [queue]\n";

fn is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let java = std::env::split_paths(&path).any(|folder| folder.join("java").is_file());
    let found = java && Path::new(DEBIAN).is_file();
    let required = std::env::var("SEEDFAULT_REQUIRE_SERVERS").as_deref() == Ok("1");
    assert!(found || !required, "there is no ZooKeeper, and SEEDFAULT_REQUIRE_SERVERS=1 wants it");
    if !found {
        println!("skipped: no zookeeper is installed here");
    }
    found
}

/// A server that lies is this binary, run by a script with the name of this test; for everybody else nothing happens here.
#[test]
fn the_server_that_lies() {
    keeper::lies();
}

#[test]
fn sessions_and_transactions_keep_their_promises_under_faults() {
    if !is_installed() {
        return;
    }
    let ran = run("sessions", &["run", "tests/real/sessions.yaml", "--no-shrink"], Path::new(DEBIAN));
    assert_eq!(servers::amiss(&ran), Vec::<String>::new(), "{}", ran.story());
    for check in ["ephemerals", "bank"] {
        let judged = ran.judged(check).expect("it is owed");
        assert_eq!(judged["verdict"], "pass", "{judged}");
        println!("{check}: {}", judged["looked_at"]);
    }
}

#[test]
fn what_has_to_be_refused_is_refused_and_watches_tell_all_under_faults() {
    if !is_installed() {
        return;
    }
    let ran = run("refusals", &["run", "tests/real/refusals.yaml", "--no-shrink"], Path::new(DEBIAN));
    assert_eq!(servers::amiss(&ran), Vec::<String>::new(), "{}", ran.story());
    let judged = ran.judged("refusals").expect("it is owed");
    assert_eq!(judged["verdict"], "pass", "{judged}");
    println!("refusals: {} {}", judged["looked_at"], judged["classes"]);
    let judged = ran.judged("watch").expect("it is owed");
    assert_eq!(judged["verdict"], "pass", "{judged}");
    println!("watch: {}", judged["looked_at"]);
}

#[test]
fn a_queue_is_emptied_once_and_in_order_under_faults() {
    if !is_installed() {
        return;
    }
    let ran = run("queue", &["run", "tests/real/queue.yaml", "--no-shrink"], Path::new(DEBIAN));
    assert_eq!(servers::amiss(&ran), Vec::<String>::new(), "{}", ran.story());
    let judged = ran.judged("queue").expect("it is owed");
    assert_eq!(judged["verdict"], "pass", "{judged}");
    println!("queue: {}", judged["looked_at"]);
    let looked_at = judged["looked_at"].as_str().expect("it is a text");
    let put: u64 = looked_at.split(' ').next().and_then(|number| number.parse().ok()).expect("a number");
    assert!(put >= 100, "{looked_at}");
}

#[test]
fn containers_and_nodes_with_a_time_to_live_go_in_time_and_not_before_under_faults() {
    if !is_installed() {
        return;
    }
    let ran = run("removals", &["run", "tests/real/removals.yaml", "--no-shrink"], Path::new(DEBIAN));
    assert_eq!(servers::amiss(&ran), Vec::<String>::new(), "{}", ran.story());
    let judged = ran.judged("removals").expect("it is owed");
    assert_eq!(judged["verdict"], "pass", "{judged}");
    println!("removals: {} {}", judged["looked_at"], judged["classes"]);
}

#[test]
fn a_server_that_lies_about_what_it_promised_is_found_out() {
    if !is_installed() {
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sessions");
    std::fs::create_dir_all(&folder).expect("a folder");
    for (lie, scenario, check, words) in LIES {
        let file = folder.join(format!("{lie}.yaml"));
        std::fs::write(&file, scenario).expect("the folder can be written");
        let file = file.to_string_lossy();
        let server = keeper::script(&folder, lie);
        let ran = run(&format!("session-{lie}"), &["run", &file, "--seed", "1", "--no-shrink"], &server);
        let judged = ran.judged(check).unwrap_or_else(|| panic!("{lie}: {}", ran.story()));
        let evidence: Vec<&str> =
            judged["evidence"].as_array().into_iter().flatten().filter_map(|line| line.as_str()).collect();
        assert_eq!(judged["verdict"], "fail", "{lie}: {}", ran.story());
        assert!(evidence.iter().any(|line| line.contains(words)), "{lie}: {evidence:?}");
        println!("{lie}: {}", evidence[0]);
    }
}
