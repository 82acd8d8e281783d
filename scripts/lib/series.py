# SPDX-License-Identifier: GPL-2.0
#
# The patch series: kernel/series and the sources of new files, made into
# commits on a pristine kernel tree, and back.
#
# A file of kernel/series is a commit message, a line "---", lines "Adds:" with
# the files of this repository that the patch adds, notes that go nowhere, and a
# diff of the files that the tree already has.  Documentation/series.rst has it
# in full.

import os
import re
import subprocess
import tempfile

# Where a file of ours lives in a kernel tree.
PLACES = (
    ("kernel/altmmu/", "arch/x86/kvm/altmmu/"),
    ("selftests/kvm/", "tools/testing/selftests/kvm/x86/"),
    ("selftests/host/", "tools/testing/altmmu/"),
    ("Documentation/", "Documentation/virt/kvm/x86/altmmu/"),
)
# Every file below is added by one patch; elsewhere files may stay at home.
COMPLETE = ("kernel/altmmu/",)

# Commits are a function of what is in them: patch N is dated N minutes after
# this, and nothing tells who composed them, or when.
EPOCH = 1767225600

SERIES = "kernel/series"
NAME = re.compile(r"^([0-9]{4})-([a-z0-9][a-z0-9-]*)\.patch$")
SIGNED = re.compile(r"^Signed-off-by: (.+) <([^<>]+)>$", re.M)
DIFF = re.compile(r"^diff --git a/(.+) b/\1$", re.M)
ADDS_OR_REMOVES = re.compile(r"^(new|deleted) file mode ", re.M)


class Error(Exception):
    """Something is wrong; the text is the one line to say."""


def isolated():
    """An environment for git that is the same on every machine."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    settings = {
        "safe.directory": "*",
        "core.hooksPath": "/dev/null",
        "core.attributesFile": "/dev/null",
        "core.excludesFile": "/dev/null",
        "gc.auto": "0",
        "maintenance.auto": "false",
    }
    env["GIT_CONFIG_COUNT"] = str(len(settings))
    for i, (key, value) in enumerate(settings.items()):
        env[f"GIT_CONFIG_KEY_{i}"] = key
        env[f"GIT_CONFIG_VALUE_{i}"] = value
    env.update(GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null",
               GIT_ATTR_NOSYSTEM="1", GIT_LITERAL_PATHSPECS="1",
               GIT_TERMINAL_PROMPT="0", LC_ALL="C", TZ="UTC")
    return env


def git(*args, cwd=None, data=None, env=None, check=True):
    """Run git; its output as bytes, or None if it fails and may."""
    full = isolated()
    full.update(env or {})
    run = subprocess.run(("git",) + args, cwd=cwd, input=data, env=full,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         check=False)
    if run.returncode == 0:
        return run.stdout
    if not check:
        return None
    said = run.stderr.decode(errors="replace").strip().splitlines()
    raise Error(f"git {args[0]} fails: {said[0] if said else run.returncode}")


def git_line(*args, **kwargs):
    out = git(*args, **kwargs)
    return None if out is None else out.decode().strip()


def to_kernel(path):
    """Where a file of this repository goes, or None."""
    for ours, theirs in PLACES:
        if path.startswith(ours):
            return theirs + path[len(ours):]
    return None


def to_repo(path):
    """Where a new file of a kernel tree comes from, or None."""
    for ours, theirs in PLACES:
        if path.startswith(theirs):
            return ours + path[len(theirs):]
    return None


def matcher(pattern):
    """A pattern of paths: *, ? and [abc] stay within a folder, ** does not."""
    out = ""
    for part in re.split(r"(\*\*|\*|\?|\[\w+\])", pattern):
        known = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
        out += known.get(part) or (part if part[:1] == "[" else re.escape(part))
    return re.compile(out + r"\Z")


class Patch:
    """One file of kernel/series."""

    def __init__(self, name, text):
        self.name = name
        if not NAME.match(name):
            raise Error(f"{SERIES}/{name}: the name is not like 0123-words-of-it.patch")
        message, rule, rest = text.partition("\n---\n")
        if not rule:
            raise Error(f"{SERIES}/{name}: no line --- ends the message")
        self.message = message.rstrip() + "\n"
        diff = DIFF.search(rest)
        head = rest[:diff.start()] if diff else rest
        self.diff = rest[diff.start():] if diff else ""
        self.adds = []
        self.notes = []
        for line in head.splitlines():
            if line.startswith("Adds:"):
                self.adds += line[5:].split()
            else:
                self.notes.append(line)
        self.validate()

    def validate(self):
        where = f"{SERIES}/{self.name}"
        lines = self.message.splitlines()
        if not lines[0] or (len(lines) > 1 and lines[1]):
            raise Error(f"{where}: the message is not a subject and an empty line")
        if not SIGNED.search(self.message):
            raise Error(f"{where}: no Signed-off-by: NAME <ADDRESS>")
        if not self.message.isascii():
            raise Error(f"{where}: the message is not plain ASCII")
        if not self.adds and not self.diff:
            raise Error(f"{where}: adds nothing and changes nothing")
        if re.search(r"^(rename|copy) from |^GIT binary patch", self.diff, re.M):
            raise Error(f"{where}: has a rename, a copy or a binary file")

    @property
    def number(self):
        return int(self.name[:4])

    @property
    def subject(self):
        return self.message.splitlines()[0]

    @property
    def author(self):
        """Who signed first."""
        return SIGNED.search(self.message).groups()

    @property
    def changes(self):
        """Paths that the diff touches."""
        return DIFF.findall(self.diff)

    def diff_of(self, paths):
        """What of the diff touches these paths."""
        starts = [match.start() for match in DIFF.finditer(self.diff)]
        pieces = [self.diff[start:end]
                  for start, end in zip(starts, starts[1:] + [None])]
        return "".join(piece for piece, path in zip(pieces, self.changes)
                       if path in paths)

    def added(self, files):
        """The files that it adds, sorted."""
        found = set()
        for pattern in self.adds:
            if to_kernel(pattern) is None:
                raise Error(f"{SERIES}/{self.name}: Adds: {pattern} has no place in a kernel tree")
            match = matcher(pattern)
            hits = [path for path in files if match.match(path)]
            if not hits:
                raise Error(f"{SERIES}/{self.name}: Adds: {pattern}: no such file")
            found.update(hits)
        return sorted(found)

    def text(self):
        notes = "\n".join(self.notes).strip("\n")
        parts = [self.message.rstrip() + "\n---\n"]
        parts += [f"Adds: {pattern}\n" for pattern in self.adds]
        if notes:
            parts.append(f"{notes}\n")
        if self.diff:
            parts.append("\n" + self.diff)
        return "".join(parts)


def load(root):
    """The patches, in order."""
    folder = os.path.join(root, SERIES)
    patches = []
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".patch"):
            continue
        with open(os.path.join(folder, name), encoding="utf-8",
                  newline="") as file:
            patches.append(Patch(name, file.read()))
    numbers = {}
    for patch in patches:
        if patch.number in numbers:
            raise Error(f"{SERIES}: {numbers[patch.number]} and {patch.name} have the same number")
        numbers[patch.number] = patch.name
    if not patches:
        raise Error(f"{SERIES} has no patches")
    return patches


def sources(root):
    """Files of this repository that have a place in a kernel tree: path ->
    (mode, content).  What git ignores is not there."""
    names = git("ls-files", "-z", "-co", "--exclude-standard", cwd=root,
                env={"GIT_CONFIG_GLOBAL": "/dev/null"}, check=False)
    if names is None:
        raise Error(f"{root} is not a git repository")
    files = {}
    for name in sorted(set(names.decode().split("\0"))):
        path = os.path.join(root, name)
        if to_kernel(name) is None or not os.path.isfile(path):
            continue
        if os.path.islink(path):
            raise Error(f"{name} is a symbolic link")
        with open(path, "rb") as file:
            data = file.read()
        mode = "100755" if os.stat(path).st_mode & 0o100 else "100644"
        files[name] = (mode, data)
    return files


class Tree:
    """Files of a kernel tree as the series makes them."""

    def __init__(self, repo, base):
        self.repo = repo
        self.base = base
        self.now = {}           # path -> (mode, content), or None if removed

    def get(self, path):
        if path not in self.now:
            entry = git_line("ls-tree", self.base, path, cwd=self.repo)
            if not entry:
                self.now[path] = None
            else:
                mode, _, blob = entry.split(None, 3)[:3]
                self.now[path] = (mode, git("cat-file", "blob", blob,
                                            cwd=self.repo))
        return self.now[path]

    def apply(self, patch, scratch, paths=None, reverse=False):
        """Apply the diff of a patch, or what of it touches paths; nothing but
        offsets is forgiven."""
        diff = patch.diff
        if paths is None:
            paths = patch.changes
        else:
            diff = patch.diff_of(paths)
        for path in paths:
            found = self.get(path)
            name = os.path.join(scratch, path)
            os.makedirs(os.path.dirname(name), exist_ok=True)
            if os.path.exists(name):
                os.unlink(name)
            if found:
                with open(name, "wb") as file:
                    file.write(found[1])
                os.chmod(name, 0o755 if found[0] == "100755" else 0o644)
        try:
            git("apply", "--whitespace=nowarn", *["-R"] * reverse, "-",
                cwd=scratch, data=diff.encode(), env={
                    "GIT_CEILING_DIRECTORIES": os.path.dirname(scratch)})
        except Error as error:
            said = str(error).replace("git apply fails: error: ", "")
            how = "can't be taken back from the sources" if reverse else \
                "does not apply"
            raise Error(f"{SERIES}/{patch.name} {how}: {said}") from None
        for path in paths:
            name = os.path.join(scratch, path)
            if os.path.exists(name):
                with open(name, "rb") as file:
                    data = file.read()
                mode = "100755" if os.stat(name).st_mode & 0o100 else "100644"
                self.now[path] = (mode, data)
            else:
                self.now[path] = None


def owners(patches, files):
    """Which patch adds a file: kernel's path -> (place in patches, file)."""
    owner = {}
    for nr, patch in enumerate(patches):
        for path in patch.added(files):
            kernel = to_kernel(path)
            if kernel in owner:
                other = patches[owner[kernel][0]].name
                raise Error(f"{path} is added by {other} and by {patch.name}")
            owner[kernel] = (nr, path)
    for path in sorted(files):
        if path.startswith(COMPLETE) and to_kernel(path) not in owner:
            raise Error(f"{path} is added by no patch of {SERIES}")
    return owner


def first_versions(repo, base, patches, files, owner, scratch):
    """What the patches that add files add: the sources, less what later patches
    change in them.  Kernel's path -> (mode, content)."""
    tree = Tree(repo, base)
    tree.now = {kernel: files[path] for kernel, (_, path) in owner.items()}
    for nr, patch in reversed(list(enumerate(patches))):
        paths = [path for path in patch.changes if path in owner]
        for path in paths:
            where = f"{SERIES}/{patch.name}"
            if owner[path][0] >= nr:
                raise Error(f"{where}: changes {path}, which no patch before it adds")
            if ADDS_OR_REMOVES.search(patch.diff_of([path])):
                raise Error(f"{where}: adds or removes {path}: say Adds: in one patch")
        if paths:
            tree.apply(patch, scratch, paths, reverse=True)
    return tree.now


def compose(repo, base, patches, files, branch):
    """Commit the patches onto @base in @repo as @branch; the commits."""
    tree = Tree(repo, base)
    owner = owners(patches, files)
    stream = []

    def put(text):
        stream.append(text if isinstance(text, bytes) else text.encode())

    with tempfile.TemporaryDirectory(prefix="series.") as scratch:
        first = first_versions(repo, base, patches, files, owner, scratch)
        for nr, patch in enumerate(patches, 1):
            where = f"{SERIES}/{patch.name}"
            changed = []
            for path in patch.added(files):
                kernel = to_kernel(path)
                if tree.get(kernel):
                    raise Error(f"{where}: adds {path}, but the tree has {kernel}")
                tree.now[kernel] = first[kernel]
                changed.append(kernel)
            for path in patch.changes:
                if not tree.get(path) and to_repo(path):
                    raise Error(f"{where}: makes {path}: put it at {to_repo(path)} and say Adds:")
            if patch.diff:
                tree.apply(patch, scratch)
                changed += patch.changes
            name, address = patch.author
            when = f"{name} <{address}> {EPOCH + 60 * nr} +0000"
            message = patch.message.encode()
            put(f"commit refs/heads/{branch}\nmark :{nr}\n")
            put(f"author {when}\ncommitter {when}\ndata {len(message)}\n")
            put(message)
            put(f"from {base if nr == 1 else f':{nr - 1}'}\n")
            for path in sorted(set(changed)):
                found = tree.now[path]
                if found:
                    mode, data = found
                    put(f"M {mode} inline {path}\ndata {len(data)}\n")
                    put(data)
                    put("\n")
                else:
                    put(f"D {path}\n")
        marks = os.path.join(scratch, "marks")
        git("fast-import", "--quiet", "--force", "--date-format=raw",
            f"--export-marks={marks}", cwd=repo, data=b"".join(stream))
        commits = {}
        with open(marks, encoding="ascii") as file:
            for line in file:
                mark, commit = line.split()
                commits[int(mark[1:])] = commit
    return [commits[nr] for nr in range(1, len(patches) + 1)]


def borrow(folder, *lenders):
    """A bare repository in @folder that reads the lenders' objects."""
    git("init", "-q", "--bare", folder)
    with open(os.path.join(folder, "objects/info/alternates"), "w",
              encoding="utf-8") as file:
        for lender in lenders:
            path = git_line("rev-parse", "--git-path", "objects", cwd=lender)
            file.write(os.path.abspath(os.path.join(lender, path)) + "\n")
    return folder
