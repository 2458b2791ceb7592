//! Queues, stacks and bags under load.

use super::script::Script;
use crate::generate::Random;
use crate::history::{History, Kind};
use crate::objects::search::Order;
use crate::value::Value;
use std::collections::VecDeque;

/// What a collection and its clients are like.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub order: Order,
    pub clients: usize,
    pub operations: usize,
    /// Of a hundred operations, how many are never answered.
    pub unknown_percent: u32,
    /// Of a hundred takes, how many are answered with a value at random.
    pub wrong_percent: u32,
    /// Of a hundred puts, how many put a value that was put before.
    pub repeated_percent: u32,
    /// Of a hundred operations, how many put.
    pub put_percent: u32,
    /// A take that finds nothing is refused, as in Jepsen's tests, and not answered with null.
    pub empty_fails: bool,
}

impl Load {
    pub const fn new(order: Order, clients: usize, operations: usize) -> Self {
        Self {
            order,
            clients,
            operations,
            unknown_percent: 0,
            wrong_percent: 0,
            repeated_percent: 0,
            put_percent: 50,
            empty_fails: false,
        }
    }
}

/// What a client is doing.
#[derive(Clone, Copy)]
enum Client {
    Idle,
    Putting(usize),
    Taking,
    /// It took effect, and this is the answer.
    Done {
        put: bool,
        value: Option<usize>,
    },
}

/// A history of one collection; correct if no answer is drawn at random.
pub fn history(seed: u64, load: &Load) -> History {
    let (put, take) = match load.order {
        Order::Fifo => ("enqueue", "dequeue"),
        Order::Lifo => ("push", "pop"),
        Order::Bag => ("put", "take"),
    };
    let mut random = Random::new(seed);
    let mut script = Script::default();
    let mut inside: VecDeque<usize> = VecDeque::new();
    let mut clients = vec![Client::Idle; load.clients];
    // A client that was never answered goes on under another name.
    let mut names: Vec<usize> = (0..load.clients).collect();
    let (mut begun, mut values) = (0, 0);
    loop {
        let busy = clients.iter().filter(|client| !matches!(client, Client::Idle)).count();
        if begun == load.operations && busy == 0 {
            return script.finish();
        }
        let at = random.place(load.clients);
        let name = names[at];
        match clients[at] {
            Client::Idle if begun == load.operations => {}
            Client::Idle => {
                begun += 1;
                clients[at] = if random.percent(load.put_percent) {
                    if values == 0 || !random.percent(load.repeated_percent) {
                        values += 1;
                    }
                    let repeated = load.repeated_percent > 0 && random.percent(load.repeated_percent);
                    let value = if repeated { random.place(values) } else { values - 1 };
                    let asked = script.int(value);
                    script.invoke(name, put, asked);
                    Client::Putting(value)
                } else {
                    script.invoke(name, take, Value::NIL);
                    Client::Taking
                };
            }
            Client::Putting(_) | Client::Taking if random.percent(load.unknown_percent / 2) => {
                unanswered(&mut script, clients[at], (name, put, take));
                clients[at] = Client::Idle;
                names[at] += load.clients;
            }
            Client::Putting(value) => {
                inside.push_back(value);
                clients[at] = Client::Done { put: true, value: Some(value) };
            }
            Client::Taking => {
                let value = match load.order {
                    Order::Fifo => inside.pop_front(),
                    Order::Lifo => inside.pop_back(),
                    Order::Bag if inside.is_empty() => None,
                    Order::Bag => {
                        let at = random.place(inside.len());
                        inside.swap_remove_back(at)
                    }
                };
                clients[at] = Client::Done { put: false, value };
            }
            Client::Done { .. } if random.percent(load.unknown_percent.div_ceil(2)) => {
                unanswered(&mut script, clients[at], (name, put, take));
                clients[at] = Client::Idle;
                names[at] += load.clients;
            }
            Client::Done { put: true, value } => {
                let value = script.int(value.unwrap_or(0));
                script.ok(name, put, value);
                clients[at] = Client::Idle;
            }
            Client::Done { put: false, value } => {
                let value = if random.percent(load.wrong_percent) {
                    (values > 0 && random.percent(80)).then(|| random.place(values))
                } else {
                    value
                };
                match value {
                    None if load.empty_fails => script.event(Kind::Fail, name, take, Value::NIL, Value::NIL),
                    value => {
                        let value = value.map_or(Value::NIL, |value| script.int(value));
                        script.ok(name, take, value);
                    }
                }
                clients[at] = Client::Idle;
            }
        }
    }
}

fn unanswered(script: &mut Script, client: Client, (name, put, take): (usize, &str, &str)) {
    let (f, value) = match client {
        Client::Putting(value) | Client::Done { put: true, value: Some(value) } => (put, script.int(value)),
        _ => (take, Value::NIL),
    };
    script.event(Kind::Info, name, f, Value::NIL, value);
}
