//! Which watches a session has registered, and which of them a notification uses up.
//!
//! A watch of a read fires once: on data that was read, on a node that was asked for and whether it is there, on
//! children that were listed. Two reads of one path share one watch. A persistent watch stays; a recursive one is told of
//! all that happens at its path and below, but not of children that change, for the children tell of themselves
//! (`WatchManager.java`, `ClientWatchManager` of ZooKeeper 3.8).

use super::code::Code;
use super::wire::{Answer, Happened, Notification, Request, WatchKind, WatchMode, WatchesAgain};
use std::collections::BTreeSet;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watches {
    data: BTreeSet<String>,
    /// On nodes that were not there.
    exists: BTreeSet<String>,
    children: BTreeSet<String>,
    persistent: BTreeSet<String>,
    recursive: BTreeSet<String>,
}

impl Watches {
    pub fn is_empty(&self) -> bool {
        self.one_shot() == 0 && self.persistent.is_empty() && self.recursive.is_empty()
    }

    /// How many watches are left that fire once.
    pub fn one_shot(&self) -> usize {
        self.data.len() + self.exists.len() + self.children.len()
    }

    /// All of them, to be registered again on a new connection.
    pub fn again(&self, seen_zxid: i64) -> WatchesAgain {
        let list = |paths: &BTreeSet<String>| paths.iter().cloned().collect();
        WatchesAgain {
            seen_zxid,
            data: list(&self.data),
            exists: list(&self.exists),
            children: list(&self.children),
            persistent: list(&self.persistent),
            recursive: list(&self.recursive),
        }
    }

    /// A request was answered: what it registered is in force from here on.
    pub fn answered(&mut self, request: &Request, answer: &Result<Answer, Code>) {
        match (request, answer) {
            (Request::GetData { path, watch: true } | Request::Exists { path, watch: true }, Ok(_)) => {
                self.data.insert(path.clone());
            }
            (Request::Exists { path, watch: true }, Err(Code::NO_NODE)) => {
                self.exists.insert(path.clone());
            }
            (Request::GetChildren { path, watch: true }, Ok(_)) => {
                self.children.insert(path.clone());
            }
            (Request::AddWatch { path, mode: WatchMode::Persistent }, Ok(_)) => {
                self.persistent.insert(path.clone());
            }
            (Request::AddWatch { path, mode: WatchMode::PersistentRecursive }, Ok(_)) => {
                self.recursive.insert(path.clone());
            }
            (Request::RemoveWatches { path, kind }, Ok(_)) => {
                if *kind != WatchKind::Children {
                    self.data.remove(path);
                    self.exists.remove(path);
                }
                if *kind != WatchKind::Data {
                    self.children.remove(path);
                }
                if *kind == WatchKind::Any {
                    self.persistent.remove(path);
                    self.recursive.remove(path);
                }
            }
            _ => {}
        }
    }

    /// Uses up what a notification was for. Answers whether anything was registered, or is about to be by a request that
    /// has no answer yet, that could have fired.
    pub fn fired<'a>(&mut self, told: &Notification, mut open: impl Iterator<Item = &'a Request>) -> bool {
        let path = &told.path;
        let used = match told.happened {
            Happened::Session | Happened::WatchRemoved => return true,
            // A node that was not there is watched as one that was: a read may have come between.
            Happened::Created | Happened::DataChanged => self.data.remove(path) | self.exists.remove(path),
            Happened::Deleted => {
                self.data.remove(path) | self.exists.remove(path) | self.children.remove(path)
            }
            Happened::ChildrenChanged => self.children.remove(path),
        };
        let at_or_below = |root: &String| {
            path == root
                || root == "/"
                || path.strip_prefix(root.as_str()).is_some_and(|r| r.starts_with('/'))
        };
        used || self.persistent.contains(path)
            || (told.happened != Happened::ChildrenChanged && self.recursive.iter().any(at_or_below))
            || open.any(|request| match request {
                Request::GetData { path: asked, watch }
                | Request::Exists { path: asked, watch }
                | Request::GetChildren { path: asked, watch } => *watch && asked == path,
                Request::AddWatch { path: asked, .. } => at_or_below(asked),
                _ => false,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::zookeeper::wire::Stat;

    fn told(happened: Happened, path: &str) -> Notification {
        Notification { happened, state: 3, path: path.into() }
    }

    fn nobody() -> std::iter::Empty<&'static Request> {
        std::iter::empty()
    }

    #[test]
    fn a_watch_of_a_read_fires_at_most_once_for_each_registration() {
        let mut watches = Watches::default();
        let read = Request::GetData { path: "/a".into(), watch: true };
        let answer = Ok(Answer::Data(Vec::new(), Stat::default()));
        watches.answered(&read, &answer);
        watches.answered(&read, &answer);
        assert_eq!(watches.one_shot(), 1, "two reads of a path share a watch");
        assert!(!watches.fired(&told(Happened::ChildrenChanged, "/a"), nobody()), "it is none of children");
        assert!(watches.fired(&told(Happened::DataChanged, "/a"), nobody()));
        assert!(!watches.fired(&told(Happened::DataChanged, "/a"), nobody()), "it is used up");
        assert!(watches.fired(&told(Happened::DataChanged, "/a"), [&read].into_iter()), "one is on its way");
    }

    #[test]
    fn a_missing_node_is_watched_only_by_who_asked_whether_it_is_there() {
        let mut watches = Watches::default();
        watches.answered(&Request::GetData { path: "/a".into(), watch: true }, &Err(Code::NO_NODE));
        assert!(watches.is_empty());
        watches.answered(&Request::Exists { path: "/a".into(), watch: true }, &Err(Code::NO_NODE));
        assert_eq!(watches.again(7).exists, ["/a"]);
        assert!(watches.fired(&told(Happened::Created, "/a"), nobody()));
        assert!(watches.is_empty());
    }

    #[test]
    fn a_recursive_watch_stays_and_hears_of_all_below_but_not_of_lists_of_children() {
        let mut watches = Watches::default();
        let add = Request::AddWatch { path: "/a".into(), mode: WatchMode::PersistentRecursive };
        watches.answered(&add, &Ok(Answer::Nothing));
        for _ in 0..2 {
            assert!(watches.fired(&told(Happened::Created, "/a/b/c"), nobody()));
        }
        assert!(!watches.fired(&told(Happened::Created, "/ab"), nobody()));
        assert!(!watches.fired(&told(Happened::ChildrenChanged, "/a"), nobody()));
        let remove = Request::RemoveWatches { path: "/a".into(), kind: WatchKind::Any };
        watches.answered(&remove, &Ok(Answer::Nothing));
        assert!(watches.is_empty());
    }
}
