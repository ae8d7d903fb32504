//! The consumer group, as Kafka describes it.

use rdkafka::consumer::Consumer as _;

use super::{Answer, Look, words};

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// `Stable`, `Empty`, `PreparingRebalance` and so on; empty if Kafka knows no such group, or not by this protocol.
    pub state: String,
    /// Its members.
    pub members: Vec<Member>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it calls itself.
    pub client: String,
    /// Where it runs.
    pub host: String,
    /// Its partitions; nothing if that can't be told.
    pub partitions: Option<Vec<(String, i32)>>,
}

impl Look {
    pub(super) fn group(&self, name: &str) -> Answer<Group> {
        let list = self.consumer.fetch_group_list(Some(name), self.left()).map_err(|error| words(&error))?;
        let Some(group) = list.groups().iter().find(|group| group.name() == name) else {
            return Ok(Group { state: String::new(), members: Vec::new() });
        };
        let members = group.members().iter().map(|member| Member {
            client: member.client_id().to_owned(),
            host: member.client_host().trim_start_matches('/').to_owned(),
            partitions: member.assignment().map_or(Some(Vec::new()), assignment),
        });
        Ok(Group { state: group.state().to_owned(), members: members.collect() })
    }
}

/// What a member was given, in the form in which members of the older protocol hand it to each other.
fn assignment(bytes: &[u8]) -> Option<Vec<(String, i32)>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut rest = bytes;
    let _version = take::<2>(&mut rest)?;
    let mut partitions = Vec::new();
    for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
        let length = usize::try_from(i16::from_be_bytes(take(&mut rest)?)).ok()?;
        let (name, behind) = rest.split_at_checked(length)?;
        let name = std::str::from_utf8(name).ok()?;
        rest = behind;
        for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
            partitions.push((name.to_owned(), i32::from_be_bytes(take(&mut rest)?)));
        }
    }
    Some(partitions)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_and_half_of_one_is_not() {
        let bytes =
            [&[0, 1, 0, 0, 0, 1, 0, 2], &b"ab"[..], &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0]]
                .concat();
        assert_eq!(assignment(&bytes), Some(vec![("ab".to_owned(), 0), ("ab".to_owned(), 7)]));
        assert_eq!(assignment(&bytes[..18]), None);
        assert_eq!(assignment(&[]), Some(Vec::new()));
    }
}
