//! Two parties over a bad network (04 §22 no. 9).

use proptest::prelude::*;
use rand_core::Rng;

use super::*;

/// A message on the way: when it arrives, the message, its text.
type Arrival = (usize, Ciphertext, Vec<u8>);

/// Messages in one direction before the other one speaks. A hundred messages then span at most five chains,
/// which is what a receiver keeps.
const BURST: usize = 30;

#[derive(Debug, Clone, Copy)]
struct Weather {
    seed: u64,
    loss: u32,
    duplication: u32,
    window: u32,
}

struct Network {
    chance: ChaCha20Rng,
    weather: Weather,
    /// Per receiver: what is under way, how much was sent, and what has been opened.
    ways: [Vec<Arrival>; 2],
    sent: [usize; 2],
    opened: [Vec<Vec<u8>>; 2],
}

impl Network {
    fn below(&mut self, limit: u32) -> u32 {
        self.chance.next_u32() % limit.max(1)
    }

    fn carry(&mut self, to: usize, sent: Ciphertext, text: Vec<u8>) {
        self.sent[to] += 1;
        if self.below(100) < self.weather.loss {
            return;
        }
        let copies = 1 + usize::from(self.below(100) < self.weather.duplication);
        for _ in 0..copies {
            let delay = self.below(self.weather.window) as usize;
            self.ways[to].push((self.sent[to] + delay, sent.clone(), text.clone()));
        }
    }

    /// Delivers what is due; everything if `all`.
    fn deliver(&mut self, to: usize, party: &mut Party, all: bool) {
        self.ways[to].sort_by_key(|(due, _, _)| *due);
        let due = self.ways[to].iter().take_while(|(due, _, _)| all || *due <= self.sent[to]).count();
        for (_, sent, text) in self.ways[to].drain(..due) {
            if self.opened[to].contains(&text) {
                assert_eq!(party.refuses(&sent), SignalError::Duplicate);
            } else {
                party.opens(&sent, &text);
                self.opened[to].push(text);
            }
        }
    }
}

fn run(weather: Weather) {
    let (a, b) = pair(weather.seed);
    let mut parties = [a, b];
    let mut network = Network {
        chance: rng(weather.seed + 1),
        weather,
        ways: Default::default(),
        sent: [0; 2],
        opened: Default::default(),
    };
    for burst in 0..16_usize {
        let (from, to) = (burst % 2, 1 - burst % 2);
        for at in 0..BURST {
            let text = vec![burst as u8, at as u8];
            let sent = parties[from].send(&text);
            network.carry(to, sent, text);
            network.deliver(to, &mut parties[to], false);
        }
    }
    for (to, party) in parties.iter_mut().enumerate() {
        network.deliver(to, party, true);
        assert!(network.opened[to].len() >= 8 * BURST * 6 / 10);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_first_copy_opens_and_every_second_is_duplicate(
        seed in any::<u32>(), loss in 0_u32..=20, duplication in 0_u32..=20, window in 1_u32..=100,
    ) {
        run(Weather { seed: u64::from(seed), loss, duplication, window });
    }
}
