//! A file system of a few megabytes that can be filled and freed. Needs root, since it is mounted.

use std::fs;
use std::io::ErrorKind;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use super::folder::Folder;
use super::postgres::give_to_server;

/// Dropped: unmounted and gone. So it is when the test process ends without dropping it.
pub struct SmallDisk {
    // Unmounted before its folder is removed.
    keeper: Child,
    folder: Folder,
}

impl SmallDisk {
    pub fn new(megabytes: u32) -> SmallDisk {
        let folder = Folder::new("disk");
        let size = format!("size={megabytes}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&*folder).status();
        assert!(mount.is_ok_and(|s| s.success()), "a small disk cannot be mounted: run this test as root");
        // `umount` with `-l` also works while a server that is about to end has files open.
        let keeper = Command::new("/bin/sh")
            .args(["-c", r#"cat >/dev/null; umount -l "$1""#, "keeper"])
            .arg(&*folder)
            .stdin(Stdio::piped())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        give_to_server(&folder);
        SmallDisk { keeper, folder }
    }

    /// A new folder on it that the server may write.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::create_dir(&path).expect("it is empty enough for a folder");
        give_to_server(&path);
        path
    }

    /// Takes all the room that is left, now and behind whatever was deleted meanwhile.
    pub fn fill(&self) {
        let mut ballast = fs::File::options().create(true).append(true).open(self.ballast()).expect("it can be opened");
        let mut size = 1 << 20;
        while size > 0 {
            match ballast.write(&vec![0; size]) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::StorageFull => size /= 2,
                Err(e) => panic!("the small disk cannot be filled: {e}"),
            }
        }
    }

    /// Gives the room back.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).expect("it was filled");
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The end of the pipe makes the keeper unmount.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
