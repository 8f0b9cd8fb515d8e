# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the Linux guest that the demo and the boot tests run.

A guest is three files: Debian's kernel, an initramfs with the modules that lead to /dev/sda, and
an ext4 image with a busybox root. All of them are built without a loop device, without a root
shell and without installing anything: the packages are downloaded by apt, unpacked by dpkg-deb,
the initramfs is written here byte by byte (cpio "newc"), the image by `mke2fs -d`.

In the image waits a userspace that reads a file the host has put there, writes a report and the
kernel's log, syncs and powers off. check_image() then asks debugfs and e2fsck, on the host,
what really arrived on the disk.

Packages are kept in a cache folder (build/cache in a checkout, else ~/.cache/mpqemu), so the
network is used once. The kernel is the release's own or, for Parts(newer=True), that of its
backports, which the machine's apt need not know.
"""

import hashlib
import importlib
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

# Commands that have to be on the machine; scripts/install-deps has their packages.
TOOLS = ("qemu-system-x86_64", "mke2fs", "debugfs", "e2fsck", "dpkg-deb", "apt-get")

KERNEL_META = "linux-image-amd64"
DEBIAN_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
# The last two are the providers behind soft dependencies, which modinfo can't resolve: ext4 asks
# for "crypto-crc32c", t10-pi for "crct10dif".
MODULES = ("crc32c_generic", "crct10dif_generic", "sd_mod", "sym53c8xx", "ext4")
# What a guest needs for a CD, and for programs that send SCSI commands of their own.
MODULES_MORE = ("sr_mod", "sg", "isofs")
# The driver waits 3 s after its bus reset for disks to spin up; ours don't.
MODULE_ARGS = {"sym53c8xx": "settle=0"}
KERNEL_ARGS = "console=ttyS0 root=/dev/sda panic=-1 mitigations=off nokaslr"

REPORT = "report"      # what the guest writes
DMESG = "dmesg"
PAYLOAD = "payload"    # what the guest has to read, byte for byte
GREETING = "written by the guest through the LSI 53C895A"
USERSPACE_MARK = "guest: userspace reached"
DONE_MARK = "guest: report written"

INITRAMFS_HEAD = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
while read -r module arguments; do
    insmod "/modules/$module" $arguments || echo "initramfs: $module failed"
done < /modules/order
tries=0
while [ ! -b /dev/sda ] && [ $tries -lt 600 ]; do
    usleep 50000
    tries=$((tries + 1))
done
"""
INITRAMFS_INIT = INITRAMFS_HEAD + """\
root=
for word in $(cat /proc/cmdline); do
    case $word in root=*) root=${word#root=} ;; esac
done
if ! mount -t ext4 "$root" /root; then
    echo "initramfs: no root file system on '$root'"
    poweroff -f
fi
umount /proc
mount -o move /dev /root/dev
exec switch_root /root /sbin/init
"""

GUEST_INIT = f"""\
#!/bin/busybox sh
PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
echo "{USERSPACE_MARK}"
{{
    echo "{GREETING}"
    echo "kernel $(uname -r)"
    echo "root $(grep ' / ' /proc/mounts | cut -d' ' -f1,3)"
    echo "model $(cat /sys/block/sda/device/vendor) $(cat /sys/block/sda/device/model)"
    echo "driver $(basename "$(readlink /sys/bus/pci/devices/*/driver | grep sym53c8xx)")"
    echo "payload $(sha256sum /{PAYLOAD} | cut -d' ' -f1)"
}} > /{REPORT}
dmesg > /{DMESG}
sync
echo "{DONE_MARK}"
cat /{REPORT}
mount -o remount,ro /
poweroff -f
"""


class GuestError(Exception):
    """Something needed for the guest is missing or failed; the text is one sentence."""


def find_tool(name):
    """Like shutil.which, with the sbin folders that a user's PATH often lacks."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    return shutil.which(name, path=path)


def missing_tools():
    return [tool for tool in TOOLS if not find_tool(tool)]


def run(argv, **kwargs):
    """Runs a command, returns its output, turns a failure into a GuestError with its last words."""
    env = dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
    argv = [find_tool(argv[0]) or argv[0], *map(str, argv[1:])]
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              errors="replace", stdin=subprocess.DEVNULL, env=env, **kwargs)
    except OSError as err:
        raise GuestError(f"{argv[0]}: {err.strerror}") from err
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise GuestError(f"{' '.join(argv[:3])}: exit status {done.returncode}: {''.join(words)}")
    return done.stdout


def default_cache():
    """build/cache beside a checkout's build folder, else the user's cache folder."""
    build = Path(__file__).resolve().parent.parent / "build"
    if build.is_dir() and os.access(build, os.W_OK):
        return build / "cache"
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "mpqemu"


def _kernel_package(apt=()):
    """The package that Debian's kernel metapackage stands for today."""
    shown = run(["apt-cache", *apt, "show", "--no-all-versions", KERNEL_META])
    found = re.search(r"^Depends:.*?\b(linux-image-[0-9][^\s,|]*)", shown, re.M)
    if not found:
        raise GuestError(f"{KERNEL_META} names no kernel package")
    return found.group(1)


def _download(name, cache, apt=()):
    """Downloads one package into the cache and returns its path; name(apt) names it."""
    # Into a folder of its own first: a download that was cut off must not look like a package.
    with tempfile.TemporaryDirectory(prefix="partial", dir=cache) as staging:
        run(["apt-get", *apt, "-q", "download", name(apt)], cwd=staging)
        deb = next(Path(staging).glob("*.deb"))
        return deb.rename(cache / deb.name)


def _fetch(pattern, name, cache):
    """A package of the cache that fits the pattern, else a downloaded one."""
    have = sorted(cache.glob(pattern))
    if have:
        return have[-1]
    cache.mkdir(parents=True, exist_ok=True)
    try:
        return _download(name, cache)
    except GuestError:
        # A fresh machine has no package lists, an old one has lists of what is gone.
        sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
        run([*sudo, "apt-get", "-qq", "update"])
        return _download(name, cache)


def _debian_archive():
    """Of the archives that apt's sources name, Debian's own: where the backports are, too."""
    said = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)",
                "Identifier: Packages", "Origin: Debian", "Label: Debian"])
    for uri, release, component in map(str.split, said.splitlines()):
        if component == "main" and not release.endswith(("-updates", "-backports")):
            return uri, f"{release}-backports"
    raise GuestError("apt's sources name no archive of Debian")


def _fetch_newer(cache):
    """The kernel of the release's backports; apt looks there by a configuration of its own."""
    cache = cache / "backports"
    have = sorted(cache.glob("linux-image-[0-9]*.deb"))
    if have:
        return have[-1]
    cache.mkdir(parents=True, exist_ok=True)
    uri, suite = _debian_archive()
    with tempfile.TemporaryDirectory(prefix="mpqapt") as folder:
        # apt makes what is below these, but not them.
        for name in ("state", "cache"):
            (Path(folder) / name).mkdir()
        sources = Path(folder) / "sources.list"
        sources.write_text(f"deb [signed-by={DEBIAN_KEYS}] {uri} {suite} main\n")
        apt = [f"-oDir::Etc::SourceList={sources}", "-oDir::Etc::SourceParts=/dev/null",
               f"-oDir::State={folder}/state", f"-oDir::Cache={folder}/cache"]
        run(["apt-get", *apt, "-qq", "update"])
        return _download(_kernel_package, cache, apt)


# Parts of the kernel's package worth keeping: the image and the modules that MODULES and
# MODULES_MORE can depend on. The other 4,000 modules stay packed.
KEEP = re.compile(r"/boot/vmlinuz-|/lib/modules/[^/]+/(modules\.builtin$|kernel/("
                  r"(arch/x86/)?crypto|block|drivers/(cdrom|scsi/(scsi_[^/]*|s[dr]_mod[^/]*|"
                  r"sg\.[^/]*|sym53c8xx_2/.*))|fs/(ext4|isofs|jbd2|mbcache[^/]*)|lib)/?)|"
                  r"/bin/busybox$")


def _unpack(deb, target):
    """Unpacks the members of a package that KEEP names, all into one flat folder."""
    staging = target.with_name(f"{target.name}.{os.getpid()}")
    staging.mkdir(parents=True)
    with subprocess.Popen([find_tool("dpkg-deb"), "--fsys-tarfile", str(deb)],
                          stdout=subprocess.PIPE) as feed:
        with tarfile.open(fileobj=feed.stdout, mode="r|") as tar:
            for member in tar:
                if member.isfile() and KEEP.search(member.name):
                    (staging / Path(member.name).name).write_bytes(tar.extractfile(member).read())
    if feed.returncode:
        shutil.rmtree(staging)
        raise GuestError(f"{deb}: dpkg-deb can't unpack it")
    shutil.rmtree(target, ignore_errors=True)
    staging.rename(target)


def _vmlinux(vmlinuz):
    """The ELF kernel inside a bzImage, which QEMU starts by its PVH entry; None if not found.

    Under TCG the guest takes 5 s to unpack itself, the host 1.5 s, and that only once.
    """
    out = vmlinuz.with_name("vmlinux")
    if out.exists():
        return out
    image = vmlinuz.read_bytes()
    if image[0x202:0x206] != b"HdrS":  # offsets of the x86 boot protocol, version 2.08
        return None
    start, size = struct.unpack_from("<II", image, 0x248)
    start += (image[0x1f1] + 1) * 512
    try:
        # The last word of the payload is no xz data, so lzma.decompress() would refuse it.
        elf = lzma.LZMADecompressor().decompress(image[start:start + size])
    except lzma.LZMAError:
        return None
    if elf[:4] != b"\x7fELF" or b"Xen\0" not in elf:
        return None
    part = out.with_suffix(f".{os.getpid()}")
    part.write_bytes(elf)
    part.rename(out)
    return out


def _modinfo(blob, key):
    """The value of one field of a module's .modinfo section; empty if it has none."""
    found = re.search(rb"\0" + key.encode() + rb"=([^\0]*)\0", blob)
    return found.group(1).decode() if found else ""


class Parts:
    """The unpacked pieces a guest is made of: vmlinuz, busybox and modules in loading order."""

    def __init__(self, cache=None, newer=False):
        cache = Path(cache or default_cache())
        kernel = self._unpacked(_fetch_newer(cache) if newer else
                                _fetch("linux-image-[0-9]*.deb", _kernel_package, cache))
        self.busybox = self._find_busybox(cache)
        self.vmlinuz = next(kernel.glob("vmlinuz-*"))
        self.kernel = _vmlinux(self.vmlinuz) or self.vmlinuz
        self.release = self.vmlinuz.name.split("-", 1)[1]
        self._builtin = {self._plain(line) for line in
                         (kernel / "modules.builtin").read_text().split()}
        self._files = {self._plain(p.name): p for p in kernel.glob("*.ko*")}

    @staticmethod
    def _unpacked(deb):
        # What was unpacked for another KEEP lacks something.
        kept = hashlib.sha256(KEEP.pattern.encode()).hexdigest()[:8]
        folder = deb.with_name(f"{deb.stem}.{kept}")
        if not folder.is_dir():
            _unpack(deb, folder)
        return folder

    def _find_busybox(self, cache):
        """The installed busybox if it is a static one, else that of busybox-static."""
        installed = Path("/bin/busybox")
        if installed.exists() and b"/ld-linux" not in installed.read_bytes():
            return installed
        deb = _fetch("busybox-static_*.deb", lambda apt: "busybox-static", cache)
        return self._unpacked(deb) / "busybox"

    @staticmethod
    def _plain(path):
        """A module's name as the kernel spells it: no folder, no suffix, '_' for '-'."""
        return path.rsplit("/", 1)[-1].split(".")[0].replace("-", "_")

    def _load(self, name):
        path = self._files.get(name)
        if path is None:
            raise GuestError(f"{self.vmlinuz.name}: no module {name}")
        blob = path.read_bytes()
        return lzma.decompress(blob) if path.suffix == ".xz" else blob

    def modules(self, wanted=MODULES):
        """The wanted modules and all they depend on as {name: bytes}, each after its needs."""
        ordered = {}

        def add(name):
            if name in ordered or name in self._builtin:
                return
            blob = self._load(name)
            for need in filter(None, _modinfo(blob, "depends").split(",")):
                add(self._plain(need))
            ordered[name] = blob

        for name in wanted:
            add(name)
        return ordered


class Cpio:
    """A cpio archive in the "newc" format, which the kernel takes as an initramfs."""

    def __init__(self):
        self._out = bytearray()
        self._inode = 0

    def add(self, name, mode, data=b"", rdev=(0, 0)):
        self._inode += 1
        path = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(path), 0)
        self._out += b"070701" + b"".join(b"%08x" % f for f in fields) + path
        self._pad()
        self._out += data
        self._pad()

    def folder(self, name):
        self.add(name, 0o040755)

    def file(self, name, data, mode=0o644):
        self.add(name, 0o100000 | mode, data)

    def device(self, name, major, minor):
        self.add(name, 0o020600, rdev=(major, minor))

    def _pad(self):
        self._out += bytes(-len(self._out) % 4)

    def finish(self):
        self.add("TRAILER!!!", 0)
        return bytes(self._out)


def _libraries(program):
    """What a program is linked with: {path in the guest: file}, the dynamic loader included."""
    try:
        said = run(["ldd", program])
    except GuestError:  # a static one
        return {}
    found = re.findall(r"^\s*(?:(\S+) => )?(/\S+) \(0x", said, re.M)
    return {f"lib/{name}" if name else file.lstrip("/"): Path(file) for name, file in found}


def make_initramfs(parts, path, init=INITRAMFS_INIT, programs=(), modules=MODULES, arguments=None):
    """Writes the initramfs: busybox, modules, and an init that mounts root= and goes there.

    Another init does what it likes; programs go to /bin, too, with the host's libraries;
    arguments are further ones of modules.
    """
    arguments = {**MODULE_ARGS, **(arguments or {})}
    cpio = Cpio()
    for folder in ("bin", "dev", "lib", "lib64", "proc", "root", "sys", "modules"):
        cpio.folder(folder)
    cpio.device("dev/console", 5, 1)
    cpio.file("bin/busybox", parts.busybox.read_bytes(), 0o755)
    files = {f"bin/{Path(program).name}": Path(program) for program in programs}
    for program in programs:
        files.update(_libraries(program))
    for name, file in files.items():
        cpio.file(name, file.read_bytes(), 0o755)
    cpio.file("init", init.encode(), 0o755)
    ordered = parts.modules(modules)
    for name, blob in ordered.items():
        cpio.file(f"modules/{name}.ko", blob)
    cpio.file("modules/order", "".join(
        f"{name}.ko {arguments.get(name, '')}\n" for name in ordered).encode())
    Path(path).write_bytes(cpio.finish())


def payload(size=1 << 20):
    """Bytes that look random and are the same each time."""
    return b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(size // 32))


def make_image(parts, path, init=GUEST_INIT, mebibytes=64):
    """Writes an ext4 image with a busybox root; no loop device, no mount, no root needed."""
    path = Path(path)
    with tempfile.TemporaryDirectory(prefix="mpqroot") as top:
        root = Path(top)
        root.chmod(0o755)
        for folder in ("bin", "sbin", "dev", "proc", "sys", "tmp"):
            (root / folder).mkdir()
        shutil.copy(parts.busybox, root / "bin/busybox")
        (root / "bin/busybox").chmod(0o755)
        for applet in ("sh", "mount", "echo", "cat", "cut", "grep", "uname", "sha256sum",
                       "readlink", "basename", "dmesg", "sync", "poweroff"):
            (root / "bin" / applet).symlink_to("busybox")
        (root / "sbin/init").write_text(init)
        (root / "sbin/init").chmod(0o755)
        (root / PAYLOAD).write_bytes(payload())
        path.unlink(missing_ok=True)
        run(["mke2fs", "-q", "-t", "ext4", "-F", "-d", root, path, f"{mebibytes}M"])


def read_file(image, name):
    """The content of a file in an ext4 image, without mounting it; None where it has none."""
    text = run(["debugfs", "-R", f"cat /{name}", image])
    return text or None


def fsck(image):
    """e2fsck's own words if it finds anything to complain about, else None."""
    try:
        run(["e2fsck", "-fn", image])
    except GuestError as err:
        return str(err)
    return None


def check_image(image):
    """What the host finds wrong on the disk after the guest has gone: a list of sentences."""
    wrong = []
    report = read_file(image, REPORT) or ""
    if GREETING not in report:
        wrong.append(f"{image}: /{REPORT} is not what the guest was to write")
    if f"payload {hashlib.sha256(payload()).hexdigest()}" not in report:
        wrong.append(f"{image}: the guest did not read /{PAYLOAD} as the host wrote it")
    found = fsck(image)
    if found:
        wrong.append(f"{image}: {found}")
    return wrong

VM_ARGS = ["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot"]
MEMORY = "192M"


@dataclass
class Boot:
    """What came of one guest: the launcher's exit status and lines, the console, the time."""

    status: int
    accel: str
    console: str
    said: list
    seconds: float

    def wrong(self):
        """What went wrong in the guest, as sentences; the disk is check_image()'s business."""
        wrong = []
        if self.status:
            wrong.append(f"the launcher's exit status is {self.status}: {'; '.join(self.said)}")
        for mark in (USERSPACE_MARK, DONE_MARK):
            if mark not in self.console:
                wrong.append(f"the console does not say '{mark}'")
        return wrong


class Guest:
    """A guest's files in a folder of the caller's, ready to boot."""

    def __init__(self, folder, cache=None, init=GUEST_INIT, newer=False):
        self.parts = Parts(cache, newer)
        self.initrd = Path(folder) / "initrd"
        self.image = Path(folder) / "disk.img"
        self.log = Path(folder) / "console.log"
        make_initramfs(self.parts, self.initrd)
        make_image(self.parts, self.image, init)

    def options(self, remote, vm="qemu-system-x86_64"):
        """The launcher's options for this guest."""
        return ["--remote-binary", str(remote), "--vm-binary", str(vm),
                "--disk", str(self.image), "--kernel", str(self.parts.kernel),
                "--initrd", str(self.initrd), "--append", KERNEL_ARGS, "--memory", MEMORY]

    def boot(self, launcher, options, seconds=150, say=None):
        """Boots once, through the launcher's module; a guest that hangs is ended after a time."""
        said = []

        def note(text):
            said.append(text)
            if say:
                say(text)

        launch = launcher.plan(launcher.parser().parse_args(options), VM_ARGS, note)
        begun = time.monotonic()
        with open(self.log, "w+", encoding="utf-8", errors="replace") as log:
            status = launcher.run(launch, seconds, note, vm_popen={
                "stdin": subprocess.DEVNULL, "stdout": log})
            log.seek(0)
            console = log.read()
        return Boot(status, launch.vm.accel, console, said, time.monotonic() - begun)

    def boot_any(self, launcher, options, seconds=150, say=None):
        """Boots with KVM where the probe passes, and a second time with TCG if that fails."""
        boot = self.boot(launcher, options, seconds, say)
        if boot.accel == "kvm" and USERSPACE_MARK not in boot.console:
            if say:
                say("no userspace with KVM; once more with TCG")
            make_image(self.parts, self.image)
            boot = self.boot(launcher, [*options, "--accel", "tcg"], seconds, say)
        return boot


def load_launcher(program=None):
    """The launcher's package, which is beside this file, or that of an installed program."""
    if program:
        sys.path.insert(0, str(Path(program).resolve().parents[1] / "share/qemu-system-x86-remote"))
    return importlib.import_module("mpqemu_launcher")
