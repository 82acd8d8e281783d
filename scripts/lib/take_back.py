# SPDX-License-Identifier: GPL-2.0
#
# From a kernel branch back to kernel/series: the message and the diff of each
# commit become a patch file, new files go to where this repository keeps them.
#
# Patches are known by their subjects: one whose subject is there already keeps
# its file name, patterns and notes; a new one gets a number between its
# neighbours'.  The commits replace every patch that follows the one that they
# are based on.  Nothing is written before the result has been composed and is
# found to be the branch's own tree.

import os
import re
import shutil

import series
from series import Error, Patch, git, git_line, to_kernel, to_repo

STEP = 10


def slug(subject):
    """A file name's words for a subject."""
    words = re.sub(r"^([\w/-]+: )*", "", subject)
    words = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    return words[:48].rstrip("-") or "patch"


def in_order(numbers):
    """Indices of the longest rising row among numbers, None left out."""
    best = []
    for i, number in enumerate(numbers):
        before = [row for row in best if numbers[row[-1]] < number] \
            if number is not None else None
        if before is not None:
            best.append(max(before, key=len, default=[]) + [i])
    return set(max(best, key=len, default=[]))


def number_all(numbers, first):
    """Give every patch a number; those that rise already keep theirs."""
    keep = in_order(numbers)
    out = []
    i = 0
    while i < len(numbers):
        if i in keep:
            out.append(numbers[i])
            i += 1
            continue
        end = i
        while end < len(numbers) and end not in keep:
            end += 1
        low = out[-1] if out else first
        high = numbers[end] if end < len(numbers) else 10000
        step = min(STEP, (high - low) // (end - i + 1))
        if step < 1:
            raise Error(f"no numbers free between {low:04} and {high:04}: "
                        "rename the files around them")
        out += [low + step * (n + 1) for n in range(end - i)]
        i = end
    return out


def read_commit(repo, commit):
    """Message of a commit, and paths that it touches."""
    name = git_line("log", "-1", "--format=%h (\"%s\")", commit, cwd=repo)
    parents = git_line("log", "-1", "--format=%P", commit, cwd=repo).split()
    if len(parents) != 1:
        raise Error(f"{name} is a merge or has no parent")
    message = git("log", "-1", "--format=%B", commit, cwd=repo).decode().rstrip()
    if re.match(r"(fixup|squash|amend)! ", message):
        raise Error(f"{name}: run git rebase -i --autosquash first")
    if not series.SIGNED.search(message):
        raise Error(f"{name} has no Signed-off-by: amend it with git commit -s")
    raw = git("diff-tree", "-r", "-z", "--no-renames", "--no-commit-id",
              "--name-only", commit, cwd=repo).decode()
    return message, list(filter(None, raw.split("\0")))


def diff_of_commit(repo, commit, paths):
    """What the commit changes in these paths."""
    if not paths:
        return ""
    diff = git("diff-tree", "-p", "--no-renames", "--no-commit-id",
               "--no-ext-diff", "--no-textconv", "--no-color",
               "--diff-algorithm=myers", "--unified=3", "--src-prefix=a/",
               "--dst-prefix=b/", commit, "--", *paths, cwd=repo).decode()
    # Blob names change with the base and say nothing that the diff does not.
    return re.sub(r"^index [0-9a-f]+\.\.[0-9a-f]+.*\n", "", diff, flags=re.M)


def tree_files(repo, commit):
    """Paths of a commit, with modes and blobs, where new files can be."""
    places = [theirs for _, theirs in series.PLACES]
    out = {}
    for line in git("ls-tree", "-r", "-z", commit, "--", *places,
                    cwd=repo).decode().split("\0"):
        if line:
            what, path = line.split("\t", 1)
            mode, _, blob = what.split()
            out[path] = (mode, blob)
    return out


def split_range(repo, base_tree, text):
    """First commit (without) and last commit (with) of a range."""
    if text:
        start, dots, tip = text.partition("..")
        if not dots or start.endswith(".") or tip.startswith("."):
            raise Error(f"'{text}' is not a range like A..B")
        tip = tip or "HEAD"
    else:
        start, tip = None, "HEAD"
    last = git_line("rev-parse", "-q", "--verify", f"{tip}^{{commit}}",
                    cwd=repo, check=False)
    if not last:
        raise Error(f"there is no commit {tip} in the tree")
    if start is not None:
        first = git_line("rev-parse", "-q", "--verify", f"{start}^{{commit}}",
                         cwd=repo, check=False)
        if not first:
            raise Error(f"there is no commit {start} in the tree")
        return first, last
    log = git_line("log", "--first-parent", "-1000", "--format=%H %T", last,
                   cwd=repo)
    for line in log.splitlines():
        commit, tree = line.split()
        if tree == base_tree:
            return commit, last
    raise Error("no commit below HEAD is the pristine tree: name a range A..B")


def take(root, tree, base, branch_tree, text, scratch):
    """Do it; lines to print."""
    inside = git_line("rev-parse", "--show-toplevel", cwd=branch_tree,
                      check=False) if os.path.isdir(branch_tree) else None
    if not inside:
        raise Error(f"{branch_tree} is not a git tree")
    repo = series.borrow(os.path.join(scratch, "repo"), tree, inside)
    base_tree = git_line("rev-parse", f"{base}^{{tree}}", cwd=repo)
    first, last = split_range(inside, base_tree, text)
    commits = git_line("rev-list", "--reverse", "--first-parent",
                       f"{first}..{last}", cwd=repo).split()
    if not commits:
        raise Error("there are no commits in the range")

    old = series.load(root) if os.listdir(os.path.join(root, series.SERIES)) else []
    files = series.sources(root)
    known = {patch.subject: patch for patch in old}
    # The patch that the range goes on from; those before it stay.
    start = git_line("log", "-1", "--format=%s", first, cwd=repo)
    stay = old[:old.index(known[start]) + 1] if start in known else []
    replaced = old[len(stay):]
    pristine = tree_files(repo, base)
    tip = tree_files(repo, last)

    # New files are as they are at the tip; what a patch changes in a file that
    # one before it adds stays its own.
    owned = {to_kernel(path) for patch in stay for path in patch.added(files)}
    before = {path for patch in replaced for path in patch.added(files)}
    fresh, added, notes = [], set(), []
    for commit in commits:
        message, paths = read_commit(repo, commit)
        subject = message.splitlines()[0]
        mine, changed, later = [], [], []
        for path in paths:
            if path in pristine or not to_repo(path):
                changed.append(path)
            elif path not in tip:
                continue
            elif path in added or path in owned:
                later.append(path)
            else:
                mine.append(to_repo(path))
                added.add(path)
        if not mine and not changed and known.get(subject) not in replaced:
            notes.append(f"{subject}: only changes files that other patches "
                         "add; taken into them")
            continue
        diff = diff_of_commit(repo, commit, changed + later)
        if any(subject == have[0].splitlines()[0] for have in fresh):
            raise Error(f"two commits are called \"{subject}\"")
        fresh.append((message, mine, diff))

    after = dict(files)
    for path in before:
        if to_kernel(path) not in tip:
            after.pop(path, None)
    for path in sorted(added | owned):
        if path in tip:
            mode, blob = tip[path]
            after[to_repo(path)] = (mode, git("cat-file", "blob", blob,
                                              cwd=repo))
        elif path in owned:
            after.pop(to_repo(path), None)

    subjects = [message.splitlines()[0] for message, _, _ in fresh]
    numbers = number_all([known[s].number if s in known and known[s] in replaced
                          else None for s in subjects],
                         stay[-1].number if stay else 0)
    patches = list(stay)
    for (message, mine, diff), subject, number in zip(fresh, subjects, numbers):
        same = known.get(subject)
        name = same.name[5:] if same in replaced else slug(subject) + ".patch"
        body = message + "\n---\n" + "".join(f"Adds: {p}\n" for p in sorted(mine))
        patch = Patch(f"{number:04}-{name}", body + ("\n" + diff if diff else ""))
        if same in replaced:
            patch.notes = same.notes
            # Patterns that still say the same are kept.
            try:
                if same.added(after) == sorted(mine):
                    patch.adds = same.adds
            except Error:
                pass
        patches.append(patch)

    result = series.compose(repo, base, patches, after, "series")[-1]
    if git_line("rev-parse", f"{first}^{{tree}}", cwd=repo) == base_tree or stay:
        differ = git_line("diff-tree", "-r", "--name-only", result, last,
                          cwd=repo).split()
        if differ and base_tree in git_line("log", "--format=%T", last,
                                            cwd=repo).split():
            raise Error(f"the series would not make the branch's tree: {differ[0]} differs")

    return notes + write(root, old, patches, files, after)


def write(root, old, patches, files, after):
    """Write what changed; what was there before goes to build/import."""
    backup = os.path.join(root, "build", "import")
    texts = {f"{series.SERIES}/{p.name}": p.text().encode() for p in patches}
    lines = []

    def put(path, data, mode="100644"):
        full = os.path.join(root, path)
        have = None
        if os.path.exists(full):
            with open(full, "rb") as file:
                have = file.read()
        if have == data:
            return
        if have is not None:
            os.makedirs(os.path.dirname(os.path.join(backup, path)), exist_ok=True)
            shutil.copy2(full, os.path.join(backup, path))
        if data is None:
            os.unlink(full)
        else:
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full + ".new", "wb") as file:
                file.write(data)
            os.chmod(full + ".new", 0o755 if mode == "100755" else 0o644)
            os.replace(full + ".new", full)
        lines.append(f"{'new' if have is None else 'gone' if data is None else 'changed'}: {path}")

    for patch in old:
        path = f"{series.SERIES}/{patch.name}"
        if path not in texts:
            put(path, None)
    for path, data in texts.items():
        put(path, data)
    for path in sorted(set(files) | set(after)):
        if files.get(path) != after.get(path):
            mode, data = after.get(path) or (None, None)
            put(path, data, mode)
    return lines or ["nothing has changed"]
