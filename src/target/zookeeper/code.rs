//! What a server answers where a request came to nothing: its own codes, by name, and what each says of whether the
//! request was carried out. The numbers are those of `KeeperException.Code` in ZooKeeper 3.8.

use std::fmt;

/// An error code of a server; 0 would be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code(pub i32);

macro_rules! codes {
    ($($constant:ident $name:ident = $number:literal),* $(,)?) => {
        impl Code {
            $(pub const $constant: Self = Self($number);)*
            /// The name as ZooKeeper's documentation has it; `None` for a code of a later version.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)* _ => None }
            }
        }
    };
}
codes! {
    OK Ok = 0,
    SYSTEM_ERROR SystemError = -1,
    RUNTIME_INCONSISTENCY RuntimeInconsistency = -2,
    DATA_INCONSISTENCY DataInconsistency = -3,
    CONNECTION_LOSS ConnectionLoss = -4,
    MARSHALLING_ERROR MarshallingError = -5,
    UNIMPLEMENTED Unimplemented = -6,
    OPERATION_TIMEOUT OperationTimeout = -7,
    BAD_ARGUMENTS BadArguments = -8,
    UNKNOWN_SESSION UnknownSession = -12,
    NEW_CONFIG_NO_QUORUM NewConfigNoQuorum = -13,
    RECONFIG_IN_PROGRESS ReconfigInProgress = -14,
    API_ERROR APIError = -100,
    NO_NODE NoNode = -101,
    NO_AUTH NoAuth = -102,
    BAD_VERSION BadVersion = -103,
    NO_CHILDREN_FOR_EPHEMERALS NoChildrenForEphemerals = -108,
    NODE_EXISTS NodeExists = -110,
    NOT_EMPTY NotEmpty = -111,
    SESSION_EXPIRED SessionExpired = -112,
    INVALID_CALLBACK InvalidCallback = -113,
    INVALID_ACL InvalidACL = -114,
    AUTH_FAILED AuthFailed = -115,
    SESSION_MOVED SessionMoved = -118,
    NOT_READ_ONLY NotReadOnly = -119,
    EPHEMERAL_ON_LOCAL_SESSION EphemeralOnLocalSession = -120,
    NO_WATCHER NoWatcher = -121,
    REQUEST_TIMEOUT RequestTimeout = -122,
    RECONFIG_DISABLED ReconfigDisabled = -123,
    SESSION_CLOSED_REQUIRE_SASL_AUTH SessionClosedRequireSaslAuth = -124,
    QUOTA_EXCEEDED QuotaExceeded = -125,
    THROTTLED_OP ThrottledOp = -127,
}

impl Code {
    /// Whether the request was surely not carried out. Every code but these few is the answer of a request processor
    /// that refused before a transaction was proposed, or the transaction itself was an error.
    pub fn refused(self) -> bool {
        self.name().is_some()
            && !matches!(
                self,
                Self::OK
                    | Self::SYSTEM_ERROR
                    | Self::DATA_INCONSISTENCY
                    | Self::CONNECTION_LOSS
                    | Self::OPERATION_TIMEOUT
                    | Self::REQUEST_TIMEOUT
                    | Self::API_ERROR
            )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "code {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_names_and_say_whether_anything_was_done() {
        assert_eq!(Code(-101).to_string(), "NoNode");
        assert_eq!(Code(-999).to_string(), "code -999");
        for code in [Code::NO_NODE, Code::BAD_VERSION, Code::SESSION_EXPIRED, Code::SESSION_MOVED] {
            assert!(code.refused(), "{code}");
        }
        for code in [Code::CONNECTION_LOSS, Code::OPERATION_TIMEOUT, Code::SYSTEM_ERROR, Code(-999)] {
            assert!(!code.refused(), "{code} may have been carried out");
        }
    }
}
