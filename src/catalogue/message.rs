//! The messages of the cluster bus, by name: what an event may wait for, and what a fault may hold.

crate::word! {
    /// A kind of message on the cluster bus of Redis and Valkey, by the name that their sources give it
    /// (`CLUSTERMSG_TYPE_*` in `cluster_legacy.h`).
    pub enum MessageType {
        Ping = "PING",
        Pong = "PONG",
        Meet = "MEET",
        Fail = "FAIL",
        Publish = "PUBLISH",
        FailoverAuthRequest = "FAILOVER_AUTH_REQUEST",
        FailoverAuthAck = "FAILOVER_AUTH_ACK",
        Update = "UPDATE",
        MfStart = "MFSTART",
        Module = "MODULE",
        PublishShard = "PUBLISHSHARD",
    }
}
