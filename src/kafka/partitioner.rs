//! Where the partitioners of the usual clients put a key, to tell by a record who put it there.

/// How a client finds the partition of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// murmur2: Java's clients, and librdkafka's `murmur2_random`.
    Murmur2,
    /// CRC32: librdkafka's default, `consistent_random`.
    Crc32,
    /// FNV-1a: the default of Go's Sarama, and librdkafka's `fnv1a_random`.
    Fnv1a,
}

impl Hash {
    /// The partition of a key among so many; none if there are none.
    pub fn partition(self, key: &[u8], partitions: i32) -> Option<i32> {
        let count = u32::try_from(partitions).ok().filter(|count| *count > 0)?;
        let number = match self {
            Self::Murmur2 => murmur2(key) & 0x7fff_ffff,
            Self::Crc32 => crc32(key),
            Self::Fnv1a => fnv1a(key).cast_signed().unsigned_abs(),
        };
        i32::try_from(number % count).ok()
    }
}

/// `MurmurHash2` with the seed of Java's client.
fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    // Kafka's keys are far shorter than 4 GiB.
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ length;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The CRC-32 of zip and Ethernet.
fn crc32(key: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc));
    !key.iter().fold(u32::MAX, byte)
}

fn fnv1a(key: &[u8]) -> u32 {
    key.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_are_those_of_the_clients() {
        // From the tests of Java's client.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
        // The check values that the two are published with.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!((fnv1a(b""), fnv1a(b"a"), fnv1a(b"foobar")), (0x811c_9dc5, 0xe40c_292c, 0xbf9c_f968));
    }

    #[test]
    fn no_partition_is_beyond_the_last() {
        for hash in [Hash::Murmur2, Hash::Crc32, Hash::Fnv1a] {
            let found: Vec<_> = (0..100_u8).map(|key| hash.partition(&[key], 7).unwrap()).collect();
            assert!(found.iter().all(|number| (0..7).contains(number)));
            assert!((0..7).all(|number| found.contains(&number)));
            assert_eq!(hash.partition(b"x", 0), None);
        }
    }
}
