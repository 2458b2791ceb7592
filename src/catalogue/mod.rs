//! The vocabulary: every operation, fault and check by name. One line here and one folder elsewhere each.
//!
//! From these lines come the tagged enums that a timeline holds, `fuzz list`, the JSON schema and the help.
//! A change of meaning of any entry raises [`VERSION`].

pub mod info;
pub mod message;
pub mod selector;

/// Which targets a fault can strike: all, or those whose nodes are processes.
pub mod targets {
    pub use crate::target::{ALL, REAL};
}

use crate::check;
use crate::fault;
use crate::target::operation;
use crate::yaml::document::{Node, Problems};
use crate::yaml::fields::{FieldInfo, Fields, Record};
pub use info::{Ability, ActionInfo, ActionKind, Class, Declared, DrawContext};
pub use message::MessageType;
pub use selector::{EventId, NodeSelector};
use serde::{Deserialize, Serialize};

/// The version of the vocabulary's meaning; part of every timeline.
pub const VERSION: u32 = 2;

macro_rules! tagged {
    ($(#[$meta:meta])* $name:ident: $($variant:ident = $ty:ty),* $(,)?) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $($variant($ty)),* }
        impl $name {
            /// Every entry's fields, by name, in the order of the catalogue.
            pub const FIELDS: &'static [(&'static str, &'static [FieldInfo])] =
                &[$((<$ty>::NAME, <$ty as Record>::FIELDS)),*];
            pub const NAMES: &'static [&'static str] = &[$(<$ty>::NAME),*];
            pub fn name(&self) -> &'static str { match self { $(Self::$variant(_) => <$ty>::NAME),* } }
            /// Reads the fields of the entry called `name`; an unknown name is the caller's to report.
            pub fn read(name: &str, node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
                $(if name == <$ty>::NAME {
                    let mut fields = Fields::open(node, path, problems)?;
                    let value = <$ty as Record>::read_fields(&mut fields);
                    let known: Vec<&str> = <$ty as Record>::FIELDS.iter().map(|f| f.name).collect();
                    fields.finish(&known);
                    return value.map(Self::$variant);
                })*
                None
            }
            pub fn write_fields(&self) -> Vec<(&'static str, String)> {
                match self { $(Self::$variant(value) => value.write_fields()),* }
            }
        }
    };
}

tagged! {
    /// What an event does.
    Action:
    // Operations: what people do to a cluster.
    Failover = operation::Failover,
    AddReplica = operation::AddReplica,
    RemoveReplica = operation::RemoveReplica,
    Reshard = operation::Reshard,
    Drain = operation::Drain,
    ScaleOut = operation::ScaleOut,
    ScaleIn = operation::ScaleIn,
    ForgetAndMeet = operation::ForgetAndMeet,
    ConfigChange = operation::ConfigChange,
    RollingRestart = operation::RollingRestart,
    Burst = operation::Burst,
    Admin = operation::Admin,
    // Faults: what goes wrong.
    Kill = fault::kill::Kill,
    Pause = fault::pause::Pause,
    Restart = fault::restart::Restart,
    Cut = fault::cut::Cut,
    Lossy = fault::lossy::Lossy,
    Slow = fault::slow::Slow,
    ClockSkew = fault::clock_skew::ClockSkew,
    DiskError = fault::disk_error::DiskError,
    FullDisk = fault::full_disk::FullDisk,
    SlowDisk = fault::slow_disk::SlowDisk,
    StrikeAt = fault::strike_at::StrikeAt,
    PowerLoss = fault::power_loss::PowerLoss,
    MemoryLimit = fault::memory_limit::MemoryLimit,
    Reset = fault::reset::Reset,
    Refuse = fault::refuse::Refuse,
    Hold = fault::hold::Hold,
    // Looking, and harm behind the cluster's back that proves the checks.
    Check = operation::CheckNow,
    Sabotage = operation::Sabotage,
    Aim = operation::Aim,
    // What came later. A timeline's hash holds an entry's place in this list: new ones go to its end.
    Corrupt = fault::corrupt::Corrupt,
    Garble = fault::garble::Garble,
    Throttle = fault::throttle::Throttle,
    Flap = fault::flap::Flap,
    Stutter = fault::stutter::Stutter,
    HalfOpen = fault::half_open::HalfOpen,
    StrikeLink = fault::strike_link::StrikeLink,
    SlowClose = fault::slow_close::SlowClose,
    CpuLimit = fault::cpu_limit::CpuLimit,
    CpuHog = fault::cpu_hog::CpuHog,
    FdLimit = fault::fd_limit::FdLimit,
    UseUpConnections = fault::use_up_connections::UseUpConnections,
    ClockStrobe = fault::clock_strobe::ClockStrobe,
    BitFlip = fault::bit_flip::BitFlip,
    MoveReplica = operation::MoveReplica,
    BumpEpoch = operation::BumpEpoch,
    ResolveFails = fault::resolve_fails::ResolveFails,
    Compact = operation::Compact,
    Defragment = operation::Defragment,
    AddLearner = operation::AddLearner,
    Promote = operation::Promote,
    ReplaceMember = operation::ReplaceMember,
    ExceedQuota = operation::ExceedQuota,
    Snapshot = operation::Snapshot,
    RefusedReconfig = operation::RefusedReconfig,
}

macro_rules! infos {
    ($($variant:ident = $ty:ty),* $(,)?) => {
        /// The declarations of all actions, in the order of the catalogue.
        pub const ACTIONS: &[ActionInfo] = &[$(<$ty as Declared>::INFO),*];
        impl Action {
            pub fn info(&self) -> &'static ActionInfo {
                match self { $(Self::$variant(_) => const { &<$ty as Declared>::INFO }),* }
            }
            /// What an environment must be able to do for this very event.
            pub fn needs(&self) -> Ability {
                match self { $(Self::$variant(action) => action.needs()),* }
            }
            /// What this very event does to the promises of the system under test.
            pub fn class(&self) -> Class {
                match self { $(Self::$variant(action) => action.class()),* }
            }
            /// Draws the parameters of the entry called `name`; `None` when the cluster's shape leaves no room.
            pub fn draw(name: &str, context: &mut DrawContext<'_>) -> Option<Self> {
                $(if name == <$ty>::NAME { return <$ty as Declared>::draw(context).map(Self::$variant); })*
                None
            }
            /// As [`Action::draw`], by the position in [`ACTIONS`].
            pub fn draw_at(position: usize, context: &mut DrawContext<'_>) -> Option<Self> {
                const DRAWS: &[fn(&mut DrawContext<'_>) -> Option<Action>] =
                    &[$(|context| <$ty as Declared>::draw(context).map(Action::$variant)),*];
                DRAWS[position](context)
            }
        }
    };
}
infos! {
    Failover = operation::Failover, AddReplica = operation::AddReplica, RemoveReplica = operation::RemoveReplica,
    Reshard = operation::Reshard, Drain = operation::Drain, ScaleOut = operation::ScaleOut, ScaleIn = operation::ScaleIn,
    ForgetAndMeet = operation::ForgetAndMeet, ConfigChange = operation::ConfigChange,
    RollingRestart = operation::RollingRestart, Burst = operation::Burst, Admin = operation::Admin,
    Kill = fault::kill::Kill, Pause = fault::pause::Pause, Restart = fault::restart::Restart, Cut = fault::cut::Cut,
    Lossy = fault::lossy::Lossy, Slow = fault::slow::Slow, ClockSkew = fault::clock_skew::ClockSkew,
    DiskError = fault::disk_error::DiskError, FullDisk = fault::full_disk::FullDisk,
    SlowDisk = fault::slow_disk::SlowDisk, StrikeAt = fault::strike_at::StrikeAt,
    PowerLoss = fault::power_loss::PowerLoss, MemoryLimit = fault::memory_limit::MemoryLimit,
    Reset = fault::reset::Reset, Refuse = fault::refuse::Refuse, Hold = fault::hold::Hold,
    Check = operation::CheckNow, Sabotage = operation::Sabotage, Aim = operation::Aim,
    Corrupt = fault::corrupt::Corrupt, Garble = fault::garble::Garble, Throttle = fault::throttle::Throttle,
    Flap = fault::flap::Flap, Stutter = fault::stutter::Stutter, HalfOpen = fault::half_open::HalfOpen,
    StrikeLink = fault::strike_link::StrikeLink, SlowClose = fault::slow_close::SlowClose,
    CpuLimit = fault::cpu_limit::CpuLimit, CpuHog = fault::cpu_hog::CpuHog,
    FdLimit = fault::fd_limit::FdLimit, UseUpConnections = fault::use_up_connections::UseUpConnections,
    ClockStrobe = fault::clock_strobe::ClockStrobe, BitFlip = fault::bit_flip::BitFlip,
    MoveReplica = operation::MoveReplica, BumpEpoch = operation::BumpEpoch,
    ResolveFails = fault::resolve_fails::ResolveFails,
    Compact = operation::Compact, Defragment = operation::Defragment,
    AddLearner = operation::AddLearner, Promote = operation::Promote, ReplaceMember = operation::ReplaceMember,
    ExceedQuota = operation::ExceedQuota, Snapshot = operation::Snapshot,
    RefusedReconfig = operation::RefusedReconfig,
}

tagged! {
    /// A check with its bounds.
    CheckSpec:
    SlotCoverage = check::slot_coverage::SlotCoverage,
    Quorum = check::quorum::Quorum,
    ViewAgreement = check::view_agreement::ViewAgreement,
    Topology = check::topology::Topology,
    ReplicaSync = check::replica_sync::ReplicaSync,
    ReplicationLag = check::replication_lag::ReplicationLag,
    DataConsistency = check::data_consistency::DataConsistency,
    AcknowledgedLoss = check::acknowledged_loss::AcknowledgedLoss,
    ConvergenceTime = check::convergence_time::ConvergenceTime,
    Crash = check::crash::Crash,
    LogScan = check::log_scan::LogScan,
    Linearizability = check::linearizability::Linearizability,
    Service = check::expect::service::Service,
    Leadership = check::expect::leadership::Leadership,
    Injection = check::expect::injection::Injection,
    OneLeader = check::one_leader::OneLeader,
    Watches = check::watch::Watches,
    Ephemerals = check::ephemerals::Ephemerals,
    Bank = check::bank::Bank,
    Leases = check::lease::Leases,
    Refusals = check::refusals::Refusals,
    Queue = check::queue::Queue,
    Removals = check::removals::Removals,
}

#[cfg(test)]
mod tests {
    use super::Action;

    #[test]
    fn entries_keep_the_places_that_hashes_of_timelines_hold() {
        let known = "failover add_replica remove_replica reshard drain scale_out scale_in forget_and_meet config_change \
                     rolling_restart burst admin kill pause restart cut lossy slow clock_skew disk_error full_disk slow_disk \
                     strike_at power_loss memory_limit reset refuse hold check sabotage aim corrupt garble throttle \
                     flap stutter half_open strike_link slow_close cpu_limit cpu_hog fd_limit use_up_connections \
                     clock_strobe bit_flip move_replica bump_epoch resolve_fails compact defragment add_learner promote replace_member \
                     exceed_quota snapshot refused_reconfig";
        let known: Vec<&str> = known.split_whitespace().collect();
        assert_eq!(Action::NAMES.get(..known.len()), Some(known.as_slice()), "new ones go to the end");
    }
}
