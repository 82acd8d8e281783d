# SPDX-License-Identifier: GPL-2.0
"""What scripts/boot, scripts/selftests and scripts/bench share: options that
choose a machine, and building what it runs."""
import argparse
import os
import re
import subprocess
import sys

from arguments import Parser  # pylint: disable=unused-import
from emulator import Machine

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), '../..'))


class RigError(Exception):
    """What the user is told in one line."""


def number(low, high):
    def convert(text):
        if not re.fullmatch(r'[0-9]{1,9}', text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"'{text}' is not a number from {low} to {high}")
        return int(text)
    return convert


def machine_options(parser):
    parser.add_argument('--config', default='test', choices=('test', 'debug'),
                        help='the kernel: test (default) or debug')
    parser.add_argument('--tree', metavar='PATH',
                        help='build from this source tree, instead of the '
                             'patched one in build/linux')
    parser.add_argument('--kernel', metavar='FILE',
                        help='boot this bzImage, build none')
    parser.add_argument('--initramfs', metavar='FILE',
                        help='take this archive, build none')
    parser.add_argument('--npt', choices=('0', '1'), default='1',
                        help='nested page tables, or EPT (default 1)')
    parser.add_argument('--nested', choices=('0', '1'),
                        help='can guests have guests (default 1 with --mmu kvm '
                             '--cpu amd, else 0)')
    parser.add_argument('--cpu', choices=('amd', 'intel'), default='amd',
                        help='amd: QEMU with SVM (default); intel: Bochs with '
                             'VMX, BOCHS=path for another than the installed '
                             'one')
    parser.add_argument('--append', action='append', default=[],
                        metavar='ARGS', help='more arguments for the kernel')
    parser.add_argument('--memory', metavar='SIZE',
                        help='memory of the machine (default 6G; intel 2G)')
    parser.add_argument('--cpus', type=number(1, 32), default=2, metavar='N',
                        help='its CPUs (default 2)')


def build(*command):
    """Run one of our scripts; returns the path that it prints."""
    done = subprocess.run([os.path.join(TOP, 'scripts', command[0]),
                           *command[1:]], stdout=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        # It has said why.
        sys.exit(1)
    return os.path.join(TOP, done.stdout.strip())


def readable(path):
    try:
        with open(path, 'rb'):
            return os.path.realpath(path)
    except OSError as error:
        raise RigError(f"can't read {path}: {error.strerror}") from None


def has_altmmu(kernel):
    """None if it can't be told: the kernel is not one of our builds."""
    config = os.path.join(os.path.dirname(kernel), '../../../.config')
    if not os.path.isfile(config):
        return None
    with open(config, encoding='ascii') as lines:
        return 'CONFIG_KVM_ALTMMU=y\n' in lines


def nested_of(options, mmu):
    return options.nested or \
        ('0' if mmu == 'altmmu' or options.cpu == 'intel' else '1')


def check_mmu(parser, options):
    """Refuse what KVM would do without."""
    if options.mmu == 'altmmu' and options.npt == '0':
        parser.error('altmmu needs nested page tables, or EPT: with --npt 0 '
                     'choose --mmu kvm')


def make_machine(options, mmu):
    """Build what is needed, and put a machine together."""
    if options.memory and not re.fullmatch(r'[1-9][0-9]{0,5}[MG]',
                                           options.memory):
        raise RigError(f"--memory: '{options.memory}' is not a size like 6G")
    tree = ['--tree', options.tree] if options.tree else []
    if options.kernel:
        kernel = readable(options.kernel)
    else:
        kernel = build('kernel', '--config', options.config, *tree)
    if mmu == 'altmmu' and has_altmmu(kernel) is False:
        raise RigError('this kernel has no altmmu: the tree is not patched; '
                       'choose the MMU kvm')
    initramfs = readable(options.initramfs) if options.initramfs \
        else build('initramfs', *tree)

    append = ' '.join(options.append).split()
    module, tables = {'amd': ('kvm_amd', 'npt'),
                      'intel': ('kvm_intel', 'ept')}[options.cpu]
    if mmu == 'altmmu':
        append.append('kvm.mmu=altmmu')
    append.append(f'{module}.nested={nested_of(options, mmu)}')
    if options.npt == '0':
        append.append(f'{module}.{tables}=0')
    if options.config == 'debug':
        # KASAN asks the CPU's features whether there are 5 levels, and the kernel
        # clears these for a moment when it boots: an interrupt then is reported.
        append.append('no5lvl')
    return Machine(kernel, initramfs, cpu=options.cpu, cpus=options.cpus,
                   memory=options.memory, append=append,
                   slack=5 if options.config == 'debug' else 1)


# In a machine: is a VM on the MMU that was asked for?  The parameter is what was
# asked for, no more.
CHECK_MMU = 'exec mmu-of-new-vm {mmu}'
