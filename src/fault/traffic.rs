//! Which packets of a link a fault strikes, told by the TCP ports of their ends: a server has one for its clients, at
//! which its replicas replicate too, and one for the cluster bus.

crate::word! {
    /// A class of what crosses a link.
    #[derive(Default)]
    pub enum Traffic {
        /// All of it, whatever its ports.
        #[default]
        All = "all",
        /// To and from the port for clients: the run's own, replication, slots that migrate.
        Clients = "clients",
        /// To and from the port of the cluster bus.
        Bus = "bus",
    }
}

impl Traffic {
    /// What a timeline does not write.
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// Packets are told apart by the environment that sees them.
pub const fn needs(traffic: Traffic, otherwise: crate::catalogue::Ability) -> crate::catalogue::Ability {
    match traffic {
        Traffic::All => otherwise,
        Traffic::Clients | Traffic::Bus => crate::catalogue::Ability::Packet,
    }
}
