# SPDX-License-Identifier: GPL-2.0
"""Bochs: the emulator that has VMX with EPT.

It boots from a CD image alone, and wants a folder of its own for its files.
"""
import os
import shutil
import subprocess

from emulator import EmulatorError

ISOLINUX = '/usr/lib/ISOLINUX/isolinux.bin'
LDLINUX = '/usr/lib/syslinux/modules/bios/ldlinux.c32'

# Of each CPU, in a second of the machine's clock.  It emulates time in which nothing
# happens as it does instructions, so fewer make for a shorter wait; the list has not
# been run with less.
IPS = 50_000_000

BOCHSRC = """\
display_library: {display}
megs: {megs}
romimage: file={bios}
vgaromimage: file={vgabios}
cpu: model={model}, count={cpus}, ips={ips}, quantum=32, \
reset_on_triple_fault=0, ignore_bad_msrs=1{cpu_options}
clock: sync=none, time0=1700000000
ata0-master: type=cdrom, path={iso}, status=inserted
boot: cdrom
com1: enabled=1, mode=term, dev={port1}
com2: enabled=1, mode=term, dev={port2}
log: bochs.log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
"""


def find(what, *paths):
    for path in paths:
        if path and os.path.exists(path):
            return path
    raise EmulatorError(f'{what} is missing: run scripts/setup')


def program():
    """The emulator, and whether it is the user's own."""
    own = os.environ.get('BOCHS')
    path = shutil.which(own or 'bochs')
    if path:
        return path, bool(own)
    if own:
        raise EmulatorError(f'BOCHS={own}: there is no such program')
    raise EmulatorError('bochs is missing: run scripts/setup, or install '
                        'packages bochs and bochs-term')


def helps(bochs, *about):
    """What the program says of itself: it refuses what is not built in."""
    return subprocess.run([bochs, '--help', *about], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False).stdout.split()


def megabytes(size):
    return int(size[:-1]) * (1024 if size[-1] == 'G' else 1)


def make_iso(machine, initramfs, arguments, folder):
    """A CD that boots the kernel."""
    cd = os.path.join(folder, 'cd')
    os.mkdir(cd)
    shutil.copy(find('isolinux', ISOLINUX), cd)
    shutil.copy(find('syslinux-common', LDLINUX), cd)
    shutil.copy(machine.kernel, os.path.join(cd, 'linux'))
    os.rename(initramfs, os.path.join(cd, 'initrd'))
    with open(os.path.join(cd, 'isolinux.cfg'), 'w', encoding='ascii') as cfg:
        cfg.write('default linux\nlabel linux\n  kernel linux\n'
                  f'  initrd initrd\n  append {arguments}\n')
    iso = os.path.join(folder, 'boot.iso')
    xorriso = shutil.which('xorrisofs')
    if not xorriso:
        raise EmulatorError('xorrisofs is missing: run scripts/setup, or '
                            'install package xorriso')
    made = subprocess.run(
        [xorriso, '-quiet', '-o', iso, '-b', 'isolinux.bin', '-c', 'boot.cat',
         '-no-emul-boot', '-boot-load-size', '4', '-boot-info-table', cd],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False)
    if made.returncode:
        raise EmulatorError('xorrisofs failed: ' +
                            made.stdout.strip().replace('\n', '; '))
    shutil.rmtree(cd)
    return iso


def command(machine, initramfs, folder, port1, port2):
    """How to start it; its files go to `folder`."""
    bochs, own = program()
    model, options = 'corei7_haswell_4770', ''
    # The timer of a CPU that is idle, without a tick, comes late.
    arguments = ' nohz=off'
    if own:
        model = 'tigerlake'
        options = ', exclude_features="pku,pks"'
        arguments += f' tsc_early_khz={IPS // 1000}'
    iso = make_iso(machine, initramfs, machine.kernel_arguments() + arguments,
                   folder)
    share = os.path.join(os.path.dirname(bochs), '../share/bochs')
    with open(os.path.join(folder, 'bochsrc'), 'w', encoding='ascii') as out:
        out.write(BOCHSRC.format(
            display='nogui' if own else 'term',
            megs=megabytes(machine.memory or '2G'), cpus=machine.cpus,
            bios=find('package bochsbios', f'{share}/BIOS-bochs-latest',
                      '/usr/share/bochs/BIOS-bochs-latest'),
            vgabios=find('package vgabios',
                         f'{share}/VGABIOS-lgpl-latest',
                         '/usr/share/vgabios/vgabios.bin'),
            model=model, ips=IPS, cpu_options=options, iso=iso, port1=port1,
            port2=port2))
        if {'sb16', 'es1370'}.intersection(helps(bochs, 'features')):
            out.write('sound: driver=dummy\n')
    argv = ['env', 'TERM=vt100', bochs, '-q', '-f', 'bochsrc']
    # A debugger that is built in waits to be told to go.
    if '-rc' in helps(bochs):
        with open(os.path.join(folder, 'debugger'), 'w',
                  encoding='ascii') as out:
            out.write('c\n')
        argv += ['-rc', 'debugger']
    return argv
