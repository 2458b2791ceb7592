//! The wish to stop, for an environment that waits for nothing: virtual time has no place where a signal would
//! arrive, so it is asked for before every step. Without a request nothing differs, and a run repeats exactly.

use crate::catalogue::MessageType;
use crate::env::talk::{Said, Sent};
use crate::env::{ActorId, Effect, Env, Input, NetworkTold, NodeId, Profile, Step, Trouble};
use crate::time::Micros;
use nix::errno::Errno;
use std::os::fd::OwnedFd;

/// An environment that a readable descriptor interrupts.
#[derive(Debug)]
pub struct Stoppable<E> {
    env: E,
    /// Becomes readable with each request; closed by the other side counts as one.
    requests: Option<OwnedFd>,
}

impl<E: Env> Stoppable<E> {
    /// `requests` must not block.
    pub const fn new(env: E, requests: OwnedFd) -> Self {
        Self { env, requests: Some(requests) }
    }

    fn asked(&mut self) -> bool {
        let Some(requests) = &self.requests else { return false };
        let mut bytes = [0; 4096];
        match nix::unistd::read(requests, &mut bytes) {
            Err(Errno::EAGAIN | Errno::EINTR) => return false,
            Ok(0) | Err(_) => self.requests = None,
            Ok(_) => {}
        }
        true
    }
}

impl<E: Env> Env for Stoppable<E> {
    fn profile(&self) -> &'static Profile {
        self.env.profile()
    }
    fn now(&self) -> Micros {
        self.env.now()
    }
    fn wall(&self) -> Micros {
        self.env.wall()
    }
    fn endpoint(&self, node: NodeId) -> Option<(String, u16)> {
        self.env.endpoint(node)
    }
    fn submit(&mut self, who: ActorId, effect: Effect) {
        self.env.submit(who, effect);
    }
    fn step(&mut self, until: Micros, out: &mut Vec<(Micros, ActorId, Input)>) -> Step {
        if self.asked() {
            return Step::Interrupted;
        }
        self.env.step(until, out)
    }
    fn close(&mut self) {
        self.env.close();
    }
    fn watch_messages(&mut self, kinds: &[MessageType]) {
        self.env.watch_messages(kinds);
    }
    fn trace_hash(&self) -> Option<String> {
        self.env.trace_hash()
    }
    fn said(&self) -> Vec<Said> {
        self.env.said()
    }
    fn messages(&self) -> Vec<Sent> {
        self.env.messages()
    }
    fn network(&self) -> Option<&NetworkTold> {
        self.env.network()
    }
    fn notes(&self) -> &[String] {
        self.env.notes()
    }
    fn trouble(&self) -> Option<&Trouble> {
        self.env.trouble()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::sim::SimEnv;
    use crate::spec::{Dialect, Spec};
    use nix::fcntl::OFlag;

    #[test]
    fn each_request_interrupts_once_and_none_changes_nothing() {
        let spec = Spec::quiet(Dialect::Native);
        let timeline =
            crate::timeline::generate(&spec, crate::entropy::Seed(1), "embedded", &crate::env::SIM)
                .expect("nothing is drawn");
        let (reader, writer) = nix::unistd::pipe2(OFlag::O_NONBLOCK).expect("pipes can be made");
        let mut env = Stoppable::new(SimEnv::new(&timeline), reader);
        let mut out = Vec::new();
        assert_eq!(env.step(Micros(1000), &mut out), Step::Going);
        nix::unistd::write(&writer, b"x").expect("the pipe takes a byte");
        assert_eq!(env.step(Micros(2000), &mut out), Step::Interrupted);
        assert_eq!(env.step(Micros(3000), &mut out), Step::Going);
        drop(writer);
        assert_eq!(env.step(Micros(4000), &mut out), Step::Interrupted);
        assert_eq!(env.step(Micros(5000), &mut out), Step::Going);
    }
}
