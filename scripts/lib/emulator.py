# SPDX-License-Identifier: GPL-2.0
"""Boot a kernel under an emulator and run commands in it.

A machine has two serial ports, both of which are pseudo terminals here: the
first is the kernel's, the second has what commands print; scripts/guest/init is
the other end.  What the results mean is not known here.
"""
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tty
from dataclasses import dataclass, field

# What a kernel says only when something is wrong with it.
SPLAT = re.compile(
    r'WARNING: (?!CPU features)|BUG: |BUG at |Kernel panic|Oops: |'
    r'general protection fault|INFO: task .* blocked|INFO: rcu|rcu: INFO|'
    r'detected stalls? on CPU|suspicious RCU|KASAN: |UBSAN: |refcount_t: |'
    r'ODEBUG: |list_(add|del) corruption|kmemleak: .* new suspected|'
    r'invoked oom-killer|Out of memory: |Call Trace:')

# The kernel's opinion of an emulator, not of itself: Bochs 2.7 has two CPUs and
# a CPUID that tells of one.
KNOWN = re.compile(r'WARNING: \S*arch/x86/kernel/cpu/topology_common\.c:')

KNOWN_LINES = 60

# How the kernel begins a line of its own, with printk.time=1.
TIMED = re.compile(r'\[ *\d+\.\d{6}\].*')

# Set to have every machine go down.
stopping = threading.Event()


class EmulatorError(Exception):
    """There is no machine to be had; the text is one line for the user."""


class Ear:
    """Tells which of the kernel's lines, each heard once, are splats."""

    def __init__(self):
        # How long a splat that is KNOWN may go on, if its end is not heard.
        self.known = 0

    def is_splat(self, line):
        if KNOWN.search(line):
            self.known = KNOWN_LINES
        if self.known:
            self.known = 0 if '---[ end trace' in line else self.known - 1
            return False
        return bool(SPLAT.search(line))


def splats_in(console):
    """The splats on a console that the kernel, whose lines have a time, shares
    with others: what those print may begin on the same line."""
    ear = Ear()
    timed = (TIMED.search(line.rstrip()) for line in console)
    return [line[0] for line in timed if line and ear.is_splat(line[0])]


@dataclass
class Command:
    name: str
    line: str
    limit: int = 120


@dataclass
class Result:
    command: Command
    output: list = field(default_factory=list)
    # None if it did not end by itself; then `trouble` says why.
    status: int = None
    seconds: float = 0.0
    trouble: str = ''
    splats: list = field(default_factory=list)


@dataclass
class Machine:
    kernel: str
    initramfs: str
    cpu: str = 'amd'
    cpus: int = 2
    memory: str = None
    append: list = field(default_factory=list)
    # QEMU's: how it translates, the CPU's model, and what else.
    accelerator: str = 'tcg,thread=multi'
    model: str = 'max'
    options: list = field(default_factory=list)
    # How much slower than usual the kernel is expected to be.
    slack: int = 1

    def kernel_arguments(self):
        args = ['console=ttyS0,115200', 'printk.devkmsg=on', 'loglevel=6',
                'panic=-1', 'watchdog_thresh=60',
                'rcupdate.rcu_cpu_stall_timeout=120',
                'hung_task_timeout_secs=300',
                # KVM is built in and asks for the TSC's rate before the kernel
                # has refined it.
                'kvm.tsc_tolerance_ppm=100000',
                # QEMU's TSC, which is the host's on each CPU, does not seem to be
                # stable where that is busy; and comparing them may never end, see
                # Documentation/vmm.rst.
                'tsc=reliable']
        if self.cpu == 'intel':
            args += ['mitigations=off']
        else:
            # Where the host is busy, the timer seems not to work.
            args += ['no_timer_check']
        return ' '.join(args + self.append)


def cpio(files):
    """A newc archive of regular files, by name."""
    archive = bytearray()

    def add(number, name, mode, data):
        path = name.encode() + b'\0'
        head = '070701' + ''.join('%08x' % n for n in (
            number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0))
        archive.extend(head.encode() + path)
        archive.extend(b'\0' * (-len(archive) % 4))
        archive.extend(data)
        archive.extend(b'\0' * (-len(archive) % 4))

    for number, (name, data) in enumerate(sorted(files.items()), 1):
        add(number, name, 0o100644, data)
    add(0, 'TRAILER!!!', 0, b'')
    return bytes(archive)


def write_initramfs(machine, commands, path):
    """The machine's archive and after it another, with the commands."""
    lines = ''
    for command in commands:
        if re.search(r'[\n\t]', command.line):
            raise EmulatorError(f'{command.name}: a command is one line '
                                'without tabs')
        lines += f'{command.limit * machine.slack}\t{command.line}\n'
    with open(path, 'wb') as out:
        with open(machine.initramfs, 'rb') as base:
            shutil.copyfileobj(base, out)
        out.write(b'\0' * (-out.tell() % 4))
        if commands:
            out.write(cpio({'rig/commands': lines.encode()}))


def take_one_thread(machine):
    """All of QEMU's CPUs on one thread, which runs them in turn: a time limit
    stands for as much work as on threads of their own."""
    machine.accelerator = 'tcg,thread=single'
    machine.slack *= machine.cpus


def qemu_command(machine, initramfs):
    program = shutil.which('qemu-system-x86_64')
    if not program:
        raise EmulatorError('qemu-system-x86_64 is missing: run scripts/setup, '
                            'or install package qemu-system-x86')
    # By default enough for tests that convert 1 GiB, with what KASAN takes.
    return [program, '-accel', machine.accelerator, '-cpu', machine.model,
            '-smp', str(machine.cpus), '-m', machine.memory or '6G',
            '-nodefaults', '-display', 'none', '-no-reboot',
            '-kernel', machine.kernel, '-initrd', initramfs,
            '-append', machine.kernel_arguments(), *machine.options]


def bochs_missing():
    """Why there is no Bochs, if there is none and nobody asked for a certain
    one."""
    if os.environ.get('BOCHS') or shutil.which('bochs'):
        return None
    return 'bochs is not installed (scripts/setup installs it if the ' \
        'distribution has it)'


def interactive(machine):
    """A shell in the machine, on this terminal; returns QEMU's status."""
    if machine.cpu != 'amd':
        raise EmulatorError('a shell needs CPU=amd; give commands with --run')
    command = qemu_command(machine, machine.initramfs)
    command += ['-serial', 'mon:stdio', '-serial', 'null']
    return subprocess.call(command)


class Port:
    """One serial port: a pseudo terminal, its log, and its lines."""

    def __init__(self, log):
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        # Held open, so that reading goes on if the emulator ends.
        self.slave = slave
        os.set_blocking(self.master, False)
        self.log = log
        self.rest = b''

    def read(self):
        """The lines that are complete."""
        try:
            data = os.read(self.master, 65536)
        except (BlockingIOError, OSError):
            return []
        self.log.write(data)
        self.log.flush()
        *lines, self.rest = (self.rest + data).split(b'\n')
        return [line.decode(errors='replace').rstrip('\r') for line in lines]

    def write(self, data):
        """As much as there is room for."""
        try:
            os.write(self.master, data)
        except OSError:
            pass

    def close(self):
        os.close(self.master)
        os.close(self.slave)


def cpu_seconds(pid):
    """What a process has had of the CPUs, with all its threads."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8') as stat:
            # After the name, which may have anything in it.
            fields = stat.read().rpartition(')')[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Boot:
    """One boot, which runs commands until all have ended or it is lost."""

    # Seconds that a machine may take to begin, and that the time limit inside
    # of it may be late.
    BOOT_LIMIT = {'amd': 90, 'intel': 400}
    GRACE = 30
    # Bochs counts its machine's seconds in instructions of each CPU, for which a slow
    # host takes this many times as long.
    SLOWEST = 3
    # A process that sleeps gets on as well, but so much slower.
    ASLEEP = 10

    def __init__(self, machine, commands, log_directory):
        self.machine = machine
        self.commands = commands
        self.logs = log_directory
        # Splats before the first command and after the last.
        self.splats = []
        self.trouble = ''
        self.results = []
        self.reported = set()
        # What runs, and its number.
        self.current = None
        self.number = None
        # What commands have printed, by their number.
        self.outputs = {}
        self.output_number = None
        self.output_ended = set()
        self.ear = Ear()
        self.done = False
        self.process = None
        # How much a Bochs has done, and its CPU's and the host's time then.
        self.work = 0.0
        self.seen = 0.0, 0.0
        self.nudged = 0.0
        # Called with each line that a command prints, when it does.
        self.on_output = lambda line: None

    def run(self, on_result=lambda result: None):
        """Returns the commands that have no result.

        A command's splat ends the boot, because lockdep and others speak up
        but once; so does one that hangs.
        """
        os.makedirs(self.logs, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='altmmu-boot.') as scratch, \
                open(os.path.join(self.logs, 'kernel.log'), 'ab') as klog, \
                open(os.path.join(self.logs, 'output.log'), 'ab') as olog, \
                open(os.path.join(self.logs, 'emulator.log'), 'ab') as elog:
            self.kernel_port, self.output_port = Port(klog), Port(olog)
            try:
                self._run(scratch, elog, on_result)
            finally:
                self.kernel_port.close()
                self.output_port.close()
        return [command for number, command in enumerate(self.commands)
                if number not in self.reported]

    def _start(self, scratch, elog):
        initramfs = os.path.join(scratch, 'initramfs')
        write_initramfs(self.machine, self.commands, initramfs)
        if self.machine.cpu == 'intel':
            import bochs
            command = bochs.command(self.machine, initramfs, scratch,
                                    self.kernel_port.path,
                                    self.output_port.path)
        else:
            command = qemu_command(self.machine, initramfs)
            for port in self.kernel_port, self.output_port:
                command += ['-serial', f'chardev:p{port.master}', '-chardev',
                            f'serial,id=p{port.master},path={port.path}']
        elog.write((' '.join(command) + '\n').encode())
        elog.flush()
        # However we end, the emulator does not stay.
        command = ['setpriv', '--pdeathsig', 'KILL', *command]
        return subprocess.Popen(command, cwd=scratch, stdin=subprocess.DEVNULL,
                                stdout=elog, stderr=elog,
                                start_new_session=True)

    def _now(self):
        """Seconds that limits are about: QEMU's machines have the host's.  Those of
        Bochs have a thread's work, and what else the host does is not theirs."""
        now = time.monotonic()
        if self.machine.cpu != 'intel':
            return now
        used = cpu_seconds(self.process.pid)
        self.work += max(used - self.seen[0],
                         (now - self.seen[1]) / self.ASLEEP)
        self.seen = used, now
        return self.work

    def _give(self, seconds, limit=0):
        """So many seconds from now on, and a limit that the machine keeps itself."""
        if self.machine.cpu == 'intel':
            limit *= self.SLOWEST * self.machine.cpus
        self.deadline = self._now() + seconds + limit * self.machine.slack

    def _nudge(self):
        """Interrupt QEMU's machine each second, for a CPU of it may forget that
        there is an interrupt until the next comes: see
        Documentation/testing-kernel.rst.  Not where instructions are counted, which
        are to repeat."""
        if self.machine.cpu == 'amd' and '-icount' not in self.machine.options and \
                time.monotonic() - self.nudged > 1:
            self.nudged = time.monotonic()
            self.output_port.write(b'\0')

    def _run(self, scratch, elog, on_result):
        self.seen = 0.0, time.monotonic()
        process = self.process = self._start(scratch, elog)
        self._give(self.BOOT_LIMIT[self.machine.cpu] * self.machine.slack)
        try:
            while not self._stopped(process):
                self._nudge()
                self._poll(0.5, on_result)
            for _ in range(5):
                self._poll(0.05, on_result)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if self.current:
            self.current.trouble = self.trouble or 'the machine went down'
            self._finish(on_result)
        elif not self.trouble and not self.done:
            self.trouble = 'the machine went down'

    def _stopped(self, process):
        if stopping.is_set():
            self.trouble = 'interrupted'
        if self.done or self.trouble or process.poll() is not None:
            return True
        if self._now() > self.deadline:
            self.trouble = 'no answer within its time limit' if self.current \
                else 'the machine did not boot within its time limit'
            return True
        # A splat ends the boot when its command has ended.
        return bool(self.results and not self.current and
                    self.results[-1].splats)

    def _poll(self, seconds, on_result):
        ports = {self.kernel_port.master: (self.kernel_port, self._kernel_line),
                 self.output_port.master: (self.output_port, self._output_line)}
        for fd in select.select(list(ports), [], [], seconds)[0]:
            port, handle = ports[fd]
            for line in port.read():
                handle(line, on_result)

    def _kernel_line(self, line, on_result):
        marker = re.search(
            r'rig: (begin|end|done)(?: (\d+))?(?: (\d+) (\d+))?$', line)
        if not marker:
            self._look_for_splat(line)
        elif marker[1] == 'begin':
            self._begun(int(marker[2]), on_result)
        elif marker[1] == 'end':
            if not self.current:
                self._begun(int(marker[2]), on_result)
            self._ended(int(marker[2]), int(marker[3]), int(marker[4]) / 100,
                        on_result)
        elif marker[1] == 'done':
            self.done = True

    def _look_for_splat(self, line):
        if self.ear.is_splat(line):
            splats = self.current.splats if self.current else self.splats
            splats.append(line)
            if 'Kernel panic' in line:
                self.trouble = 'kernel panic'

    def _begun(self, number, on_result):
        if self.current:
            self.current.trouble = 'its end was not heard'
            self._finish(on_result)
        command = self.commands[number]
        self.number = number
        self.current = Result(command, output=self._output_of(number))
        self._give(self.GRACE, command.limit)

    def _ended(self, number, status, seconds, on_result):
        # What it has printed may still be on its way.
        until = time.monotonic() + 3
        while number not in self.output_ended and time.monotonic() < until:
            if select.select([self.output_port.master], [], [], 0.1)[0]:
                for line in self.output_port.read():
                    self._output_line(line, on_result)
        limit = self.current.command.limit * self.machine.slack
        self.current.seconds = seconds
        if seconds >= limit:
            self.current.trouble = f'took more than {limit} s'
        else:
            self.current.status = status
        self._finish(on_result)
        # The next one is to say so soon.
        self._give(self.GRACE * self.machine.slack)

    def _output_of(self, number):
        return self.outputs.setdefault(number, [])

    def _output_line(self, line, _):
        marker = re.match(r'@(begin|end) (\d+)', line)
        if not marker:
            if self.output_number is not None:
                self._output_of(self.output_number).append(line)
                self.on_output(line)
        elif marker[1] == 'begin':
            self.output_number = int(marker[2])
        else:
            self.output_ended.add(int(marker[2]))
            self.output_number = None

    def _finish(self, on_result):
        while self.current.output and not self.current.output[-1].strip():
            self.current.output.pop()
        self.results.append(self.current)
        self.reported.add(self.number)
        self.current = None
        on_result(self.results[-1])


def entry(name, main, *errors):
    """Call main(); an error is one line for the user."""
    def interrupt(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, interrupt)
    try:
        sys.exit(main())
    except (EmulatorError, *errors) as error:
        print(f'{name}: {error}', file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
