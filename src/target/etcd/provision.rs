//! What a member is made of: its command line and its configuration file. Pure.

use crate::env::{NodeId, NodeSpec};
use crate::target;
use crate::timeline::Timeline;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The server's settings.
pub const SERVER_CONF: &str = "server.conf";
/// What a member writes.
pub const DATA: &str = "data";

/// The name of a member.
pub fn name(node: NodeId) -> String {
    format!("{node}")
}

/// Where other members reach a node; the environment fills the address in.
pub fn peer_url(node: NodeId) -> String {
    format!("http://{{address:{0}}}:{{bus_port:{0}}}", node.0)
}

/// The members at the start, by number.
pub fn group(timeline: &Timeline) -> Vec<NodeSpec> {
    let nodes: Vec<NodeId> = (0..timeline.cluster.nodes()).map(NodeId).collect();
    let members: Vec<(String, String)> = nodes.iter().map(|node| (name(*node), peer_url(*node))).collect();
    nodes.iter().map(|node| spec(timeline, *node, &members, "new")).collect()
}

/// A member beside these others, by name and peer URL, itself among them.
pub fn spec(timeline: &Timeline, node: NodeId, members: &[(String, String)], state: &str) -> NodeSpec {
    let cluster: Vec<String> = members.iter().map(|(name, url)| format!("{name}={url}")).collect();
    let mut text = String::new();
    for (key, value) in [
        ("name", name(node)),
        ("data-dir", format!("{{dir}}/{DATA}")),
        ("listen-client-urls", "http://{address}:{port}".into()),
        ("advertise-client-urls", "http://{address}:{port}".into()),
        ("listen-peer-urls", "http://{address}:{bus_port}".into()),
        ("initial-advertise-peer-urls", "http://{address}:{bus_port}".into()),
        ("initial-cluster", cluster.join(",")),
        ("initial-cluster-state", state.into()),
        ("initial-cluster-token", format!("seedfault-{}", timeline.seed)),
    ] {
        let _ = writeln!(text, "{key}: \"{value}\"");
    }
    // Off where a configuration file does not switch it on.
    text.push_str("enable-grpc-gateway: true\n");
    let known = target::info(super::NAME).and_then(|info| info.settings).unwrap_or_default();
    for (key, value) in timeline.cluster.settings.0.iter().filter(|(key, _)| known.contains(&key.as_str())) {
        let plain = matches!(value.as_str(), "true" | "false") || value.parse::<u64>().is_ok();
        let quote = if plain { "" } else { "\"" };
        let _ = writeln!(text, "{key}: {quote}{value}{quote}");
    }
    NodeSpec {
        argv: vec!["{server}".into(), "--config-file".into(), format!("{{dir}}/{SERVER_CONF}")],
        files: BTreeMap::from([(SERVER_CONF.to_string(), text)]),
        config_files: Vec::new(),
        data_files: vec![DATA.into()],
    }
}
