//! What a real topic may do to events, on purpose: repeat them, mix them up, spread one flow over partitions.

use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus as Rng, seq::SliceRandom as _};

/// Repeats some items: each is followed by a copy of itself with a chance of `percent` in a hundred.
///
/// Put a shuffle after it to tear the copies apart.
pub fn duplicate<T: Clone>(
    items: impl Iterator<Item = T>,
    percent: f64,
    seed: u64,
) -> impl Iterator<Item = T> {
    let mut random = Rng::seed_from_u64(seed);
    let chance = (percent / 100.0).clamp(0.0, 1.0);
    items.flat_map(move |item| {
        let copy = random.random_bool(chance).then(|| item.clone());
        std::iter::once(item).chain(copy)
    })
}

/// All items in an order that depends on the seed only. Holds all of them in memory.
pub fn shuffle<T>(items: impl Iterator<Item = T>, seed: u64) -> impl Iterator<Item = T> {
    let mut all: Vec<T> = items.collect();
    all.shuffle(&mut Rng::seed_from_u64(seed));
    all.into_iter()
}

/// As [`shuffle`], holding `window` items only: the next is always one of the `window` oldest that are left.
pub fn shuffle_window<T>(
    items: impl Iterator<Item = T>,
    window: usize,
    seed: u64,
) -> impl Iterator<Item = T> {
    let (mut items, mut random) = (items, Rng::seed_from_u64(seed));
    let mut held: Vec<T> = Vec::new();
    std::iter::from_fn(move || {
        held.extend(items.by_ref().take(window.max(1).saturating_sub(held.len())));
        (!held.is_empty()).then(|| held.swap_remove(random.random_range(0..held.len())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_keeps_every_item_and_depends_on_the_seed_only() {
        for mix in [|s| shuffle(0..1000, s).collect(), |s| shuffle_window(0..1000, 16, s).collect::<Vec<_>>()]
        {
            assert_ne!(mix(1), mix(2));
            assert_eq!(mix(1), mix(1));
            let mut sorted = mix(1);
            sorted.sort_unstable();
            assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn within_a_window_nothing_comes_before_its_time() {
        let mixed: Vec<usize> = shuffle_window(0..1000, 16, 3).collect();
        assert!(mixed.iter().enumerate().all(|(at, &item)| item < at + 16));
        assert_eq!(shuffle_window(0..9, 0, 1).collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn copies_are_about_as_many_as_asked_for() {
        let twice = duplicate(0..10_000, 10.0, 1).count();
        assert!((10_800..11_200).contains(&twice), "{twice}");
        assert_eq!(duplicate(0..10, 0.0, 1).count(), 10);
        assert_eq!(duplicate(0..10, 100.0, 1).count(), 20);
    }
}
