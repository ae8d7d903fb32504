//! The account that Postgres runs as. It refuses to run as root, so root hands it to another.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The accounts tried, in this order.
const NAMES: [&str; 3] = ["postgres", "_postgres", "nobody"];

/// A user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Whether this process is root.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Account {
    /// The account for Postgres when this process is root: `postgres` if there is one, else `nobody`.
    pub(super) fn for_postgres() -> Option<Self> {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        NAMES.iter().find_map(|name| named(&passwd, name))
    }

    /// Who owns a file, unless it is root.
    pub(super) fn owner(metadata: &Metadata) -> Option<Self> {
        (metadata.uid() != 0).then(|| Self { uid: metadata.uid(), gid: metadata.gid() })
    }

    /// Whether the account may pass through `path` and all folders above it. Access lists beyond the usual nine bits are
    /// not looked at.
    pub(super) fn can_reach(self, path: &Path) -> bool {
        // Ends at the first answer that is no; a path that doesn't exist can't be reached.
        let Ok(path) = path.canonicalize() else { return false };
        path.ancestors().all(|step| fs::metadata(step).is_ok_and(|metadata| self.may_enter(&metadata)))
    }

    fn may_enter(self, metadata: &Metadata) -> bool {
        let bits = if metadata.uid() == self.uid {
            metadata.mode() >> 6
        } else if metadata.gid() == self.gid {
            metadata.mode() >> 3
        } else {
            metadata.mode()
        };
        bits & 0o1 != 0
    }
}

/// The account of that name in the text of `/etc/passwd`; root under another name is none.
fn named(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let account = Account { uid: fields.nth(1)?.parse().ok()?, gid: fields.next()?.parse().ok()? };
        (account.uid != 0).then_some(account)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_account_is_read_from_the_password_file() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533::/:/bin/false\nodd\npostgres:x:0:0::/:";
        assert_eq!(named(passwd, "nobody"), Some(Account { uid: 65534, gid: 65533 }));
        assert_eq!(named(passwd, "postgres"), None, "another name for root");
        assert_eq!(named(passwd, "absent"), None);
    }

    #[test]
    fn a_closed_folder_above_makes_a_path_unreachable() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let stranger = Account { uid: 4_000_000, gid: 4_000_000 };
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(stranger.can_reach(&inner));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!stranger.can_reach(&inner));
        let owner = Account { uid: fs::metadata(dir.path()).unwrap().uid(), gid: 4_000_000 };
        assert!(owner.can_reach(&inner));
    }
}
