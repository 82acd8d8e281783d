// SPDX-License-Identifier: GPL-2.0
/*
 * debugfs for a VM with mirrored private memory: kvm/<VM>/altmmu/provider, and if
 * it is software's kvm/<VM>/altmmu/inject, which makes calls of the provider fail
 * now and then.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "private.h"

/* What the mirror holds: lines of altmmu/summary. */
void altmmu_show_private(struct altmmu_vm *vm, struct seq_file *m)
{
	struct altmmu_private *private = vm->private;

	for (int level = 1; level <= PGT_MAX_LEAF_LEVEL; level++)
		seq_printf(m, "private_leaves_level_%d %ld\n", level,
			   atomic_long_read(&private->leaves[level]));
	seq_printf(m, "private_tables %ld\n",
		   atomic_long_read(&private->tables));
}

/* A line for each call: its name, how often, and how often it was busy. */
static int altmmu_provider_show(struct seq_file *m, void *v)
{
	struct altmmu_private *private = m->private;
	struct mirror_provider *provider = private->mirror.provider;
	struct softsept *soft = &private->soft;

	for (int call = 0; call < MIRROR_NR_CALLS; call++)
		seq_printf(m, "%s %ld %ld\n", altmmu_call_name(call),
			   atomic_long_read(&provider->calls[call]),
			   atomic_long_read(&provider->busy[call]));
	seq_printf(m, "kicks %ld 0\n", atomic_long_read(&provider->kicks));
	if (!kvm_has_soft_mirror(private->vm->kvm))
		return 0;
	seq_printf(m, "epoch %llu\n", READ_ONCE(soft->epoch));
	seq_printf(m, "inside %d\n", atomic_read(&soft->inside[0]) +
				     atomic_read(&soft->inside[1]));
	return 0;
}

static int altmmu_inject_show(struct seq_file *m, void *v)
{
	struct altmmu_private *private = m->private;

	seq_printf(m, "busy_every %u\n", READ_ONCE(private->soft.busy_every));
	seq_printf(m, "interrupt_every %u\n",
		   READ_ONCE(private->soft.interrupt_every));
	return 0;
}

static int altmmu_inject_open(struct inode *inode, struct file *file)
{
	return single_open(file, altmmu_inject_show, inode->i_private);
}

/* "busy_every N" or "interrupt_every N"; with 0 no call fails. */
static ssize_t altmmu_inject_write(struct file *file, const char __user *from,
				   size_t count, loff_t *pos)
{
	struct altmmu_private *private =
		((struct seq_file *)file->private_data)->private;
	char line[32] = "";
	unsigned int every;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, from, count))
		return -EFAULT;
	if (sscanf(line, "busy_every %u", &every) == 1)
		WRITE_ONCE(private->soft.busy_every, every);
	else if (sscanf(line, "interrupt_every %u", &every) == 1)
		WRITE_ONCE(private->soft.interrupt_every, every);
	else
		return -EINVAL;
	return count;
}

static const struct file_operations altmmu_inject_fops = {
	.owner = THIS_MODULE,
	.open = altmmu_inject_open,
	.read = seq_read,
	.write = altmmu_inject_write,
	.llseek = seq_lseek,
	.release = single_release,
};

DEFINE_SHOW_ATTRIBUTE(altmmu_provider);

void altmmu_create_private_debugfs(struct altmmu_vm *vm)
{
	debugfs_create_file("provider", 0400, vm->debugfs, vm->private,
			    &altmmu_provider_fops);
	if (!kvm_has_soft_mirror(vm->kvm))
		return;
	debugfs_create_file("inject", 0600, vm->debugfs, vm->private,
			    &altmmu_inject_fops);
}
