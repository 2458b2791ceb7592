//! What faults of resources are to the node that is short of them, as it says itself.

use super::{A, Bench};
use seedfault::env::{ConnId, Effect, Env as _, EnvError, Exit, NodeAction};
use seedfault::fault::disk::Blow;
use seedfault::fault::kill::Signal;
use seedfault::fault::resource::{Percent, ResourceRule};
use seedfault::fault::restart::RestartData;
use seedfault::time::Millis;

impl Bench {
    pub fn take(&mut self, event: &str, rule: ResourceRule) -> Result<String, EnvError> {
        self.apply(Effect::Node(A, NodeAction::Resource(event.into(), Some(rule))))
    }

    pub fn give_back(&mut self, event: &str) -> Result<String, EnvError> {
        self.apply(Effect::Node(A, NodeAction::Resource(event.into(), None)))
    }

    /// Has the node want a core for so long. Answers what it had of it, in per cent, and its longest wait in
    /// milliseconds.
    fn burn(&mut self, client: ConnId, time: u64) -> (u64, u64) {
        let said = self.ask(client, &format!("burn {time}"));
        let (used, longest) = said.split_once(' ').expect("two numbers");
        let number = |text: &str| text.parse::<u64>().expect("a number");
        (number(used) / 10 / time, number(longest) / 1000)
    }

    /// Lets so much time pass, whatever comes meanwhile.
    pub fn wait(&mut self, time: Millis) {
        let until = self.env.now().plus(time);
        while self.env.now() < until {
            self.pass(Millis(50));
        }
    }

    /// The node has more than that of a core. Others may want it too, and may be the quicker for a while.
    fn has_again(&mut self, client: ConnId, percent: u64) {
        let had: Vec<u64> = (0..10).map(|_| self.burn(client, 300).0).collect();
        assert!(had.iter().any(|had| *had > percent), "{had:?} of {percent}");
    }
}

pub fn share(bench: &mut Bench) {
    bench.start(A);
    let client = bench.client(A);
    for percent in [20, 5] {
        bench.take("limit", ResourceRule::Share(Percent(percent))).expect("it runs");
        let (had, longest) = bench.burn(client, 1500);
        let said = bench.give_back("limit").expect("it is over");
        println!("live: of {percent} % a node had {had} %, and waited up to {longest} ms; {said}");
        let asked = u64::from(percent);
        assert!(had <= asked + 3 && had * 2 >= asked, "{had} %");
        assert!(said.contains(" % of a core in 1") && !said.contains("struck nothing"), "{said}");
        bench.has_again(client, had + had / 4);
    }
    bench.take("idle", ResourceRule::Share(Percent(50))).expect("it runs");
    bench.wait(Millis(400));
    let said = bench.give_back("idle").expect("it is over");
    assert!(said.contains("stopped 0 times") && said.contains("struck nothing"), "{said}");
}

pub fn share_stays(bench: &mut Bench) {
    bench.start(A);
    bench.take("one", ResourceRule::Share(Percent(60))).expect("it runs");
    bench.take("other", ResourceRule::Share(Percent(10))).expect("it runs");
    let client = bench.client(A);
    assert!(bench.burn(client, 700).0 <= 12, "the least of both is in force");
    bench.say(client, "burn 200");
    bench.apply(Effect::Node(A, NodeAction::Pause)).expect("it runs");
    bench.wait(Millis(300));
    let threads = bench.apply(Effect::Node(A, NodeAction::Pause)).expect("nobody lets it go on");
    assert!(threads.contains("state T"), "{threads}");
    bench.apply(Effect::Node(A, NodeAction::Resume)).expect("it is stopped");
    bench.hear(client);
    bench.apply(Effect::Node(A, NodeAction::Signal(Signal::Kill))).expect("it runs");
    bench.apply(Effect::Node(A, NodeAction::Start(RestartData::Kept))).expect("it is down");
    bench.log_says("listening");
    let client = bench.client(A);
    assert!(bench.burn(client, 700).0 <= 12, "it is the node's");
    bench.give_back("other").expect("it is over");
    let (had, _) = bench.burn(client, 700);
    assert!((20..=63).contains(&had), "{had} %: the other goes on");
    bench.give_back("one").expect("it is over");
    assert!(bench.give_back("one").expect("nothing is left").contains("nothing was taken"));
}

pub fn hog(bench: &mut Bench) {
    bench.start(A);
    let client = bench.client(A);
    let said = bench.take("hog", ResourceRule::Hog { threads: 3 }).expect("it runs");
    assert!(said.starts_with("it is bound to core "), "{said}");
    let (had, longest) = bench.burn(client, 1500);
    let said = bench.give_back("hog").expect("it is over");
    println!("live: beside three busy threads a node had {had} %, and waited up to {longest} ms; {said}");
    // A quarter, where nobody else is there.
    assert!((3..=32).contains(&had), "{had} %");
    assert!(said.contains("the busy threads had") && said.contains("waited"), "{said}");
    bench.has_again(client, had + had / 4);
}

pub fn files(bench: &mut Bench) {
    const EMFILE: &str = "24";
    bench.start(A);
    let client = bench.client(A);
    // Its connection is a file, once it is accepted; the thread that waits for the next has a number for it already.
    assert_eq!(bench.ask(client, "ping 1"), "pong 1");
    let said = bench.take("files", ResourceRule::Files { spare: 4 }).expect("it runs");
    assert!(said.contains("leaves 4"), "{said}");
    assert_eq!(bench.ask(client, "open 4"), EMFILE, "{said}");
    assert_eq!(bench.ask(client, "open 2"), "open", "it was to have three");
    let tighter = bench.take("tighter", ResourceRule::Files { spare: 0 }).expect("it runs");
    assert_eq!(bench.ask(client, "open 1"), EMFILE, "{tighter}");
    bench.give_back("tighter").expect("it is over");
    assert_eq!(bench.ask(client, "open 1"), "open", "the other leaves one more");
    assert_eq!(bench.ask(client, "open 1"), EMFILE);
    let said = bench.give_back("files").expect("it is over");
    assert!(said.contains("files open at the end"), "{said}");
    assert_eq!(bench.ask(client, "open 100"), "open");
}

pub fn memory(bench: &mut Bench) {
    bench.start(A);
    let client = bench.client(A);
    bench.take("memory", ResourceRule::Kill { room: 40 }).expect("it runs");
    assert_eq!(bench.ask(client, "have 10"), "1");
    bench.wait(Millis(100));
    bench.say(client, "have 60");
    assert_eq!(bench.exit(A), Exit::Signal(9));
    let (blow, what) = bench.struck_by("memory");
    assert!(blow == Some(Blow::Kill) && what.starts_with("killed with "), "{what}");
    println!("live: a node that was to have 40 MB more was {what}");
    bench.give_back("memory").expect("it is over");
    bench.apply(Effect::Node(A, NodeAction::Start(RestartData::Kept))).expect("it is down");
    bench.log_says("listening");
    let client = bench.client(A);
    assert_eq!(bench.ask(client, "have 60"), "1");
    bench.wait(Millis(100));
    assert_eq!(bench.ask(client, "ping 1"), "pong 1");
}

pub fn crowd(bench: &mut Bench) {
    bench.start(A);
    let client = bench.client(A);
    let rule = ResourceRule::Connections { count: Some(80) };
    let said = bench.take("crowd", rule).expect("it runs");
    assert!(said.starts_with("80 connections of a crowd at 10.77.255.252 are held, 0 were"), "{said}");
    // A server that has run out of files takes nobody.
    bench.take("files", ResourceRule::Files { spare: 0 }).expect("it runs");
    assert_eq!(bench.ask(client, "ping 1"), "pong 1");
    bench.give_back("files").expect("it is over");
    let said = bench.give_back("crowd").expect("it is over");
    assert!(said.starts_with("80 connections"), "{said}");
    assert_eq!(bench.ask(client, "ping 2"), "pong 2");
}
