//! What must hold: `state_validation` (newer), `validation` as a list or mapping (older) or as the mapping of two
//! weeks in November 2025 (interim), onto the catalogue's checks.

use super::section::{Given, Least, Section, wrong_type};
use super::slot::Look;
use super::{Dialect, Room, both};
use crate::catalogue::CheckSpec;
use crate::check::VIEW_CHECKS;
use crate::time::Millis;
use crate::timeline::KeyPrefix;
use crate::yaml::document::{Key, Node, Problems, Span, Value};

/// The checks whose failure between waves is *critical* there: a slot without an owner or with two, a quorum
/// lost, a wrong number of primaries. Views that differ in less are not.
const CRITICAL: [&str; 3] = ["slot_coverage", "quorum", "topology"];

/// What a run is judged by.
#[derive(Debug)]
pub struct Judged {
    pub checks: Vec<CheckSpec>,
    /// The look between waves.
    pub look: Look,
    /// How many test keys are written before the first operation.
    pub keys: Option<u32>,
    /// What the names of keys begin with.
    pub prefix: KeyPrefix,
}

/// Which checks are made, and with which bounds.
#[derive(Debug)]
struct Wanted {
    sync: bool,
    lags: bool,
    lag: Millis,
    /// A replica lags only if it trails in offset too.
    offset: bool,
    all_replicas: bool,
    least_replicas: u64,
    status: bool,
    acceptable: bool,
    quorum: bool,
    coverage: bool,
    full: bool,
    conflicts: bool,
    topology: bool,
    views: bool,
    /// Split brain alone is looked for.
    lenient: bool,
    data: bool,
    replicas_hold: bool,
    keys: u64,
    prefix: KeyPrefix,
    logs: bool,
    converge: Millis,
}

impl Default for Wanted {
    /// What the newer tool does without a section.
    fn default() -> Self {
        Self {
            sync: true,
            lags: true,
            lag: Millis::secs(10),
            offset: true,
            all_replicas: false,
            least_replicas: 1,
            status: true,
            acceptable: false,
            quorum: true,
            coverage: true,
            full: true,
            conflicts: true,
            topology: true,
            views: true,
            lenient: false,
            data: true,
            replicas_hold: true,
            keys: 100,
            prefix: KeyPrefix::default(),
            logs: true,
            converge: Millis::secs(30),
        }
    }
}

pub fn read(top: &mut Section<'_>, dialect: Dialect, room: Room, problems: &mut Problems) -> Judged {
    let (state, old) = (top.given("state_validation"), top.given("validation"));
    let mut wanted = Wanted::default();
    let mut look = Look {
        checks: Vec::new(),
        stabilize: Millis::secs(5),
        within: Millis::secs(39),
        blocking: false,
        critical: Vec::new(),
    };
    match (&state, &old) {
        (Some(one), Some(other)) => {
            let name = if is_older(&other.node.value) { "older" } else { "interim" };
            both(("newer", one.key), (name, other.key), "", problems);
        }
        (Some(given), None) => {
            if let Some(mut section) = Section::open(given.node, &given.path, given.key.span, problems)
                && !section.is_empty()
            {
                newer(&mut section, &mut wanted, &mut look, problems);
            }
        }
        (None, Some(given)) => match &given.node.value {
            Value::List(_) => older(given, &mut wanted, problems),
            Value::Map(_) if is_older(&given.node.value) || dialect == Dialect::Older => {
                older(given, &mut wanted, problems);
            }
            Value::Map(_) => interim(given, &mut wanted, &mut look, problems),
            _ => wrong_type(given.node, &given.path, "a list or a mapping of checks", problems),
        },
        (None, None) if dialect == Dialect::Older => older_default(&mut wanted),
        (None, None) => {}
    }
    let checks = wanted.checks(room);
    look.checks = checks
        .iter()
        .map(CheckSpec::name)
        .filter(|name| VIEW_CHECKS.contains(name))
        .map(str::to_owned)
        .collect();
    look.critical = look.checks.iter().filter(|name| CRITICAL.contains(&name.as_str())).cloned().collect();
    let keys = wanted.data.then_some(wanted.keys as u32).filter(|keys| *keys > 0);
    Judged { checks, look, keys, prefix: wanted.prefix }
}

/// Whether a mapping shows the marks of the older dialect.
fn is_older(value: &Value) -> bool {
    const MARKS: [&str; 4] = ["slot_coverage", "replica_sync", "data_consistency", "max_convergence_time"];
    match value {
        Value::List(_) => true,
        Value::Map(pairs) => pairs.iter().any(|(key, _)| MARKS.contains(&key.text.as_str())),
        _ => false,
    }
}

impl Wanted {
    /// The checks in the order of the catalogue. A process that ends without being killed is a finding whatever
    /// the file asks for.
    fn checks(&self, room: Room) -> Vec<CheckSpec> {
        let mut checks = Vec::new();
        let mut add = |name: &str, fields: &[(&str, String)]| checks.extend(check(name, fields));
        let split = self.views && self.lenient;
        if self.coverage || split {
            let (full, conflicts) =
                (self.coverage && self.full, (self.coverage && self.conflicts) || self.views);
            add("slot_coverage", &[("full", full.to_string()), ("conflicts", conflicts.to_string())]);
        }
        if self.status {
            let fields = [("served", (!self.acceptable).to_string()), ("majority", self.quorum.to_string())];
            add("quorum", &fields);
        }
        if self.views && !self.lenient {
            add("view_agreement", &[]);
        }
        if self.topology {
            add("topology", &[]);
        }
        if self.sync {
            let least = self.least_replicas.min(u64::from(room.replicas.unwrap_or(0)));
            add("replica_sync", &[("least", least.to_string()), ("all", self.all_replicas.to_string())]);
        }
        if self.lags {
            let fields = [("within", self.lag.to_string()), ("trailing", self.offset.to_string())];
            add("replication_lag", &fields);
        }
        if self.data {
            if self.replicas_hold {
                add("data_consistency", &[]);
            }
            add("acknowledged_loss", &[]);
        }
        add("convergence_time", &[("within", self.converge.to_string())]);
        add("crash", &[]);
        if self.logs {
            add("log_scan", &[]);
        }
        checks
    }
}

/// A check of the catalogue with some of its bounds.
fn check(name: &str, fields: &[(&str, String)]) -> Option<CheckSpec> {
    let span = Span::default();
    let pair = |(name, text): &(&str, String)| {
        let key = Key { text: (*name).to_owned(), span };
        (key, Node { span, value: Value::Scalar { text: text.clone(), quoted: false } })
    };
    let node = Node { span, value: Value::Map(fields.iter().map(pair).collect()) };
    let mut problems = Problems::default();
    let check = CheckSpec::read(name, &node, name, &mut problems);
    debug_assert_eq!(problems.list, [], "{name} has these bounds");
    check
}

fn newer(section: &mut Section<'_>, wanted: &mut Wanted, look: &mut Look, problems: &mut Problems) {
    wanted.sync = section.boolean("check_replication", true, problems);
    wanted.lags = wanted.sync;
    wanted.status = section.boolean("check_cluster_status", true, problems);
    wanted.coverage = section.boolean("check_slot_coverage", true, problems);
    wanted.topology = section.boolean("check_topology", true, problems);
    wanted.views = section.boolean("check_view_consistency", true, problems);
    wanted.data = section.boolean("check_data_consistency", true, problems);
    wanted.logs = section.boolean("check_logs", true, problems);
    times(section, wanted, look, problems);
    if let Some(mut config) = section.section("replication_config", problems) {
        // The tool has two defaults: one for no section at all, one for a section without this key.
        let lag = if config.is_empty() { Millis::secs(10) } else { Millis::secs(5) };
        wanted.lag = config.seconds("max_acceptable_lag", lag, Least::Zero, problems);
        wanted.all_replicas = config.boolean("require_all_replicas_synced", false, problems);
        wanted.offset = config.boolean("check_replication_offset", true, problems);
        wanted.least_replicas = config.integer("min_replicas_per_shard", (0, 5), problems).unwrap_or(1);
        wait(&mut config, problems);
        config.finish(
            &[
                "max_acceptable_lag",
                "require_all_replicas_synced",
                "check_replication_offset",
                "min_replicas_per_shard",
                "timeout",
            ],
            problems,
        );
    }
    if let Some(mut config) = section.section("cluster_status_config", problems) {
        let accepted = config.given("acceptable_states").map(|given| states(&given, problems));
        let degraded = config.boolean("allow_degraded", false, problems);
        wanted.acceptable = degraded || accepted.unwrap_or(false);
        wanted.quorum = config.boolean("require_quorum", true, problems);
        wait(&mut config, problems);
        config.finish(&["acceptable_states", "allow_degraded", "require_quorum", "timeout"], problems);
    }
    if let Some(mut config) = section.section("slot_coverage_config", problems) {
        wanted.full = config.boolean("require_full_coverage", true, problems);
        wanted.conflicts = !config.boolean("allow_slot_conflicts", false, problems);
        wait(&mut config, problems);
        config.finish(&["require_full_coverage", "allow_slot_conflicts", "timeout"], problems);
    }
    if let Some(mut config) = section.section("topology_config", problems) {
        if !config.boolean("strict_mode", true, problems)
            && let Some(given) = config.given("strict_mode")
        {
            given.warn("strict_mode has no effect: wrong counts fail either way", problems);
        }
        config.boolean("allow_failed_nodes", true, problems);
        config.without_effect("allow_failed_nodes", "has no effect in the original tool", problems);
        wait(&mut config, problems);
        config.finish(&["strict_mode", "allow_failed_nodes", "timeout"], problems);
    }
    if let Some(mut config) = section.section("view_consistency_config", problems) {
        let full = config.boolean("require_full_consensus", true, problems);
        let transient = config.boolean("allow_transient_inconsistency", true, problems);
        wanted.lenient = !full && transient;
        config.seconds("max_inconsistency_duration", Millis(0), Least::Zero, problems);
        config.without_effect("max_inconsistency_duration", "has no effect in the original tool", problems);
        wait(&mut config, problems);
        config.finish(
            &[
                "require_full_consensus",
                "allow_transient_inconsistency",
                "max_inconsistency_duration",
                "timeout",
            ],
            problems,
        );
    }
    if let Some(mut config) = section.section("data_consistency_config", problems) {
        config.boolean("check_test_keys", true, problems);
        config.without_effect(
            "check_test_keys",
            "has no effect in the original tool: the keys are always checked",
            problems,
        );
        wanted.replicas_hold = config.boolean("check_cross_replica_consistency", true, problems);
        wanted.keys = config.integer("num_test_keys", (0, 100_000), problems).unwrap_or(100);
        if let Some(given) = config.given("key_prefix")
            && let Some(text) = given.word("the beginning of each key", problems)
        {
            match KeyPrefix::parse(text) {
                Ok(prefix) => wanted.prefix = prefix,
                Err(expected) => {
                    given.error(
                        format!("`{text}` cannot begin a key"),
                        format!("write {expected}"),
                        problems,
                    );
                }
            }
        }
        wait(&mut config, problems);
        config.finish(
            &["check_test_keys", "check_cross_replica_consistency", "num_test_keys", "key_prefix", "timeout"],
            problems,
        );
    }
    section.finish(
        &[
            "check_replication",
            "check_cluster_status",
            "check_slot_coverage",
            "check_topology",
            "check_view_consistency",
            "check_data_consistency",
            "check_logs",
            "stabilization_wait",
            "validation_timeout",
            "blocking_on_failure",
            "retry_on_transient_failure",
            "max_retries",
            "retry_delay",
            "replication_config",
            "cluster_status_config",
            "slot_coverage_config",
            "topology_config",
            "view_consistency_config",
            "data_consistency_config",
        ],
        problems,
    );
}

/// The wait before a look and the bound on it. The tool looks once and again after growing pauses; here the
/// cluster is looked at over and over until it holds or until the tool would have made its last attempt.
fn times(section: &mut Section<'_>, wanted: &mut Wanted, look: &mut Look, problems: &mut Problems) {
    look.stabilize = section.seconds("stabilization_wait", Millis::secs(5), Least::Zero, problems);
    wanted.converge = section.seconds("validation_timeout", Millis::secs(30), Least::Some, problems);
    look.blocking = section.boolean("blocking_on_failure", false, problems);
    let again = section.boolean("retry_on_transient_failure", true, problems);
    let retries = section.integer("max_retries", (0, 100), problems).unwrap_or(3);
    let pause = section.seconds("retry_delay", Millis::secs(2), Least::Zero, problems);
    if look.stabilize >= wanted.converge
        && let Some(given) =
            section.given("validation_timeout").or_else(|| section.given("stabilization_wait"))
    {
        given.warn(
            "stabilization_wait leaves nothing of validation_timeout: the original tool always fails then; here the \
             checks are made once",
            problems,
        );
    }
    look.within = Millis(wanted.converge.0.saturating_sub(look.stabilize.0));
    if again {
        // The pauses double: pause times (2^retries - 1).
        let pauses = pause.0.saturating_mul((1u64 << retries.min(20)) - 1);
        look.within = Millis(look.within.0.saturating_add(pauses).min(LOOK_MAX));
    } else {
        look.within = Millis(0);
    }
}

/// The longest that the checks of a wave are waited for.
const LOOK_MAX: u64 = 600_000;

/// The bound on one query, which this tool sets itself.
fn wait(config: &mut Section<'_>, problems: &mut Problems) {
    config.seconds("timeout", Millis(0), Least::Some, problems);
}

/// Whether the states that are accepted take in one that is not `ok`. `unknown` means that no node answered.
fn states(given: &Given<'_>, problems: &mut Problems) -> bool {
    let Some(items) = given.items("a list of states", problems) else { return false };
    let mut lenient = false;
    for (path, item) in items {
        let item = Given { key: given.key, node: item, path };
        let words = [("ok", false), ("unknown", false), ("fail", true), ("degraded", true)];
        lenient |= item.one_of("state", &words, problems).unwrap_or(false);
    }
    lenient
}

fn interim(given: &Given<'_>, wanted: &mut Wanted, look: &mut Look, problems: &mut Problems) {
    let Some(mut section) = Section::open(given.node, &given.path, given.key.span, problems) else { return };
    let full = section.boolean("check_slot_coverage", true, problems);
    let conflicts = section.boolean("check_slot_conflicts", true, problems);
    (wanted.coverage, wanted.full, wanted.conflicts) = (full || conflicts, full, conflicts);
    wanted.sync = section.boolean("check_replica_sync", true, problems);
    wanted.lags = wanted.sync;
    wanted.status = section.boolean("check_node_connectivity", true, problems);
    wanted.data = section.boolean("check_data_consistency", true, problems);
    (wanted.topology, wanted.views, wanted.logs) = (false, false, false);
    wanted.converge = section.seconds("convergence_timeout", Millis::secs(60), Least::Some, problems);
    wanted.lag = section.seconds("max_replication_lag", Millis::secs(5), Least::Zero, problems);
    look.stabilize = look.stabilize.min(wanted.converge);
    look.within = Millis(wanted.converge.0 - look.stabilize.0);
    section.finish(
        &[
            "check_slot_coverage",
            "check_slot_conflicts",
            "check_replica_sync",
            "check_node_connectivity",
            "check_data_consistency",
            "convergence_timeout",
            "max_replication_lag",
        ],
        problems,
    );
}

/// The five that the older dialect has, all at their defaults.
fn older_default(wanted: &mut Wanted) {
    (wanted.status, wanted.topology, wanted.views, wanted.logs) = (false, false, false, false);
    wanted.lag = Millis::secs(5);
    wanted.least_replicas = 0;
    wanted.keys = 0;
}

fn older(given: &Given<'_>, wanted: &mut Wanted, problems: &mut Problems) {
    older_default(wanted);
    // What is not named is off, once there is a section.
    (wanted.coverage, wanted.data, wanted.sync) = (false, false, false);
    let known =
        ["slot_coverage", "replica_sync", "data_consistency", "max_convergence_time", "max_replication_lag"];
    let mut read = |section: &mut Section<'_>, seen: &mut Vec<(String, u32)>, problems: &mut Problems| {
        for key in section.keys().map(|key| (key.text.clone(), key.span)).collect::<Vec<_>>() {
            if let Some((_, line)) = seen.iter().find(|(name, _)| *name == key.0) {
                problems
                    .error(
                        Some(key.1),
                        &section.path,
                        &key.0,
                        format!("duplicate check `{}`, first given on line {line}", key.0),
                    )
                    .hint("keep one");
            }
            seen.push((key.0, key.1.line));
        }
        let boolean = |section: &mut Section<'_>, name: &str, value: &mut bool, problems: &mut Problems| {
            if let Some(given) = section.given(name) {
                *value = given.boolean(problems).unwrap_or(*value);
            }
        };
        boolean(section, "slot_coverage", &mut wanted.coverage, problems);
        boolean(section, "replica_sync", &mut wanted.sync, problems);
        boolean(section, "data_consistency", &mut wanted.data, problems);
        wanted.converge = section.seconds("max_convergence_time", wanted.converge, Least::Some, problems);
        wanted.lag = section.seconds("max_replication_lag", wanted.lag, Least::Zero, problems);
    };
    let mut seen = Vec::new();
    match &given.node.value {
        Value::List(_) => {
            let Some(items) = given.items("a list of checks", problems) else { return };
            for (path, item) in items {
                if let Some(mut section) = Section::open(item, &path, item.span, problems) {
                    read(&mut section, &mut seen, problems);
                    section.finish(&known, problems);
                }
            }
        }
        _ => {
            if let Some(mut section) = Section::open(given.node, &given.path, given.key.span, problems) {
                read(&mut section, &mut seen, problems);
                section.finish(&known, problems);
            }
        }
    }
}
