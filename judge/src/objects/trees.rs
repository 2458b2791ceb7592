//! Two trees over places: who waits there for a bound, and how many cores cover them.

/// Places with a bound each, or none; gives back one whose bound is below a limit, and forgets it.
#[derive(Debug)]
pub struct Waiting {
    /// The least bound under each node; the leaves are the last `size`.
    least: Vec<u64>,
    size: usize,
}

/// Nobody waits.
const NOBODY: u64 = u64::MAX;

impl Waiting {
    pub fn empty(count: usize) -> Self {
        let size = count.next_power_of_two();
        Self { least: vec![NOBODY; 2 * size], size }
    }
    pub fn new(bounds: Vec<u64>) -> Self {
        let mut tree = Self::empty(bounds.len());
        for (place, bound) in bounds.into_iter().enumerate() {
            tree.least[tree.size + place] = bound;
        }
        for node in (1..tree.size).rev() {
            tree.least[node] = tree.least[2 * node].min(tree.least[2 * node + 1]);
        }
        tree
    }
    pub fn waits(&self, place: usize) -> bool {
        self.least[self.size + place] != NOBODY
    }
    pub fn wait(&mut self, place: usize, bound: u64) {
        let mut node = self.size + place;
        self.least[node] = bound;
        while node > 1 {
            node /= 2;
            self.least[node] = self.least[2 * node].min(self.least[2 * node + 1]);
        }
    }
    /// Of the places from `low` to before `high`, one whose bound is below the limit.
    pub fn take_below(&mut self, low: usize, high: usize, limit: u64) -> Option<usize> {
        let (mut left, mut right) = (self.size + low, self.size + high);
        let mut node = None;
        while left < right && node.is_none() {
            if left % 2 == 1 {
                node = (self.least[left] < limit).then_some(left);
                left += 1;
            }
            if right % 2 == 1 && node.is_none() {
                right -= 1;
                node = (self.least[right] < limit).then_some(right);
            }
            left /= 2;
            right /= 2;
        }
        let mut node = node?;
        while node < self.size {
            node = if self.least[2 * node] < limit { 2 * node } else { 2 * node + 1 };
        }
        let place = node - self.size;
        self.wait(place, NOBODY);
        Some(place)
    }
}

/// How many cores cover each place.
#[derive(Debug)]
pub struct Cover {
    /// For each node, the least and the most below it, without what is added to the nodes above.
    nodes: Vec<Node>,
    size: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    least: i32,
    most: i32,
    added: i32,
}

impl Cover {
    /// Cores from a place to before another.
    pub fn new(count: usize, cores: &[(u32, u32)]) -> Self {
        let size = count.max(1).next_power_of_two();
        let mut change = vec![0i32; size + 1];
        for (from, to) in cores {
            change[*from as usize] += 1;
            change[*to as usize] -= 1;
        }
        let mut nodes = vec![Node::default(); 2 * size];
        let mut covered = 0;
        for (place, change) in change[..size].iter().enumerate() {
            covered += change;
            nodes[size + place] = Node { least: covered, most: covered, added: 0 };
        }
        let mut tree = Self { nodes, size };
        for node in (1..size).rev() {
            tree.gather(node);
        }
        tree
    }
    fn gather(&mut self, node: usize) {
        let (left, right) = (self.nodes[2 * node], self.nodes[2 * node + 1]);
        let added = self.nodes[node].added;
        self.nodes[node].least = left.least.min(right.least) + added;
        self.nodes[node].most = left.most.max(right.most) + added;
    }
    /// Takes a core away.
    pub fn remove(&mut self, (from, to): (u32, u32)) {
        let (mut left, mut right) = (self.size + from as usize, self.size + to as usize);
        let (first, last) = (left, right - 1);
        while left < right {
            if left % 2 == 1 {
                self.less(left);
                left += 1;
            }
            if right % 2 == 1 {
                right -= 1;
                self.less(right);
            }
            left /= 2;
            right /= 2;
        }
        for mut node in [first, last] {
            while node > 1 {
                node /= 2;
                self.gather(node);
            }
        }
    }
    fn less(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        node.least -= 1;
        node.most -= 1;
        node.added -= 1;
    }
    /// The stretches without a break from a place to before another.
    pub fn stretches(&self, from: u32, to: u32, into: &mut Vec<(u32, u32)>) {
        let mut at = from;
        while let Some(begin) = self.first(at, to, true) {
            let end = self.first(begin, to, false).unwrap_or(to);
            into.push((begin, end));
            at = end;
        }
    }
    /// The first place from `from` to before `to` that is covered, or is not.
    fn first(&self, from: u32, to: u32, covered: bool) -> Option<u32> {
        let found = self.within(1, 0, self.size as u32, (from, to), (covered, 0))?;
        (found < to).then_some(found)
    }
    fn within(
        &self,
        node: usize,
        begin: u32,
        length: u32,
        (from, to): (u32, u32),
        (covered, above): (bool, i32),
    ) -> Option<u32> {
        let here = self.nodes[node];
        let none = if covered { here.most + above == 0 } else { here.least + above > 0 };
        if none || begin + length <= from || begin >= to {
            return None;
        }
        if node >= self.size {
            return Some(begin);
        }
        let (half, above) = (length / 2, above + here.added);
        self.within(2 * node, begin, half, (from, to), (covered, above))
            .or_else(|| self.within(2 * node + 1, begin + half, half, (from, to), (covered, above)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_given_back_once() {
        let mut tree = Waiting::new(vec![5, 3, 9]);
        assert_eq!(tree.take_below(0, 3, 4), Some(1));
        assert_eq!(tree.take_below(0, 3, 4), None);
        assert_eq!(tree.take_below(1, 3, 10), Some(2));
        assert!(tree.waits(0) && !tree.waits(2));
    }

    #[test]
    fn a_core_taken_away_leaves_stretches() {
        let cores = [(0, 6), (1, 3), (4, 5)];
        let mut tree = Cover::new(7, &cores);
        let stretches = |tree: &Cover| {
            let mut all = Vec::new();
            tree.stretches(0, 7, &mut all);
            all
        };
        assert_eq!(stretches(&tree), [(0, 6)]);
        tree.remove(cores[0]);
        assert_eq!(stretches(&tree), [(1, 3), (4, 5)]);
        tree.remove(cores[1]);
        tree.remove(cores[2]);
        assert_eq!(stretches(&tree), []);
    }
}
