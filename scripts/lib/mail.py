# SPDX-License-Identifier: GPL-2.0
#
# The series as mail: what patches/ holds, whether it is stale, one mailbox.
# git format-patch writes the mails; this fills in the cover letter.

import glob
import hashlib
import os
import re

from series import EPOCH, SERIES, Error, git, git_line

PREFIX = "RFC PATCH"
# Says what the patches were composed against.
BASE = "base"


def render(root, repo, base, branch, author):
    """The files of patches/: name -> content."""
    with open(os.path.join(root, SERIES, "cover-letter"),
              encoding="ascii") as file:
        subject, _, blurb = file.read().partition("\n\n")
    env = {
        "GIT_COMMITTER_NAME": author[0], "GIT_COMMITTER_EMAIL": author[1],
        "GIT_COMMITTER_DATE": f"{EPOCH} +0000",
    }
    # All that a configuration or another version of git could choose.
    git("format-patch", "-q", "-o", "patches", "--cover-letter", "--numbered",
        f"--subject-prefix={PREFIX}", "--cover-from-description=none",
        "--zero-commit", "--no-signature", "--no-thread", "--no-base",
        "--no-attach", "--no-to", "--no-cc", "--no-notes", "--full-index",
        "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color",
        "--diff-algorithm=myers", "--unified=3", "--src-prefix=a/",
        "--dst-prefix=b/", "--stat=78", "--summary", "-p",
        "--filename-max-length=64", f"{base}..{branch}", cwd=repo, env=env)
    files = {}
    for path in sorted(glob.glob(os.path.join(repo, "patches", "*.patch"))):
        with open(path, "rb") as file:
            files[os.path.basename(path)] = file.read()
    cover = "0000-cover-letter.patch"
    text = files[cover].decode()
    for mark, value in (("*** SUBJECT HERE ***", subject.strip()),
                        ("*** BLURB HERE ***", blurb.strip())):
        if text.count(mark) != 1:
            raise Error(f"git format-patch wrote no {mark}")
        text = text.replace(mark, value)
    files[cover] = text.encode()
    tree = git_line("rev-parse", f"{base}^{{tree}}", cwd=repo)
    title = git_line("log", "-1", "--format=%s", base, cwd=repo)
    files[BASE] = f"{title}\ntree {tree}\n".encode()
    return files


def present(folder):
    """The files that are there: name -> content."""
    files = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if name == BASE or name.endswith(".patch"):
            with open(os.path.join(folder, name), "rb") as file:
                files[name] = file.read()
    return files


def without_places(data):
    """A patch without what moves with the files around it."""
    data = re.sub(rb"^index [0-9a-f]+\.\.[0-9a-f]+", b"index", data, flags=re.M)
    return re.sub(rb"^@@ -[0-9,]+ \+[0-9,]+ @@.*$", b"@@", data, flags=re.M)


def stale(folder, wanted):
    """How patches/ differs from what would be composed; None if it does not.
    Against another base than it was composed for, blob names and line numbers
    may differ."""
    have = present(folder)
    if BASE not in have:
        return "it is not there"
    same_base = have.pop(BASE) == wanted[BASE]
    for name in sorted(set(have) | set(wanted) - {BASE}):
        if name not in have:
            return f"{name} is missing"
        if name not in wanted:
            return f"{name} is no more"
        if have[name] == wanted[name]:
            continue
        if same_base or without_places(have[name]) != without_places(wanted[name]):
            return f"{name} differs"
    return None


def write(folder, files):
    """Make @folder hold @files; how many changed."""
    os.makedirs(folder, exist_ok=True)
    have = present(folder)
    changed = 0
    for name in sorted(set(have) | set(files)):
        if have.get(name) == files.get(name):
            continue
        changed += 1
        path = os.path.join(folder, name)
        if name not in files:
            os.unlink(path)
            continue
        with open(path + ".new", "wb") as file:
            file.write(files[name])
        os.replace(path + ".new", path)
    return changed


def mbox(folder):
    """patches/ as a mailbox: a thread below the cover letter."""
    files = {name: data for name, data in present(folder).items()
             if name != BASE}
    if not files:
        raise Error("patches/ is empty: run make patches")
    thread = hashlib.sha256(b"".join(files.values())).hexdigest()[:16]
    out = []
    for nr, data in enumerate(files.values()):
        head, _, body = data.partition(b"\n\n")
        _, _, head = head.partition(b"\n")
        # Unfolded: b4 0.12 stumbles over a folded From.
        head = re.sub(rb"\n[ \t]+", b" ", head)
        head += f"\nMessage-Id: <{thread}-{nr}@altmmu.invalid>".encode()
        if nr:
            head += f"\nIn-Reply-To: <{thread}-0@altmmu.invalid>".encode()
            head += f"\nReferences: <{thread}-0@altmmu.invalid>".encode()
        body = re.sub(rb"^(>*From )", rb">\1", body, flags=re.M)
        out.append(b"From mboxrd@z Thu Jan  1 00:00:00 1970\n" + head +
                   b"\n\n" + body + b"\n")
    return b"".join(out)
