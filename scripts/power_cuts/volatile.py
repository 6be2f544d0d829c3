"""A file system in memory that loses at a power cut what was not synced.

Writing a number to the file `.cut` is the power cut: every page that was written since the last fsync of its file is kept
or lost at random, with the number as seed. The names of files are never lost.
"""

import errno
import itertools
import random
import stat
import sys

import mfusepy

PAGE_BYTES = 4096
CUT = "/.cut"


class File:
    """The content of a file, and what of it would survive."""

    def __init__(self):
        self.data, self.durable, self.unsynced = bytearray(), bytearray(), set()

    def write(self, data, offset):
        end = offset + len(data)
        if offset > len(self.data):
            self.truncate(offset)
        self.data[offset:end] = data
        self.changed(offset, end)

    def truncate(self, length):
        self.changed(*sorted((length, len(self.data))))
        self.data.extend(bytes(max(0, length - len(self.data))))
        del self.data[length:]

    def changed(self, begin, end):
        self.unsynced.update(range(begin // PAGE_BYTES, -(-end // PAGE_BYTES)))

    def sync(self):
        for page in self.unsynced:
            self.keep(page)
        del self.durable[len(self.data):]
        self.unsynced.clear()

    def keep(self, page):
        """Makes a page durable, with zeros for what is beyond the end."""
        begin, end = page * PAGE_BYTES, (page + 1) * PAGE_BYTES
        content = self.data[begin:end]
        if content:
            self.durable.extend(bytes(max(0, begin - len(self.durable))))
        self.durable[begin:end] = content.ljust(len(self.durable[begin:end]), b"\0")

    def cut(self, chance):
        for page in sorted(self.unsynced):
            if chance.random() < 0.5:
                self.keep(page)
        self.data = bytearray(self.durable)
        self.unsynced.clear()


class Volatile(mfusepy.Operations):
    # Times in nanoseconds, the only form that the library will keep.
    use_ns = True

    def __init__(self):
        self.files, self.opened, self.handles = {}, {}, itertools.count(1)

    def file(self, path):
        if path not in self.files:
            raise mfusepy.FuseOSError(errno.ENOENT)
        return self.files[path]

    def getattr(self, path, fh=None):
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": len(self.file(path).data)}

    def readdir(self, path, fh):
        return [".", "..", *(name[1:] for name in self.files)]

    def open(self, path, flags):
        handle = next(self.handles)
        self.opened[handle] = self.file(path)
        return handle

    def create(self, path, mode, fi=None):
        self.files[path] = File()
        return self.open(path, 0)

    def release(self, path, fh):
        del self.opened[fh]
        return 0

    def read(self, path, size, offset, fh):
        return bytes(self.opened[fh].data[offset:offset + size])

    def write(self, path, data, offset, fh):
        if path == CUT:
            chance = random.Random(int(data))
            for file in self.files.values():
                file.cut(chance)
        else:
            self.opened[fh].write(data, offset)
        return len(data)

    def truncate(self, path, length, fh=None):
        self.file(path).truncate(length)
        return 0

    def fsync(self, path, datasync, fh):
        self.opened[fh].sync()
        return 0

    def unlink(self, path):
        self.file(path)
        del self.files[path]
        return 0

    def rename(self, old, new):
        self.files[new] = self.files.pop(old)
        return 0

    def chmod(self, path, mode):
        return 0

    def chown(self, path, uid, gid):
        return 0

    def utimens(self, path, times=None):
        return 0

    def statfs(self, path):
        return {"f_bsize": PAGE_BYTES, "f_blocks": 1 << 20, "f_bfree": 1 << 20, "f_bavail": 1 << 20}


if __name__ == "__main__":
    mfusepy.FUSE(Volatile(), sys.argv[1], foreground=True, nothreads=True)
